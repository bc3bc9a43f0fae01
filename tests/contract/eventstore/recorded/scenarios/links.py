"""The links that the system's projections write.

They come a moment after their cause, so a scenario waits until they are there, and they stand at other positions in
every run. The positions in their metadata are those of their causes, and are compared.
"""

from typing import Any

from tests.contract.eventstore.recorded.scenarios.registry import scenario
from tests.contract.eventstore.recorded.scenarios.requests import (
    BYTES,
    JSON,
    PLACES,
    append,
    append_these,
    delete,
    event_of,
    holds,
    read,
    set_metadata,
    tombstone,
    until,
)
from tests.contract.eventstore.recorded.transcript import Transcript


async def links(t: Transcript, title: str, stream: str, count: int, seconds: float = 12, **how: Any) -> None:
    """A stream of links, when there are so many."""
    await holds(t, stream, count, seconds)
    await read(t, title, stream=stream, count=200, without=PLACES, **how)


async def ours_in(t: Transcript, title: str, stream: str, count: int, seconds: float = 8) -> None:
    """The links to our streams in a stream that all share, when there are so many."""
    name = t.category().encode()

    def ours(message: Any) -> bool:
        return name in message.event.event.data

    async def look() -> bool:
        got = await read(t, "", stream=stream, count=10_000, keep=False, keep_if=ours)
        return len(got) >= count

    await until(look, seconds, 0.3)
    await read(t, title, stream=stream, count=10_000, keep_if=ours, without=(*PLACES, "stream_revision"))


@scenario
async def links_by_category(t: Transcript) -> None:
    c = t.category()
    await append(t, "two events in a stream of the category", f"{c}-1", "no_stream", [1, 2])
    await append(
        t, "one in a stream with two hyphens", f"{c}-2-x", "any", [3], custom=b'{"$causedBy":"q","$causationId":"z"}'
    )
    await append(t, "one in a stream without a hyphen", c, "any", [4])
    await append(t, "one in a stream that begins with a hyphen", f"-{c}", "any", [5])
    await append(t, "one in a stream that ends with a hyphen", f"{c}-", "any", [6])
    await append(t, "one in a stream of the system's", f"${c}-system", "any", [7])
    await append(t, "one in a stream outside ASCII", f"{c}-ü@ x", "any", [8])
    await set_metadata(t, "metadata of the first", f"{c}-1", 9, b'{"k":1}')
    await append(t, "one more in the first", f"{c}-1", "any", [10])
    await links(t, "the category", f"$ce-{c}", 6)
    await read(t, "the category, resolved", stream=f"$ce-{c}", count=200, links=True, without=PLACES)
    await read(
        t,
        "the category, backwards",
        stream=f"$ce-{c}",
        revision="end",
        forwards=False,
        count=2,
        links=True,
        without=PLACES,
    )
    await read(t, "its metadata", stream=f"$$$ce-{c}", count=5, without=PLACES)
    await read(t, "the category without a name", stream="$ce-", count=5)
    await read(t, "the category of the system's stream", stream=f"$ce-${c}", count=5)
    await links(t, "the streams of the category", f"$category-{c}", 4)
    await read(t, "their metadata", stream=f"$$$category-{c}", count=5, without=PLACES)


@scenario
async def links_to_events_that_are_not_json(t: Transcript) -> None:
    c = t.category()
    kinds = [
        (b"\xff\x00", b"", BYTES),
        (b"\xff{", b"", JSON),
        (b"", b"", JSON),
        (b"5", b"", JSON),
        (b"{}", b"\xff\x00", JSON),
        (b"[1,", b"", JSON),
        (b"{} x", b"", JSON),
        (b"{'a':1}", b"", JSON),
        (b"\xef\xbb\xbf{}", b"", JSON),
        (b"null", b"", JSON),
        (b'{"last":1}', b"", JSON),
    ]
    events = [
        event_of(t, n, data=data, custom=custom, content=content, type_="RecordedOdd")
        for n, (data, custom, content) in enumerate(kinds)
    ]
    await append_these(t, "events that are JSON, and events that are not", f"{c}-a", "any", *events)
    await append(t, "the last", f"{c}-a", "any", ["last"], type_="RecordedOddLast")
    await holds(t, "$et-RecordedOddLast", 1)
    await read(t, "their types", stream="$et-RecordedOdd", count=100, without=PLACES)
    await read(t, "the category", stream=f"$ce-{c}", count=100, without=PLACES)


