"""Read with a count: streams, everything, metadata of streams, filters, links."""

import asyncio
from typing import Any

from esdbclient.protos.Grpc import streams_pb2 as st

from tests.contract.eventstore.recorded.scenarios.registry import scenario
from tests.contract.eventstore.recorded.scenarios.requests import (
    BYTES,
    FAR,
    JSON,
    LARGEST,
    MAX_SIGNED,
    STREAMS,
    append,
    append_these,
    delete,
    event_of,
    filter_of,
    position_of,
    read,
    read_request,
    sent,
    set_metadata,
    tombstone,
)
from tests.contract.eventstore.recorded.transcript import Transcript


@scenario
async def read_a_stream(t: Transcript) -> None:
    a = t.stream_name("a")
    await read(t, "one that is not there", stream=a, count=10)
    await read(t, "backwards, one that is not there", stream=a, revision="end", forwards=False, count=10)
    await append(t, "five events", a, "no_stream", [0, 1, 2, 3, 4])
    await read(t, "all of it", stream=a, count=100)
    await read(t, "as many as there are", stream=a, count=5)
    await read(t, "two of it", stream=a, count=2)
    await read(t, "from 3", stream=a, revision=3, count=100)
    await read(t, "from the first after the last", stream=a, revision=5, count=100)
    await read(t, "from far after the last", stream=a, revision=50, count=100)
    await read(t, "from 2^63-1", stream=a, revision=MAX_SIGNED, count=100)
    await read(t, "from 2^63", stream=a, revision=MAX_SIGNED + 1, count=100)
    await read(t, "backwards from the end", stream=a, revision="end", forwards=False, count=2)
    await read(t, "backwards from 1", stream=a, revision=1, forwards=False, count=100)
    await read(t, "backwards from far after the last", stream=a, revision=50, forwards=False, count=2)
    await read(t, "backwards from 2^64-1", stream=a, revision=LARGEST, forwards=False, count=2)
    await read(t, "backwards from the start", stream=a, revision="start", forwards=False, count=2)
    await read(t, "ids in two halves", stream=a, count=1, structured=True)
    await read(
        t,
        "a name that is empty, a filter that nothing passes",
        all_from="start",
        count=1,
        filtered="nothing-begins-so",
        window=32,
    )


@scenario
async def read_a_stream_from_its_end(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "two events", a, "no_stream", [0, 1])
    await read(t, "from the end, forwards", stream=a, revision="end", count=100)
    await read(t, "from 2^64-1, forwards", stream=a, revision=LARGEST, count=100)
    await read(t, "from the end, forwards, one that is not there", stream=t.stream_name("b"), revision="end", count=100)


@scenario
async def read_everything_from_positions(t: Transcript) -> None:
    a = t.stream_name("a")
    positions = [position_of(await append(t, f"event {n}", a, "any", [n])) for n in range(5)]
    first, second = positions[:2]
    mine: dict[str, Any] = {"filtered": a, "window": 500}
    await read(t, "from the second, with a filter", all_from=(second, second), count=3, **mine)
    await read(t, "from the second, one event, no filter", all_from=(second, second), count=1)
    await read(t, "commit after prepare", all_from=(second, first), count=1, **mine)
    await read(t, "a prepare of 0", all_from=(second, 0), count=1, **mine)
    # backwards from such positions a real server answers with the first event in some runs, with nothing in others
    await read(t, "prepare after commit", all_from=(first, second), count=1, **mine)
    await read(t, "backwards from the second", all_from=(second, second), forwards=False, count=5, **mine)
    await read(t, "backwards from the end", all_from="end", forwards=False, count=2, **mine)
    await read(t, "backwards from 2^64-1", all_from=(LARGEST, LARGEST), forwards=False, count=2, **mine)
    await read(t, "backwards from the start", all_from="start", forwards=False, count=2, **mine)
    await read(t, "backwards from position 0", all_from=(0, 0), forwards=False, count=2, **mine)
    await read(t, "forwards from the end", all_from="end", count=2, **mine)
    await read(
        t, "the positions as a newer client asks for them", all_from=(second, second), count=2, compatibility=1, **mine
    )


@scenario
async def read_everything_between_events(t: Transcript) -> None:
    a = t.stream_name("a")
    positions = [position_of(await append(t, f"event {n}", a, "any", [n])) for n in range(3)]
    for title, at in {"one after the second": positions[1] + 1, "one before the second": positions[1] - 1}.items():
        for way, forwards in {"": True, ", backwards": False}.items():
            await read(t, f"from {title}{way}", all_from=(at, at), forwards=forwards, count=1)
            await read(
                t,
                f"from {title}{way}, with a filter",
                all_from=(at, at),
                forwards=forwards,
                count=1,
                filtered=a,
                window=500,
            )


