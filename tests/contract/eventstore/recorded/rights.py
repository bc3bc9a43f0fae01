"""Who may do what on a real, secure server: the table in `rights.md`, and what two changes make of it."""

from enum import StrEnum
from typing import NamedTuple

from tests.contract.eventstore.recorded.comparison import FOLDER

OK, DENIED, DENIED_IN_ANSWER = "ok", "denied", "denied in the answer: `AccessDenied`"
CALLERS = ("nobody", "plain user", "member of group `orderstream`", "`$ops`", "`$admins`")
PLAIN, MEMBER, OPS = CALLERS[1:4]


class State(StrEnum):
    """What was written before the calls; the last state has what the one before it has, too."""

    DEFAULT = "by default"
    ALL_SHARED = "after an ACL of $all"
    RESTRICTED = "after a default ACL in $settings"


class Cell(NamedTuple):
    call: str
    caller: str


def table() -> dict[Cell, str]:
    """What is answered by default."""
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in (FOLDER / "rights.md").read_text().splitlines()
        if line.startswith("|")
    ]
    heading, _, *rows = rows
    assert heading == ["call", *CALLERS]
    return {
        Cell(call, caller): answer for call, *answers in rows for caller, answer in zip(CALLERS, answers, strict=True)
    }


# the sentences of `rights.md` behind its table
OF_ALL = (
    "read $all",
    "read $all through a filter",
    "subscribe to $all",
    "join a group on $all",
)
OF_USER_STREAMS = (
    "append to order-…",
    "batch append to order-…",
    "read order-seed",
    "read a stream that is not there",
    "subscribe to order-seed",
    "read $$order-seed",
    "write metadata of order-…",
    "delete order-…",
    "tombstone order-…",
    "join a group on order-seed",
)
DELETIONS = ("delete order-…", "tombstone order-…")


def answers(state: State) -> dict[Cell, str]:
    """What each caller is answered in a state."""
    expected = table()
    if state != State.DEFAULT:
        expected |= {Cell(call, MEMBER): OK for call in OF_ALL}
    if state == State.RESTRICTED:
        for caller in (PLAIN, OPS):
            expected |= {Cell(call, caller): _denial(call) for call in OF_USER_STREAMS}
        expected |= {Cell(call, MEMBER): DENIED for call in DELETIONS}
    return expected


def _denial(call: str) -> str:
    return DENIED_IN_ANSWER if call.startswith("batch append") else DENIED
