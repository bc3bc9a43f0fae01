"""`verify` begins again where the service that verifies goes away in the midst of it, and not for ever."""

import json

import pytest

from client.cli import local
from tests.support.command_line import invoke
from tests.unit.client.test_calls import Streaming, serving


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "BEGIN_AGAIN_AFTER", (0.01, 0.01))


@pytest.mark.parametrize(("failures", "code", "calls"), [(0, 0, 1), (2, 0, 3), (9, 5, 3)])
def test_a_verification_that_is_cut_begins_again_a_few_times(failures: int, code: int, calls: int) -> None:
    handler = Streaming(failures, begins=True)
    with serving(handler) as address:
        done = invoke([f"--projections={address}", "verify", "--json"])
    assert (done.exit_code, handler.calls) == (code, calls), done.stderr
    assert not done.stdout or json.loads(done.stdout)["differences"] == 0


def test_a_service_that_never_begins_is_not_asked_again_after_the_deadline() -> None:
    handler = Streaming(1_000, begins=False)
    with serving(handler) as address:
        done = invoke(["--deadline", "0.2", f"--projections={address}", "verify"])
    assert done.exit_code == 5
    assert "begins again" not in done.stderr