@scenario
async def links_by_type(t: Transcript) -> None:
    c = t.category()
    await append(t, "two events of a type", f"{c}-1", "any", [1, 2], type_="RecordedType")
    await append(t, "one of a type outside ASCII", f"{c}-1", "any", [3], type_="RecordedTypeünï")
    await append(t, "one of a type of the system's", f"{c}-1", "any", [4], type_="$RecordedType")
    await append(t, "one in a stream of the system's", f"${c}-1", "any", [5], type_="RecordedType")
    await append(t, "one more", c, "any", [6], type_="RecordedType")
    await links(t, "the type", "$et-RecordedType", 3)
    await read(t, "the type, resolved", stream="$et-RecordedType", count=100, links=True, without=PLACES)
    await read(t, "its metadata", stream="$$$et-RecordedType", count=5, without=PLACES)
    await links(t, "the type outside ASCII", "$et-RecordedTypeünï", 1)
    await read(t, "the type of the system's", stream="$et-$RecordedType", count=5, without=PLACES)


@scenario
async def links_by_correlation(t: Transcript) -> None:
    c, correlation = t.category(), f"{t.category()}-id"
    await append(
        t,
        "an event with a correlation id",
        f"{c}-1",
        "any",
        [1],
        custom=b'{"$correlationId":"%s","x":1}' % correlation.encode(),
    )
    await append(
        t,
        "another, with more in its metadata",
        f"{c}-2",
        "any",
        [2],
        custom=b'{"$correlationId":"%s","$causationId":"z","$causedBy":"q"}' % correlation.encode(),
    )
    for n, (title, custom) in enumerate(
        {
            "a number": b'{"$correlationId":4711}',
            "an empty one": b'{"$correlationId":""}',
            "none in a list": b'["$correlationId"]',
            "one that is nested": b'{"a":{"$correlationId":"recordednested"}}',
            "one that is null": b'{"$correlationId":null}',
            "one with a letter outside ASCII": '{"$correlationId":"recordedü"}'.encode(),
        }.items()
    ):
        await append(
            t, f"a correlation id: {title}", f"{c}-3", "any", [f"odd{n}"], custom=custom, type_="RecordedCorrelated"
        )
    await append(t, "the last", f"{c}-4", "any", [3], custom=b'{"$correlationId":"%s"}' % correlation.encode())
    await links(t, "what belongs together", f"$bc-{correlation}", 3)
    await read(t, "the same, resolved", stream=f"$bc-{correlation}", count=10, links=True, without=PLACES)
    await read(t, "its metadata", stream=f"$$$bc-{correlation}", count=5, without=PLACES)
    await read(t, "by the number", stream="$bc-4711", count=5, without=PLACES)
    await read(t, "by the nested one", stream="$bc-recordednested", count=5)
    await read(t, "by the one outside ASCII", stream="$bc-recordedü", count=5, without=PLACES)
    await links(t, "the category", f"$ce-{c}", 9)
    await links(t, "the type", "$et-RecordedCorrelated", 6)


@scenario
async def links_to_streams(t: Transcript) -> None:
    """`$streams` and `$et-$metadata`, which all share."""
    c = t.category()
    await append(t, "an event", f"{c}-1", "any", [1])
    await set_metadata(t, "metadata of it", f"{c}-1", 2, b'{"k":1}')
    await set_metadata(t, "metadata of a stream that is not there", f"{c}-none", 3, b'{"k":1}')
    await set_metadata(t, "metadata of a stream of the system's", f"${c}-x", 4, b'{"k":1}')
    await append(t, "another event", f"{c}-1", "any", [5])
    await append(t, "an event in another stream", f"{c}-2", "any", [6])
    await append(t, "an event in a stream of the system's", f"${c}-2", "any", [7])
    await set_metadata(t, "metadata of it, again", f"{c}-1", 8, b'{"k":2}')
    await ours_in(t, "our streams", "$streams", 4)
    await ours_in(t, "our metadata", "$et-$metadata", 3)
    await read(t, "the metadata of $streams", stream="$$$streams", count=5, without=PLACES)
    await read(t, "the metadata of $et-$metadata", stream="$$$et-$metadata", count=5, without=PLACES)


@scenario
async def links_to_links(t: Transcript) -> None:
    c, plain = t.category(), t.category() + "plain"
    await append(
        t, "two events", plain, "any", [1, 2], custom=b'{"$correlationId":"recordedlinked"}', type_="RecordedLinked"
    )
    await append(t, "a link of bytes", f"{c}-l", "any", [3], data=f"0@{plain}".encode(), type_="$>", content=BYTES)
    await append(
        t, "a link said to be JSON", f"{c}-l", "any", [4], data=f"1@{plain}".encode(), type_="$>", custom=b'{"k":"v"}'
    )
    await append(t, "a link to nothing", f"{c}-l", "any", [5], data=f"9@{plain}".encode(), type_="$>", content=BYTES)
    await append(t, "a link to a link", f"{c}-l", "any", [6], data=f"0@{c}-l".encode(), type_="$>", content=BYTES)
    await append(t, "an event", f"{c}-l", "any", [7], type_="RecordedLinkedLast")
    await holds(t, "$et-RecordedLinkedLast", 1)
    await links(t, "the category", f"$ce-{c}", 3)
    await read(t, "the category, resolved", stream=f"$ce-{c}", count=10, links=True, without=PLACES)
    await read(t, "the type", stream="$et-RecordedLinked", count=10, without=PLACES)
    await read(t, "what belongs together", stream="$bc-recordedlinked", count=10, without=PLACES)


