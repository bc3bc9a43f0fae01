"""The audit of positions in all tests: a test fails that sends a position which no event store has sent.

A client may send a position that it received, and no other: a real server refuses a calculated one. Tests that send
such positions on purpose are marked `sends_unknown_positions`. The nodes that a test starts share an audit of their
own, so that no test stands on positions that another one received; nodes of wider fixtures share one of the worker.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from embedded.eventstore.position_audit import UNKNOWN, VARIABLE

AUDITED = True
_TESTS = count(1)


def lines_since(directory: Path, start: int) -> tuple[list[str], int]:
    """Lines about unknown positions from an offset of the file on, and where the next ones begin."""
    file = directory / UNKNOWN
    if not file.exists():
        return [], start
    content = file.read_bytes()[start:]
    return content.decode().splitlines(), start + len(content)


def failure(lines: list[str], *, on_purpose: bool) -> str | None:
    """What to fail a test with; None if it did nothing wrong."""
    if not lines or on_purpose:
        return None
    return "positions were sent to an event store that none had sent:\n" + "\n".join(lines)


@pytest.fixture(scope="session", autouse=True)
def position_audit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """The directory that all nodes of this worker share; the processes that it starts inherit the variable."""
    if not AUDITED:
        yield None
        return
    directory = tmp_path_factory.mktemp("positions")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(VARIABLE, str(directory))
        yield directory


@pytest.fixture(autouse=True)
def only_positions_that_were_sent(
    position_audit: Path | None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    if position_audit is None:
        yield
        return
    own = position_audit / f"test-{next(_TESTS)}"  # a node makes it
    monkeypatch.setenv(VARIABLE, str(own))
    _, start = lines_since(position_audit, 0)
    yield
    lines = lines_since(position_audit, start)[0] + lines_since(own, 0)[0]
    on_purpose = request.node.get_closest_marker("sends_unknown_positions") is not None
    if (wrong := failure(lines, on_purpose=on_purpose)) is not None:
        pytest.fail(wrong, pytrace=False)
