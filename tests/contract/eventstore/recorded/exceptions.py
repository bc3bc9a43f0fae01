"""Where this node answers otherwise than the recordings, on purpose: each with its reason and the steps that differ.

The tests demand that exactly these steps differ, so the list stays true. `docs/embedded.md` shows it.
"""

from typing import NamedTuple


class Exceptional(NamedTuple):
    """`always`: each of the steps differs in every run; otherwise it may, since it depends on what else happens."""

    reason: str
    steps: frozenset[str]
    always: bool = True

    def allows(self, differing: set[str]) -> bool:
        return differing == self.steps if self.always else differing <= self.steps


def but(reason: str, *steps: str) -> Exceptional:
    return Exceptional(reason, frozenset(steps))


def sometimes(reason: str, *steps: str) -> Exceptional:
    return Exceptional(reason, frozenset(steps), always=False)


EQUAL = but("")
EXCEPTIONS: dict[str, Exceptional] = {
    "append_with_every_expectation": sometimes(
        "an append without events has no place of its own in the log, so its position is the newest",
        "no events, any",
        "no events, nothing there",
        "no events at revision 3",
    ),
    "append_expecting_the_largest_numbers": but(
        "not yet: streams",
        "2^64-1, nothing is there",
        "2^64-1 again: a repeat",
        "2^64-1, another event",
        "2^63-1",
        "what is in a",
    ),
    "append_to_names_that_are_odd": but(
        "not yet: streams",
        "read the name $$",
        "a name that is no UTF-8",
        "read a name that is no UTF-8",
    ),
    "append_ids_of_every_form": but(
        "not yet: streams",
        "an id with blanks around it",
        "an id in two halves",
        "what is there now",
        "what is there now, ids in two halves",
    ),
    "append_requests_that_say_too_little": but(
        "not yet: streams",
        "no expectation",
        "an empty message after the options",
        "delete without an expectation",
        "tombstone without an expectation",
    ),
    "append_in_batches": sometimes(
        "an append without events has no place of its own in the log, so its position is the newest",
        "no events, any",
    ),
    "batches_expecting_odd_things": but(
        "not yet: batches and operations",
        "2^64-1, nothing is there",
        "2^64-1, another",
        "2^63-1",
    ),
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
    "fault_an_age_that_is_too_large": but(
        "a `$maxAge` of thousands of years hides nothing, on the real server such a stream cannot be read",
        "read it",
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
        "there is no Users service",
        "Create without options",
        "Update without options",
        "Delete without options",
    ),
    "read_a_stream_from_its_end": but(
        "not yet: streams",
        "from the end, forwards",
        "from 2^64-1, forwards",
        "from the end, forwards, one that is not there",
    ),
    "read_as_newer_clients_do": but(
        "not yet: streams",
        "nothing before 3: three of it",
        "at most two: one of it",
        "at most two: three of it",
        "nothing before 100: read",
        "everything too old: read",
        "follow it",
    ),
    "metadata_as_people_write_it": but(
        "not yet: streams",
        'metadata b\'{"$tb":2,"$maxCount":0}\'',
        "metadata b'{\"$maxCount\":2} trailing'",
        'metadata b\'{"$maxCount":2,"$acl":{"$r":5}}\'',
        'metadata b\'{"$maxCount":2,"$acl":"x"}\'',
        'metadata b\'{"$maxCount":2,"$cacheControl":"x"}\'',
        "metadata b\"{'$maxCount':2}\"",
        "metadata b'{\"$maxCount\":2,}'",
        'metadata b\'{"$tb":2, "$tmp":"x"}\'',
        "metadata b'{\"$maxAge\":99999999999}'",
    ),
    "read_through_expressions_of_dotnet": but(
        "expressions are those of Python's `re`, see below",
        "a class of letters",
        "a look-behind of any length",
    ),
    "resolve_a_link_to_minus_one": but(
        "not yet: streams",
        "it, resolved",
    ),
    "read_requests_that_say_too_little": but(
        "not yet: streams",
        "an empty request",
        "no uuid option",
        "an empty uuid option",
        "no filter option",
        "no filter option, everything",
        "neither a count nor a subscription",
        "a stream and a filter",
        "no source",
        "a stream from nowhere",
        "everything from nowhere",
        "follow a stream from nowhere",
        "follow everything from nowhere",
        "follow a stream backwards",
        "follow everything backwards",
        "a direction that does not exist",
        "a filter without an expression",
        "a filter without a window",
        "an empty filter",
        "follow through a filter without an expression",
        "follow through a filter without a window",
    ),
    "delete_and_write_again": sometimes(
        "an append without events has no place of its own in the log, so its position is the newest",
        "no events, it must be there",
    ),
    "delete_expecting_the_largest_numbers": but(
        "not yet: streams",
        "delete, expecting 2^64-1",
        "tombstone, expecting 2^64-1",
        "delete one that is not there, expecting 2^64-1",
        "tombstone one that is not there, expecting 2^64-1",
    ),
    "remove_streams_of_the_system": but(
        "not yet: streams",
        "the name $$",
    ),
    "methods_that_do_not_exist": but(
        "not yet: streams",
        "/event_store.client.streams.Streams/Nope",
        "/nope.Nope/Nope",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.health.v1.Health/Check",
        "/event_store.client.operations.Operations/Nope",
        "/kurrentdb.protocol.v2.StreamsService/AppendSession",
    ),
    "names_of_methods_in_capitals": but(
        "not yet: streams",
        "/Event_Store.Client.Streams.Streams/Read",
        "/event_store.client.streams.streams/read",
    ),
}
