"""Read without an end: subscriptions to streams and to everything."""

from typing import Any

from esdbclient.protos.Grpc import streams_pb2 as st

from tests.contract.eventstore.recorded.scenarios.registry import scenario
from tests.contract.eventstore.recorded.scenarios.requests import (
    BYTES,
    FAR,
    LARGEST,
    MAX_SIGNED,
    STREAMS,
    append,
    append_these,
    delete,
    event_of,
    filter_of,
    kind_of,
    position_of,
    read,
    read_request,
    set_metadata,
    tombstone,
)
from tests.contract.eventstore.recorded.transcript import Call, Transcript

WHOLE = 1_000_000  # a window that no log here fills


async def follow(t: Transcript, title: str, **how: Any) -> Call:
    """A subscription that stays open, when it says that it has caught up."""
    compared = {name: how.pop(name) for name in ("without", "keep_if") if name in how}
    call = t.open(title, STREAMS + "Read", [read_request(**how)], st.ReadResp, half_close=True, **compared)
    while not call.ended and not any(kind_of(r) == "caught_up" for r in call.replies):
        before = len(call.replies)
        if len(await call.take(before + 1)) == before:
            break
    return call


@scenario
async def follow_a_stream(t: Transcript) -> None:
    a, b = t.stream_name("a"), t.stream_name("b")
    await append(t, "three events", a, "any", [0, 1, 2])
    await read(t, "from the start", stream=a)
    await read(t, "after 1", stream=a, revision=1)
    await read(t, "after the last", stream=a, revision=2)
    await read(t, "after one that is to come", stream=a, revision=10)
    await read(t, "after 2^63-1", stream=a, revision=MAX_SIGNED)
    await read(t, "after 2^64-1", stream=a, revision=LARGEST)
    await read(t, "from the end", stream=a, revision="end")
    await read(t, "one that is not there", stream=b)
    await read(t, "one that is not there, from the end", stream=b, revision="end")
    await read(t, "one that is not there, after 5", stream=b, revision=5)
    await read(t, "ids in two halves", stream=a, revision=1, structured=True)
    c = t.stream_name("c")
    await append(t, "two events, to be deleted", c, "any", ["c0", "c1"])
    await delete(t, "delete it", c)
    await read(t, "one that was deleted", stream=c)
    await read(t, "one that was deleted, from the end", stream=c, revision="end")


@scenario
async def follow_a_stream_as_it_grows(t: Transcript) -> None:
    a, b, c = (t.stream_name(x) for x in "abc")
    await append(t, "three events", a, "any", [0, 1, 2])
    from_end = await follow(t, "from the end", stream=a, revision="end")
    after_four = await follow(t, "after 4", stream=a, revision=4)
    missing = await follow(t, "one that is to come", stream=b)
    missing_end = await follow(t, "one that is to come, from its end", stream=b, revision="end")
    metadata = await follow(t, "its metadata", stream="$$" + a)
    for n in range(3, 7):
        await append(t, f"event {n}", a, "any", [n])
    await append(t, "two events in b", b, "any", ["b0", "b1"])
    await set_metadata(t, "at most five", a, "m0", b'{"$maxCount":5}')
    await set_metadata(t, "at most six", a, "m1", b'{"$maxCount":6}')
    for call, count in ((from_end, 6), (after_four, 4), (missing, 4), (missing_end, 4), (metadata, 4)):
        await call.take(count)
        await call.close()
    await append(t, "six events", c, "any", [f"c{n}" for n in range(6)])
    await set_metadata(t, "nothing before 3", c, "cm", b'{"$tb":3}')
    await read(t, "one whose first events went", stream=c)


@scenario
async def follow_streams_to_their_end(t: Transcript) -> None:
    a, b, c = (t.stream_name(x) for x in "abc")
    await append(t, "two events in a", a, "any", ["a0", "a1"])
    await append(t, "two events in b", b, "any", ["b0", "b1"])
    deleted = await follow(t, "one that is deleted and written again", stream=a)
    ended = await follow(t, "one that gets a tombstone", stream=b)
    never = await follow(t, "one that is not there and gets a tombstone", stream=c)
    await delete(t, "delete a", a)
    await append(t, "an event in a", a, "any", ["a2"])
    await tombstone(t, "a tombstone for b", b)
    await tombstone(t, "a tombstone for c", c)
    await deleted.take(5)
    await ended.end()
    await never.end()
    for call in (deleted, ended, never):
        await call.close()
    await read(t, "one with a tombstone, from the end", stream=b, revision="end")
    await read(t, "the metadata of one with a tombstone", stream="$$" + b)


@scenario
async def follow_links(t: Transcript) -> None:
    a, links = t.stream_name("a"), t.stream_name("links")
    await append(t, "two events", a, "any", [0, 1])

    async def link(title: str, number: str, target: str) -> None:
        await append(t, title, links, "any", [number], data=target.encode(), type_="$>", content=BYTES)

    await link("a link", "l0", f"0@{a}")
    await link("a link to nothing", "l1", f"99@{a}")
    call = await follow(t, "links, resolved", stream=links, links=True)
    await link("one more", "l2", f"1@{a}")
    await link("one more to nothing", "l3", f"0@{a}none")
    await call.take(6)
    await call.close()


