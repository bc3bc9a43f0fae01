"""Delete and Tombstone."""

from tests.contract.eventstore.recorded.scenarios.registry import scenario
from tests.contract.eventstore.recorded.scenarios.requests import (
    LARGEST,
    MAX_SIGNED,
    append,
    delete,
    read,
    set_metadata,
    tombstone,
)
from tests.contract.eventstore.recorded.transcript import Transcript


@scenario
async def delete_and_tombstone(t: Transcript) -> None:
    a, b, c = t.stream_name("a"), t.stream_name("b"), t.stream_name("c")
    await delete(t, "one that is not there, any", a)
    await delete(t, "one that is not there, expected there", a, "stream_exists")
    await delete(t, "one that is not there, expected not there", a, "no_stream")
    await append(t, "three events", b, "any", [1, 2, 3])
    await delete(t, "a wrong revision", b, 7)
    await delete(t, "the right revision", b, 2)
    await read(t, "one that was deleted", stream=b, count=10)
    await read(t, "backwards, one that was deleted", stream=b, revision="end", forwards=False, count=10)
    await read(t, "its metadata", stream="$$" + b, count=10)
    await delete(t, "again, any", b)
    await delete(t, "again, the same revision", b, 2)
    await append(t, "to one that was deleted, expected there", b, "stream_exists", [4])
    await append(t, "to one that was deleted, nothing there", b, "no_stream", [5])
    await read(t, "it goes on where it ended", stream=b, count=10)
    await read(t, "its metadata now", stream="$$" + b, count=10)
    await tombstone(t, "a wrong revision", b, 99)
    await tombstone(t, "the right one", b)
    await tombstone(t, "again", b)
    await delete(t, "delete one with a tombstone", b)
    await read(t, "one with a tombstone", stream=b, count=10)
    await read(t, "backwards, one with a tombstone", stream=b, revision="end", forwards=False, count=10)
    await append(t, "append to one with a tombstone", b, "any", [6])
    await append(t, "append nothing to one with a tombstone", b, "any", [])
    await tombstone(t, "one that never was", c)
    await read(t, "one that never was and has a tombstone", stream=c, count=10)
    await read(t, "subscribe to one with a tombstone", stream=b)
    await set_metadata(t, "metadata of one with a tombstone", b, 7, b'{"$maxCount":1}')


@scenario
async def delete_and_write_again(t: Transcript) -> None:
    a, b = t.stream_name("a"), t.stream_name("b")
    await append(t, "two events", a, "any", [0, 1])
    await set_metadata(t, "metadata", a, 2, b'{"$maxCount":7,"k":"v","$acl":{"$r":"$all"}}')
    await delete(t, "delete it", a)
    await read(t, "its metadata", stream="$$" + a, revision="end", forwards=False, count=1)
    await append(t, "a repeat of the first event", a, "any", [0])
    await append(t, "a new event at the last revision", a, 1, [3])
    await read(t, "its metadata now", stream="$$" + a, revision="end", forwards=False, count=1)
    await read(t, "what is there", stream=a, count=10)
    await delete(t, "delete it again", a)
    await set_metadata(t, "metadata for one that was deleted", a, 4, b'{"$maxCount":3}')
    await read(t, "its metadata", stream="$$" + a, revision="end", forwards=False, count=1)
    await read(t, "what is there", stream=a, count=10)
    await set_metadata(t, "metadata only, no event", b, 5, b'{"a":1}')
    await append(t, "no events, it must be there", b, "stream_exists", [])
    await delete(t, "delete it, it must be there", b, "stream_exists")
    await delete(t, "delete it, it must not be there", b, "no_stream")
    await delete(t, "delete it, any", b)
    await append(t, "an event, it must be there", b, "stream_exists", [6])
    await append(t, "an event, any", b, "any", [6])
    await read(t, "its metadata", stream="$$" + b, revision="end", forwards=False, count=1)
    await tombstone(t, "a tombstone, it must be there", b, "stream_exists")


@scenario
async def delete_expecting_the_largest_numbers(t: Transcript) -> None:
    for title, number in {"2^64-1": LARGEST, "2^63": MAX_SIGNED + 1, "2^63-1": MAX_SIGNED}.items():
        a, b = t.stream_name(f"{number}"), t.stream_name(f"none{number}")
        await append(t, f"two events to be deleted at {title}", a, "no_stream", [f"{number}/0", f"{number}/1"])
        await delete(t, f"delete, expecting {title}", a, number)
        await tombstone(t, f"tombstone, expecting {title}", a, number)
        await delete(t, f"delete one that is not there, expecting {title}", b, number)
        await tombstone(t, f"tombstone one that is not there, expecting {title}", b, number)


@scenario
async def remove_streams_of_the_system(t: Transcript) -> None:
    a = "$" + t.stream_name("a")
    await append(t, "two events", a, "any", [0, 1])
    await delete(t, "delete it", a)
    await read(t, "what is there", stream=a, count=10)
    await append(t, "one more", a, "any", [2])
    await tombstone(t, "a tombstone", a)
    await read(t, "what is there now", stream=a, count=10)
    await delete(t, "a name that is empty", "")
    await delete(t, "the name $$", "$$")