@scenario
async def read_everything_beyond_its_end(t: Transcript) -> None:
    a = t.stream_name("a")
    at = position_of(await append(t, "an event", a, "any", [0]))
    for title, far in {
        "2^50": FAR,
        "2^62": 2**62,
        "2^63-1": MAX_SIGNED,
        "2^63": MAX_SIGNED + 1,
        "2^64-2": LARGEST - 1,
    }.items():
        await read(t, f"forwards from {title}", all_from=(far, far), count=1)
        await read(t, f"forwards from {title}, with a filter", all_from=(far, far), count=1, filtered=a, window=500)
        await read(t, f"backwards from {title}", all_from=(far, far), forwards=False, count=1)
        await read(
            t,
            f"backwards from {title}, with a filter",
            all_from=(far, far),
            forwards=False,
            count=1,
            filtered=a,
            window=500,
        )
    await read(t, "forwards from 2^64-1", all_from=(LARGEST, LARGEST), count=1)
    await read(t, "forwards, a commit of 2^64-1 only", all_from=(LARGEST, at), count=1)
    await read(t, "forwards, a prepare of 2^64-1 only", all_from=(at, LARGEST), count=1)


@scenario
async def streams_with_bounds(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "six events", a, "any", [0, 1, 2, 3, 4, 5])
    await set_metadata(t, "at most two", a, 6, b'{"$maxCount":2}')
    await read(t, "what is left", stream=a, count=10)
    await read(t, "backwards", stream=a, revision="end", forwards=False, count=10)
    await read(t, "from one that went", stream=a, revision=1, count=10)
    await read(t, "backwards from one that went", stream=a, revision=1, forwards=False, count=10)
    await set_metadata(t, "nothing before 5", a, 7, b'{"$tb":5}')
    await read(t, "what is left now", stream=a, count=10)
    await set_metadata(t, "everything too old", a, 8, b'{"$maxAge":1}')
    await asyncio.sleep(2.2)
    await read(t, "nothing is left", stream=a, count=10)
    await read(t, "backwards, nothing is left", stream=a, revision="end", forwards=False, count=10)
    await set_metadata(t, "metadata that is not JSON", a, 9, b"{")
    await append(t, "metadata of a type of one's own", "$$" + a, "any", [10], data=b"{}", type_="Mine")
    await read(t, "subscribe from the start", stream=a)


@scenario
async def read_as_newer_clients_do(t: Transcript) -> None:
    """Clients that send a compatibility of 1 get the first and last revision of a stream."""
    a = t.stream_name("a")

    async def look(title: str, stream: str = a, **how: Any) -> None:
        await read(t, title, stream=stream, compatibility=1, **how)

    await look("one that is not there", count=3)
    await look("backwards, one that is not there", revision="end", forwards=False, count=3)
    await append(t, "eight events", a, "any", list(range(8)))
    ways: dict[str, dict[str, Any]] = {
        "all of it": {"count": 99},
        "a part": {"count": 2},
        "exactly all": {"count": 8},
        "backwards": {"revision": "end", "forwards": False, "count": 99},
        "a part backwards": {"revision": "end", "forwards": False, "count": 2},
        "from the first after the last": {"revision": 8, "count": 9},
        "from far after the last": {"revision": 20, "count": 9},
        "backwards from far after the last": {"revision": 20, "forwards": False, "count": 9},
    }
    for title, how in ways.items():
        await look(title, **how)
    await read(t, "a compatibility of 0", stream=a, count=99, compatibility=0)
    await read(t, "a compatibility of 2", stream=a, count=99, compatibility=2)
    await set_metadata(t, "nothing before 3", a, "tb", b'{"$tb":3}')
    ways = {
        "three of it": {"count": 3},
        "from 1": {"revision": 1, "count": 99},
        "from 3": {"revision": 3, "count": 99},
        "backwards": {"revision": "end", "forwards": False, "count": 99},
        "backwards from 1": {"revision": 1, "forwards": False, "count": 99},
    }
    for title, how in ways.items():
        await look(f"nothing before 3: {title}", **how)
    await set_metadata(t, "at most two", a, "max", b'{"$maxCount":2}')
    ways = {
        "one of it": {"count": 1},
        "three of it": {"count": 3},
        "backwards": {"revision": "end", "forwards": False, "count": 99},
        "backwards from 5": {"revision": 5, "forwards": False, "count": 9},
    }
    for title, how in ways.items():
        await look(f"at most two: {title}", **how)
    for bound in (8, 100):
        await set_metadata(t, f"nothing before {bound}", a, bound, b'{"$tb":%d}' % bound)
        await look(f"nothing before {bound}: read", count=3)
        await look(f"nothing before {bound}: backwards", revision="end", forwards=False, count=3)
    await look("its metadata", stream="$$" + a, count=99)
    await look("its metadata, from 1", stream="$$" + a, revision=1, count=99)
    await set_metadata(t, "everything too old", a, "age", b'{"$maxAge":1}')
    await asyncio.sleep(2.2)
    await look("everything too old: read", count=3)
    await look("everything too old: backwards", revision="end", forwards=False, count=3)
    b, c = t.stream_name("b"), t.stream_name("c")
    await append(t, "two events", b, "any", ["b0", "b1"])
    await delete(t, "delete it", b)
    await look("one that was deleted", stream=b, count=9)
    await look("backwards, one that was deleted", stream=b, revision="end", forwards=False, count=9)
    await tombstone(t, "a tombstone", c)
    await look("one with a tombstone", stream=c, count=9)
    await read(t, "follow it", stream=a, compatibility=1)


