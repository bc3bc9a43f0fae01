"""Where this node answers otherwise than the recordings, on purpose: each with its reason and the steps that differ.

The tests demand that exactly these steps differ, so the list stays true. `docs/embedded.md` shows it.
"""

from typing import NamedTuple


class Exceptional(NamedTuple):
    reason: str
    steps: frozenset[str]


def but(reason: str, *steps: str) -> Exceptional:
    return Exceptional(reason, frozenset(steps))


EXCEPTIONS: dict[str, Exceptional] = {
    "fault_names_that_no_trailer_carries": but(
        "a name outside ASCII is percent-encoded in trailers, the real server ends such a call as HTTP 500",
        "delete it at a wrong revision",
        "a group that is not there",
        "read it",
    ),
    "fault_reading_nothing": but(
        "a count of 0 is an empty read, the real server fails",
        "none of it",
        "none of it, backwards",
        "none of one that is not there",
    ),
    "fault_an_id_of_another_stream": but(
        "an event is a repeat only of one in its own stream, and every time",
        "the same again",
        "what is in the other stream",
    ),
    "fault_batches_that_linger": but(
        "a BatchAppend call ends when its sender has ended its side and all is answered",
        "the sender ends its side at once",
        "the sender ends its side after the answer",
        "a batch that is not ended by its deadline",
        "the same, and the sender ends its side",
    ),
    "fault_groups_of_everything_by_name": but(
        "a group on a stream named `$all` is refused as one that failed",
        "a group on the stream named $all",
        "change it",
    ),
    "fault_answers_of_consumers_that_are_malformed": but(
        "a malformed answer of a consumer ends its call, the real server ignores all later ones",
        "an id that is none, and an acknowledgement after it",
        "options twice, and an acknowledgement after it",
        "an empty message, and an acknowledgement after it",
        "an action of 7, and an acknowledgement after it",
    ),
    "fault_users_without_authentication": but(
        "an open node has no Users service",
        "Create without options",
        "Update without options",
        "Delete without options",
    ),
    "read_through_expressions_of_dotnet": but(
        "expressions are those of Python's `re`, as said above",
        "a class of letters",
        "a look-behind of any length",
    ),
}