@scenario
async def follow_everything_through_a_filter(t: Transcript) -> None:
    a = t.stream_name("a")
    first = position_of(await append(t, "event 0", a, "any", [0]))
    for n in range(1, 4):
        await append(t, f"event {n}", a, "any", [n])
    last = position_of(await append(t, "event 4", a, "any", [4]))
    mine: dict[str, Any] = {"filtered": a, "window": WHOLE}
    await read(t, "from the start", **mine)
    await read(t, "after the first", all_from=(first, first), **mine)
    await read(t, "after the last", all_from=(last, last), **mine)
    await read(t, "ids in two halves", all_from=(last, last), structured=True, **mine)
    # where everything ends when a subscription begins there is not the same in every run, nor is whether others write
    # meanwhile: what passes no filter leads to a checkpoint
    events = lambda m: kind_of(m) != "checkpoint"  # noqa: E731
    call = await follow(t, "from the end", all_from="end", without=("position",), keep_if=events, **mine)
    await append(t, "one more event", a, "any", [5])
    await append(t, "and another", a, "any", [6])
    await call.take(4)
    await call.close()
    known = lambda m: kind_of(m) not in {"checkpoint", "caught_up"}  # noqa: E731
    await read(t, "no window", all_from=(first, first), filtered=a, keep_if=known, without=PLACED)
    await read(t, "a multiplier of 0", all_from=(first, first), filtered=a, multiplier=0, keep_if=known, without=PLACED)


PLACED = ("subscription_id",)


@scenario
async def follow_everything_from_positions(t: Transcript) -> None:
    a = t.stream_name("a")
    first, second, third = [position_of(await append(t, f"event {n}", a, "any", [n])) for n in range(3)]
    mine: dict[str, Any] = {"filtered": a, "window": WHOLE}
    await read(t, "after the second", all_from=(second, second), **mine)
    await read(t, "a prepare of 0: the event there comes too", all_from=(second, 0), **mine)
    await read(t, "a prepare before the commit", all_from=(second, first), **mine)
    await read(t, "a prepare after the commit", all_from=(first, second), **mine)
    await read(t, "one after the second, where no event is", all_from=(second + 1, second + 1), **mine)
    await read(t, "one before the second, where no event is", all_from=(second - 1, second - 1), **mine)
    only = lambda m: kind_of(m) != "event" or m.event.event.stream_identifier.stream_name == a.encode()  # noqa: E731
    await read(t, "one after the second, no filter", all_from=(second + 1, second + 1), keep_if=only)
    await read(t, "2^50, far after the end", all_from=(FAR, FAR), **mine)
    await read(t, "2^50, no filter", all_from=(FAR, FAR))
    await read(t, "2^63", all_from=(MAX_SIGNED + 1, MAX_SIGNED + 1), **mine)
    await read(t, "2^64-1", all_from=(LARGEST, LARGEST), without=("position",), **mine)
    assert third > second


@scenario
async def follow_everything_until_caught_up(t: Transcript) -> None:
    """Where a subscription says that it is."""
    a = t.stream_name("a")
    await append(t, "an event", a, "any", [0])
    none = filter_of(prefix=[t.stream_name("nothing")], window=WHOLE)
    await read(t, "from the start, nothing passes the filter", by=none)
    await read(t, "from the start, one passes the filter", filtered=a, window=WHOLE)
    await read(t, "from 2^50, nothing passes the filter", all_from=(FAR, FAR), by=none)
    await read(t, "the newer way to ask", filtered=a, window=WHOLE, compatibility=1)


@scenario
async def follow_checkpoints(t: Transcript) -> None:
    """Checkpoints while a subscription catches up, among events that stand together because one append wrote them."""
    a = t.stream_name("a")
    events = [event_of(t, n, type_="RecordedOther" if n in (7, 8, 22) else "Recorded") for n in range(60)]
    await append_these(t, "sixty events, of which 7, 8 and 22 are of another type", a, "any", *events)
    shown = await read(t, "where they are", stream=a, count=100)
    first, last = (int(shown[n].event.event.commit_position) for n in (0, -1))
    within = lambda m: kind_of(m) == "confirmation" or _place(m) <= last  # noqa: E731
    for window, multiplier in ((5, 1), (5, 3), (1, 1), (7, 2), (32, 1)):
        for title, prefix in {"none passes": "NoneIsSo", "three pass": "RecordedOther"}.items():
            # after the sixty come events of others: what is compared ends well before
            await read(
                t,
                f"a window of {window}, a multiplier of {multiplier}, {title}",
                all_from=(first, first),
                most=6,
                by=filter_of("event_type", prefix=[prefix], window=window, multiplier=multiplier),
                keep_if=within,
            )


def _place(message: Any) -> int:
    if kind_of(message) == "event":
        return int(message.event.commit_position)
    return int(message.checkpoint.commit_position) if kind_of(message) == "checkpoint" else LARGEST


@scenario
async def follow_with_a_window_of_nothing(t: Transcript) -> None:
    a = t.stream_name("a")
    first = position_of(await append(t, "an event", a, "any", [0]))
    await append_these(t, "three events", a, "any", *[event_of(t, n) for n in (1, 2, 3)])
    await read(
        t, "a window of 0, events are there", all_from=(first, first), by=filter_of(prefix=[a], window=0), most=6
    )
    # from the end it is accepted, until a page is read that holds something: when that is differs from run to run


@scenario
async def follow_more_than_a_subscription_holds(t: Transcript) -> None:
    a = t.stream_name("a")
    call = t.open(
        "forty events at once", STREAMS + "Read", [read_request(stream=a)], st.ReadResp, half_close=True, keep=False
    )
    await call.take(2)
    await append_these(t, "forty events", a, "any", *[event_of(t, n) for n in range(40)])
    # it falls behind and may say that it caught up again: whether, and after which event, differs from run to run
    await call.settle(silence=1.5)
    numbers = [int(m.event.event.stream_revision) for m in call.replies if kind_of(m) == "event"]
    kinds = [kind_of(m) for m in call.replies]
    await call.close()
    t.note("what a subscription is sent", events_in_order=numbers == list(range(40)), kinds=sorted(set(kinds)))