@scenario
async def read_everything_as_newer_clients_do(t: Transcript) -> None:
    a = t.stream_name("a")
    at = position_of(await append(t, "an event", a, "any", [0]))
    await append(t, "a second", a, "any", [1])
    mine: dict[str, Any] = {"filtered": a, "window": 500, "compatibility": 1}
    await read(t, "two from the first", all_from=(at, at), count=2, **mine)
    await read(t, "backwards from the first", all_from=(at, at), forwards=False, count=1, **mine)
    await read(t, "one, no filter", all_from=(at, at), count=1, compatibility=1)


@scenario
async def metadata_as_people_write_it(t: Transcript) -> None:
    """Which bounds a stream has after metadata of every form: after each, the stream is read."""
    a = t.stream_name("a")
    await append(t, "four events", a, "any", [0, 1, 2, 3])
    written = [
        b'{"$maxCount":0}',
        b'{"$maxCount":-1}',
        b'{"$maxCount":"2"}',
        b'{"$maxCount":2.5}',
        b'{"$maxCount":2.0}',
        b'{"$maxCount":true}',
        b'{"$maxCount":null}',
        b'{"$tb":-1}',
        b'{"$tb":"3"}',
        b'{"$maxAge":0}',
        b'{"$maxAge":-5}',
        b'{"$maxCount":3,"$maxCount":2}',
        b'{"$tb":2,"$maxCount":0}',
        b"[1]",
        b'"x"',
        b"",
        b"{bad",
        b'\xef\xbb\xbf{"$maxCount":2}',
        b'{"$maxCount":2} trailing',
        b'{"$maxCount":2,"$acl":{"$r":5}}',
        b'{"$maxCount":2,"$acl":"x"}',
        b'{"$maxCount":2,"$acl":{"$r":["a","b"],"$w":"c"}}',
        b'{"$maxCount":2,"$cacheControl":-1}',
        b'{"$maxCount":2,"$cacheControl":"x"}',
        b'{"$maxCount":2147483648}',
        b'{"$maxcount":2}',
        b"{'$maxCount':2}",
        b'{"$maxCount":2,}',
        b'/*c*/{"$maxCount":2}',
        b'{"$maxCount":1e0}',
        b'{"$tb":2, "$tmp":"x"}',
        b'{"$maxCount":2,"$tmp":true}',
        b'{"$maxCount":2,"mine":{"$maxCount":1}}',
        b'{"$maxAge":99999999999}',
    ]
    for n, data in enumerate(written):
        await set_metadata(t, "", a, f"m{n}", data, keep=False)
        await read(
            t,
            f"metadata {data!r}",
            stream=a,
            count=99,
            without=("id", "metadata", "commit_position", "prepare_position"),
        )
    await append(
        t, "not said to be JSON", "$$" + a, "any", ["bytes"], data=b'{"$maxCount":2}', type_="$metadata", content=BYTES
    )
    await read(t, "after that", stream=a, count=99)
    await append(t, "of another type", "$$" + a, "any", ["type"], data=b'{"$maxCount":1}', type_="other")
    await read(t, "after that", stream=a, count=99)
    two = [event_of(t, f"two{n}", data=b'{"$maxCount":%d}' % n, type_="$metadata") for n in (1, 3)]
    await append_these(t, "two in one append", "$$" + a, "any", *two)
    await read(t, "after that", stream=a, count=99)
    await read(t, "the metadata stream keeps one", stream="$$" + a, count=99)
    await read(t, "the metadata stream, backwards", stream="$$" + a, revision="end", forwards=False, count=99)


