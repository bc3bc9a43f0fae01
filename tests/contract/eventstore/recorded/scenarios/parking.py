"""Persistent subscriptions: what a consumer does not take, and what is parked."""

from typing import Any

from tests.contract.eventstore.recorded.scenarios.group import NACK, Group
from tests.contract.eventstore.recorded.scenarios.registry import scenario
from tests.contract.eventstore.recorded.scenarios.requests import BYTES, PLACES, append, holds, read
from tests.contract.eventstore.recorded.transcript import Transcript

# what is in flight at a moment
COUNTS = ("total_items", "last_checkpointed_event_position")


async def parked(t: Transcript, title: str, group: Group, count: int, **how: Any) -> None:
    """Read what was parked, when so much was written."""
    await holds(t, group.keeps("parked"), count, 5)
    await read(t, title, stream=group.keeps("parked"), count=20, without=PLACES, **how)


@scenario
async def every_way_to_refuse_an_event(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "five events", a, "any", list(range(5)))
    g = Group(t, a, "g")
    await g.create("make it, with one retry", max_retry_count=1)
    consumer = await g.join("five events: an unknown answer, park, retry, skip, stop")
    events = await consumer.take(5)
    if len(events) >= 5:
        await consumer.nack(NACK.Unknown, "unknown", events[0])
        await consumer.take(6)
        await consumer.nack(NACK.Park, "park", events[1])
        await parked(t, "what was parked", g, 1)
        await consumer.nack(NACK.Retry, "retry", events[2])
        await consumer.take(7)
        await consumer.nack(NACK.Retry, "retry again", events[2])  # its retries are used up
        await parked(t, "what was parked when a retry was the last", g, 2)
        await consumer.nack(NACK.Skip, "skip", events[3])
        await consumer.nack(NACK.Stop, "stop", events[4])
        await consumer.more()
        await g.info_when("its information", lambda info: info.parked_message_count == 2, COUNTS, 5)
    await parked(t, "what was parked, resolved", g, 2, links=True)
    await read(t, "its metadata", stream="$$" + g.keeps("parked"), count=3, without=PLACES)
    await consumer.leave()
    await g.delete("delete it")


@scenario
async def parked_events_come_again(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "four events", a, "any", list(range(4)))
    g = Group(t, a, "g")
    await g.create("make it, with one retry", max_retry_count=1)
    consumer = await g.join("park three, replay them one by one, park one again, retry another until it is parked")
    events = await consumer.take(4)
    if len(events) >= 4:
        await consumer.nack(NACK.Park, "", events[0])
        await holds(t, g.keeps("parked"), 1, 5)
        await consumer.nack(NACK.Park, "second", events[1])
        await holds(t, g.keeps("parked"), 2, 5)
        await consumer.nack(NACK.Park, "third", events[2])
    await parked(t, "what was parked", g, 3)
    await g.info_when("its information", lambda info: info.parked_message_count == 3, COUNTS, 5)
    await g.replay("replay the first", stop_at=1)
    await consumer.take(5)
    await holds(t, "$$" + g.keeps("parked"), 1, 5)
    await read(t, "the bounds of what was parked", stream="$$" + g.keeps("parked"), count=3, without=PLACES)
    await g.replay("replay up to 1 again: nothing", stop_at=1)
    await holds(t, "$$" + g.keeps("parked"), 2, 3)
    await g.replay("replay all")
    events = await consumer.take(7)
    await holds(t, "$$" + g.keeps("parked"), 3, 3)
    await read(t, "the bounds of what was parked now", stream="$$" + g.keeps("parked"), count=3, without=PLACES)
    if len(events) >= 7:
        await consumer.nack(NACK.Park, "again", events[4])
        await holds(t, g.keeps("parked"), 4, 5)
        await consumer.nack(NACK.Retry, "retry", events[5])
        events = await consumer.take(8)
        await consumer.nack(NACK.Retry, "retry again", events[5])
        await holds(t, g.keeps("parked"), 5, 5)
        await consumer.nack(NACK.Skip, "skip", events[6])
        await consumer.ack(events[3])
    await parked(t, "what was parked again", g, 5)
    await g.info_when(
        "its information now",
        lambda info: info.parked_message_count == 2 and not any(c.in_flight_messages for c in info.connections),
        COUNTS,
        5,
    )
    await consumer.leave()
    await g.replay("replay without a consumer")
    consumer = await g.join("they come to the next consumer")
    await consumer.ack(*await consumer.take(2))
    await consumer.leave()
    await g.delete("delete it")
    await read(t, "what was parked when it is deleted", stream=g.keeps("parked"), count=10)


@scenario
async def a_group_over_links(t: Transcript) -> None:
    a, links = t.stream_name("a"), t.stream_name("links")
    await append(t, "three events", a, "any", [0, 1, 2])
    for n, target in enumerate((f"0@{a}", f"99@{a}", f"2@{a}", f"0@{a}none")):
        await append(
            t, f"a link to {target}", links, "any", [f"link{n}"], data=target.encode(), type_="$>", content=BYTES
        )
    await append(t, "an event of its own", links, "any", ["own"])
    g = Group(t, links, "g")
    await g.create("make it", resolve_links=True)
    consumer = await g.join("park a link, a link to nothing, and the event")
    events = await consumer.take(5, 5)
    for n, event in enumerate([events[i] for i in (0, 1, 4) if i < len(events)]):
        await consumer.nack(NACK.Park, f"reason {n}", event)
        await holds(t, g.keeps("parked"), n + 1, 3)
    await parked(t, "what was parked", g, 3)
    await g.info_when("its information", lambda info: info.parked_message_count == 3, COUNTS, 3)
    await g.replay("replay")
    await consumer.take(8, 5)
    await consumer.more()
    await consumer.call.close()


@scenario
async def events_that_are_not_answered(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "two events", a, "any", [0, 1])
    g = Group(t, a, "g")
    await g.create("make it, for a second and one retry", message_timeout_ms=1000, max_retry_count=1)
    consumer = await g.join("nothing is answered")
    await consumer.take(4)
    await parked(t, "what was parked", g, 2)
    await g.info_when("its information", lambda info: info.parked_message_count == 2, COUNTS, 5)
    await consumer.leave()
    h = Group(t, a, "h")
    await h.create("make one that never takes back", message_timeout_ms=0, max_retry_count=0)
    consumer = await h.join("nothing is answered there")
    await consumer.take(2)
    await consumer.more(2)
    await consumer.leave()
