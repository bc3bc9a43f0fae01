"""All embedded nodes that tests start tell which positions they were sent that none of them had sent.

A client may send a position that it received, and no other: a real server refuses what arithmetic makes of it. A test
after which there are new ones fails, unless it is marked `sends_unknown_positions`. One that runs beside others in a
worker is never blamed for theirs, since each worker has a directory of its own.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.eventstore.position_audit import UNKNOWN, VARIABLE

AUDITED = True


def told(directory: Path, start: int) -> tuple[list[str], int]:
    """Lines about unknown positions from an offset of the file on, and where the next ones begin."""
    file = directory / UNKNOWN
    if not file.exists():
        return [], start
    content = file.read_bytes()[start:]
    return content.decode().splitlines(), start + len(content)


def verdict(lines: list[str], *, on_purpose: bool) -> str | None:
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
def only_positions_that_were_sent(position_audit: Path | None, request: pytest.FixtureRequest) -> Iterator[None]:
    if position_audit is None:
        yield
        return
    _, start = told(position_audit, 0)
    yield
    lines, _ = told(position_audit, start)
    on_purpose = request.node.get_closest_marker("sends_unknown_positions") is not None
    if (wrong := verdict(lines, on_purpose=on_purpose)) is not None:
        pytest.fail(wrong, pytrace=False)
