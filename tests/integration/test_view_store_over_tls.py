"""A view store whose certificate is not accepted: each role that needs it says so in one line, and ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from client.local.secure import Secure
from tests.support.certificates import Authority
from tests.support.forked import completed
from tests.support.processes import running


@pytest.fixture(scope="module")
def closed_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one over TLS, with the authority and the client certificate that are right."""
    directory = tmp_path_factory.mktemp("closed")
    options = Secure.at(directory).mongo_options
    with running("embedded", "mongo", "--port", "0", "--data", str(directory / "data"), *options) as store:
        yield str(store.ready["uri"])


def last_line(eventstore_uri: str, role: tuple[str, ...], **settings: str) -> tuple[int, str]:
    given = {"ORDERSTREAM_EVENTSTORE_URI": eventstore_uri, **settings}
    done = completed(*role, "--port", "0", environment=given)
    [line] = [line for line in done.stderr.splitlines() if line.startswith("orderstream: ")]
    assert "Traceback" not in done.stderr
    return done.returncode, line


@pytest.mark.parametrize("role", [("server", "queries"), ("projections",)], ids=["queries", "projections"])
def test_an_authority_that_is_not_trusted_is_named(
    eventstore_uri: str, closed_store: str, tmp_path: Path, role: tuple[str, ...]
) -> None:
    strangers = str(Authority().write(tmp_path / "strangers.pem"))
    code, line = last_line(
        eventstore_uri, role, ORDERSTREAM_MONGO_URI=closed_store, ORDERSTREAM_MONGO_CA_FILE=strangers
    )
    assert code == 5
    assert "certificate verify failed" in line
    assert "ORDERSTREAM_MONGO_CA_FILE names whom to trust" in line
    assert line.endswith("[STORE_TLS_FAILED]")