@scenario
async def links_when_a_stream_is_deleted(t: Transcript) -> None:
    c = t.category()
    a = f"{c}-1"
    kind: dict[str, Any] = {"type_": "RecordedDeleted", "custom": b'{"$correlationId":"recordeddeleted"}'}
    await append(t, "three events", a, "any", [1, 2, 3], **kind)
    await set_metadata(t, "metadata", a, 4, b'{"k":1}')
    await links(t, "the category", f"$ce-{c}", 3)
    await delete(t, "delete it", a)
    await links(t, "the category after that", f"$ce-{c}", 4, 5)
    await read(t, "resolved", stream=f"$ce-{c}", count=20, links=True, without=PLACES)
    await ours_in(t, "what was deleted, by type", "$et-$deleted", 1, 5)
    await ours_in(t, "the metadata, by type", "$et-$metadata", 1, 5)
    await read(t, "the type", stream="$et-RecordedDeleted", count=20, without=PLACES)
    await read(t, "the correlation", stream="$bc-recordeddeleted", count=20, without=PLACES)
    await append(t, "an event again", a, "any", [5], **kind)
    await links(t, "the category after that", f"$ce-{c}", 5, 5)
    await read(t, "resolved", stream=f"$ce-{c}", count=20, links=True, without=PLACES)
    await ours_in(t, "the metadata, by type, after that", "$et-$metadata", 2, 5)
    await links(t, "the streams of the category", f"$category-{c}", 1)
    await ours_in(t, "our streams", "$streams", 1)
    await delete(t, "delete it again", a)
    await links(t, "the category in the end", f"$ce-{c}", 6, 5)


@scenario
async def links_when_a_stream_gets_a_tombstone(t: Transcript) -> None:
    c = t.category()
    a = f"{c}-1"
    await append(t, "two events", a, "any", [1, 2], type_="RecordedEnded", custom=b'{"$correlationId":"recordedended"}')
    await links(t, "the category", f"$ce-{c}", 2)
    await tombstone(t, "a tombstone", a)
    await links(t, "the category after that", f"$ce-{c}", 3, 5)
    await read(t, "resolved", stream=f"$ce-{c}", count=20, links=True, without=PLACES)
    await tombstone(t, "a tombstone for a stream that never was", f"{c}-never")
    await links(t, "the category after that", f"$ce-{c}", 4, 5)
    await ours_in(t, "what was deleted, by type", "$et-$deleted", 2, 5)
    await read(t, "the type", stream="$et-RecordedEnded", count=20, links=True, without=PLACES)
    await read(t, "the correlation", stream="$bc-recordedended", count=20, links=True, without=PLACES)
    await links(t, "the streams of the category", f"$category-{c}", 1)
    await append(t, "an event in another stream", f"{c}-2", "any", [3])
    await set_metadata(t, "metadata of it", f"{c}-2", 4, b'{"k":1}')
    await tombstone(t, "a tombstone for the stream of its metadata", f"$${c}-2")
    await ours_in(t, "what has a tombstone, by type", "$et-$streamDeleted", 1, 5)


@scenario
async def links_to_what_went(t: Transcript) -> None:
    """Links stay when what they point to is gone."""
    c = t.category()
    await append(t, "three events", f"{c}-1", "any", [1, 2, 3])
    await append(t, "two events in another stream", f"{c}-2", "any", [4, 5])
    await links(t, "the category", f"$ce-{c}", 5)
    await set_metadata(t, "nothing before 2", f"{c}-1", 6, b'{"$tb":2}')
    await read(t, "resolved", stream=f"$ce-{c}", count=20, links=True, without=PLACES)
    await read(
        t,
        "resolved, backwards",
        stream=f"$ce-{c}",
        revision="end",
        forwards=False,
        count=20,
        links=True,
        without=PLACES,
    )
    await read(t, "follow it", stream=f"$ce-{c}", links=True, without=PLACES)
    await read(t, "follow its type, not resolved", stream=f"$ce-{c}", without=PLACES)