@scenario
async def read_through_filters(t: Transcript) -> None:
    a = t.stream_name("a")
    at = position_of(await append(t, "an event of type RecordedFilter", a, "any", [0], type_="RecordedFilter"))
    await append(t, "an event of type recordedfilter", a, "any", [1], type_="recordedfilter")
    await append(t, "an event in a stream with another name", a + "é", "any", [2], type_="RecordedFilter")

    async def look(title: str, by: st.ReadReq.Options.FilterOptions, count: int = 3) -> None:
        await read(t, title, all_from=(at, at), by=by, count=count)

    names, types = "stream_identifier", "event_type"
    await look("the whole name", filter_of(prefix=[a], window=500))
    await look("two prefixes, one of which fits", filter_of(prefix=["zz", a], window=500))
    await look("a prefix in capitals", filter_of(prefix=[a.upper()], window=500))
    await look("a type", filter_of(types, prefix=["RecordedFilter"], window=500))
    await look("a regular expression for a name", filter_of(names, regex=f"^{a}$", window=500))
    await look("a regular expression that fits in the middle", filter_of(names, regex=a[3:], window=500))
    await look("a regular expression and a prefix", filter_of(names, regex="^zzz", prefix=[a], window=500))
    await look(
        "a regular expression without regard to case", filter_of(types, regex="(?i)^RECORDEDFILTER$", window=500)
    )
    await look("a negative look-ahead", filter_of(names, regex=rf"^(?!\$){a}", window=500))
    await look("a regular expression that is none", filter_of(names, regex="(", window=500))
    await look("another that is none", filter_of(names, regex="[a", window=500))
    await look("a multiplier of 0", filter_of(prefix=[a], multiplier=0), count=2)
    await look("a window of one", filter_of(prefix=[a], window=1), count=2)
    await look("no window is asked for", filter_of(prefix=[a]), count=2)
    await look("a name of .NET's expressions: a named group", filter_of(names, regex=f"^(?<name>{a})$", window=500))


@scenario
async def read_through_expressions_of_dotnet(t: Transcript) -> None:
    a = t.stream_name("a")
    at = position_of(await append(t, "an event", a, "any", [0], type_="Ünïtype"))
    for title, regex in {
        "a class of letters": r"^\p{Lu}nïtype$",
        "a look-behind of any length": "(?<=^Ü.*)type$",
        "a letter in a word": r"^\wnïtype$",
    }.items():
        await read(t, title, all_from=(at, at), by=filter_of("event_type", regex=regex, window=500), count=1)


@scenario
async def resolve_links(t: Transcript) -> None:
    a, b, c, d, links = (t.stream_name(x) for x in ("a", "b", "c", "d", "links"))
    await append(t, "five events", a, "any", [0, 1, 2, 3, 4])
    await append(t, "two events, to have a tombstone", b, "any", ["b0", "b1"])
    await tombstone(t, "a tombstone", b)
    await append(t, "two events, to be deleted", c, "any", ["c0", "c1"])
    await delete(t, "delete it", c)
    await append(t, "two events, the first of which goes", d, "any", ["d0", "d1"])
    await set_metadata(t, "nothing before 1", d, "dm", b'{"$tb":1}')
    targets = [
        f"0@{a}",
        f"4@{a}",
        f"9@{a}",
        f"0@{a}none",
        f"1@{b}",
        f"0@{c}",
        f"0@{d}",
        f"1@{d}",
        f"0@$${d}",
        f"9223372036854775807@{b}",
        "x@y",
        "5",
        "",
        f"@{a}",
        f"00@{a}",
        f" 1@{a}",
        f"1 @{a}",
        f"1@{a} ",
        "0@",
        f"0@0@{a}",
        f"99999999999999999999@{a}",
        f"1.0@{a}",
        f"+1@{a}",
    ]
    for n, target in enumerate(targets):
        await append(t, "", links, "any", [f"link{n}"], data=target.encode(), type_="$>", content=BYTES, keep=False)
        await read(t, f"a link to {target!r}", stream=links, revision=n, count=1, links=True)
    await append(t, "a link said to be JSON", links, "any", ["json"], data=f"1@{a}".encode(), type_="$>", content=JSON)
    await append(t, "a link to a link", links, "any", ["link"], data=f"0@{links}".encode(), type_="$>")
    await append(t, "a reference to a stream", links, "any", ["stream"], data=a.encode(), type_="$@")
    await read(t, "the last three, resolved", stream=links, revision=len(targets), count=3, links=True)
    await read(t, "two, not resolved", stream=links, count=2)
    await read(
        t,
        "backwards, ids in two halves",
        stream=links,
        revision=1,
        forwards=False,
        count=2,
        links=True,
        structured=True,
    )
    at = position_of(
        await append(t, "one more link", links, "any", ["all"], data=f"2@{a}".encode(), type_="$>", content=BYTES)
    )
    await read(t, "a link among everything", all_from=(at, at), count=1, filtered=links, window=100, links=True)
    await append(t, "an event in a stream with an @ in its name", a + "@x", "any", ["at"])
    await append(t, "a link to it", links, "any", ["atlink"], data=f"0@{a}@x".encode(), type_="$>", content=BYTES)
    await read(t, "it, resolved", stream=links, revision="end", forwards=False, count=1, links=True)


@scenario
async def resolve_a_link_to_minus_one(t: Transcript) -> None:
    a, links = t.stream_name("a"), t.stream_name("links")
    await append(t, "three events", a, "any", [0, 1, 2])
    await append(t, "a link to event -1", links, "any", ["link"], data=f"-1@{a}".encode(), type_="$>", content=BYTES)
    await read(t, "it, resolved", stream=links, count=1, links=True)


@scenario
async def read_requests_that_say_too_little(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "an event", a, "any", [0])
    method = STREAMS + "Read"

    def asking(*unset: str, everything: bool = False, **what: Any) -> st.ReadReq:
        how: dict[str, Any] = {"count": 1} | what
        request = read_request(stream="" if everything else a, **how)
        for path in unset:
            *way, last = path.split(".")
            at: Any = request.options
            for step in way:
                at = getattr(at, step)
            at.ClearField(last)
        return request

    backwards: dict[str, Any] = {"forwards": False, "revision": "end", "count": None}
    by = filter_of(prefix=[a])
    direction = asking()
    direction.options.read_direction = 5  # type: ignore[assignment]
    for title, request in {
        "an empty request": st.ReadReq(),
        "no uuid option": asking("uuid_option"),
        "an empty uuid option": asking("uuid_option.string"),
        "no filter option": asking("no_filter"),
        "no filter option, everything": asking("no_filter", everything=True),
        "neither a count nor a subscription": asking("count"),
        "a stream and a filter": asking(by=by),
        "no source": asking("stream"),
        "no name": asking("stream.stream_identifier"),
        "a stream from nowhere": asking("stream.start"),
        "everything from nowhere": asking("all.start", everything=True),
        "follow a stream from nowhere": asking("stream.start", count=None),
        "follow everything from nowhere": asking("all.start", everything=True, count=None),
        "follow a stream backwards": asking(**backwards),
        "follow everything backwards": asking(everything=True, **backwards),
        "a direction that does not exist": direction,
        "a filter without an expression": asking(everything=True, by=filter_of("")),
        "a filter without a window": asking(everything=True, by=filter_of(prefix=[a], counted=False)),
        "an empty filter": asking(everything=True, by=st.ReadReq.Options.FilterOptions(checkpointIntervalMultiplier=0)),
        "follow through a filter without an expression": asking(everything=True, count=None, by=filter_of("")),
        "follow through a filter without a window": asking(
            everything=True, count=None, by=filter_of(prefix=[a], counted=False)
        ),
        "bytes that are no message": b"\xff\xff\xff",
    }.items():
        await sent(t, title, method, request, st.ReadResp, silence=4)
    await read(t, "a name that is empty", stream=b"", count=1, filtered="nothing-begins-so", window=32)


@scenario
async def read_with_headers(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "an event", a, "any", [0])
    for key, value in [
        ("authorization", "Basic YWRtaW46Y2hhbmdlaXQ="),
        ("authorization", "Basic YWRtaW46d3Jvbmc="),
        ("authorization", "Basic xxx"),
        ("authorization", "Bearer zz"),
        ("requires-leader", "true"),
        ("requires-leader", "false"),
        ("requires-leader", "zz"),
        ("connection-name", "mine"),
    ]:
        await t.unary(
            f"{key}: {value}",
            STREAMS + "Read",
            read_request(stream=a, count=1),
            st.ReadResp,
            metadata=[(key, value)],
            silence=15,
        )
