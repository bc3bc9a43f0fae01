"""The one reader of the log keeps to positions that it has received; a position of another log is reported."""

import asyncio
import random
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest
from esdbclient import NewEvent, StreamState
from esdbclient.exceptions import CancelledByClient

from core.eventstore.client import RecordedEvent, position_of, store_errors
from core.eventstore.connection import Client, connect
from core.eventstore.log import PAGE, START, EventLog, LogPoint, point_of, streams
from core.eventstore.persistent import Groups
from core.eventstore.subscription import CatchUpSubscription
from core.failures import LogMismatch, NotFound, StoreUnavailable
from embedded.stack import embedded_eventstore
from tests.support.calling import fresh_id
from tests.support.eventually import eventually
from tests.support.processes import free_port


class Written(NamedTuple):
    """Three events of ours, with one of another category between the first and the second, and two behind."""

    category: str
    ours: list[RecordedEvent]
    others: list[RecordedEvent]


@pytest.fixture
def log(client: Client) -> EventLog:
    return EventLog(client)


@pytest.fixture
async def written(client: Client, log: EventLog) -> Written:
    category = f"log_{fresh_id().replace('-', '')}"
    streams_in_order = (
        f"{category}-1",
        f"{category}x-1",
        f"{category}-2",
        f"{category}-1",
        f"{category}x-2",
        "other-1",
    )
    for name in streams_in_order:
        event = NewEvent("Happened", b"{}")
        await client.append_to_stream(name, current_version=StreamState.ANY, events=[event])
    found = [event async for event in log.after(START, f"{category}x?-.*")]
    ours = [event for event in found if event.stream_name.startswith(f"{category}-")]
    return Written(category, ours, [event for event in found if event not in ours])


def pattern(written: Written) -> str:
    return f"{written.category}-.*"


async def test_after_a_position_come_the_events_behind_it(log: EventLog, written: Written) -> None:
    first, second, third = written.ours
    for position, expected in (
        (position_of(first), [second, third]),
        (position_of(written.others[0]), [second, third]),  # the position of an event that does not match
        (position_of(third), []),
    ):
        assert [event async for event in log.after(position, pattern(written))] == expected
        assert [event async for event in log.history(pattern(written), position)] == expected
        assert [event async for event in log.after(position, pattern(written), limit=1)] == expected[:1]
        assert await log.count_after(position, pattern(written), 10) == len(expected)


async def test_the_last_at_or_before_any_number_is_found(log: EventLog, written: Written) -> None:
    first, second, third = written.ours
    typed = random.randint(position_of(second), position_of(third) - 1)
    assert await log.last(pattern(written)) == third
    assert await log.last(pattern(written), typed) == second
    assert await log.last(pattern(written), position_of(first)) == first
    assert await log.last(pattern(written), position_of(first) - 1) is None
    assert await log.head(pattern(written), position_of(first) - 1) == START


async def test_what_is_pending_after_a_position_is_reported(log: EventLog, written: Written) -> None:
    first, second, third = written.ours
    pending = await log.pending_after(position_of(first), pattern(written))
    assert pending.next_event == position_of(second)
    assert pending.covers(position_of(written.others[0]))
    assert not pending.covers(position_of(second))
    pending = await log.pending_after(position_of(third), pattern(written))
    assert (pending.next_event, pending.head.position >= position_of(written.others[-1])) == (None, True)
    assert pending.covers(pending.head.position)


async def test_a_subscription_goes_on_behind_a_position(log: EventLog, written: Written) -> None:
    first, second, third = written.ours
    seen: list[RecordedEvent] = []
    async with CatchUpSubscription(log, streams(pattern(written)), position_of(first)) as subscription:
        while len(seen) < 2:
            seen += [event for event in await subscription.batch(10, 1.0) if event.type == "Happened"]
        assert subscription.position >= position_of(third)
    assert seen == [second, third]


@pytest.mark.sends_unknown_positions
async def test_a_position_of_no_event_is_of_another_log(log: EventLog, written: Written) -> None:
    made_up = position_of(written.ours[1]) + 1
    with pytest.raises(LogMismatch):
        [event async for event in log.after(made_up, pattern(written))]
    async with CatchUpSubscription(log, streams(pattern(written)), made_up) as subscription:
        with pytest.raises(LogMismatch):
            await anext(subscription.items(20.0))
    assert not await log.is_of_this_log(LogPoint(made_up, str(written.ours[1].id)))


async def test_a_point_is_known_by_the_event_there(log: EventLog, written: Written) -> None:
    first, second, _ = written.ours
    assert await log.is_of_this_log(LogPoint())
    assert await log.is_of_this_log(point_of(first))
    assert await log.is_of_this_log(LogPoint(position_of(first)))
    assert not await log.is_of_this_log(LogPoint(position_of(first), str(second.id)))


async def test_a_truncated_stream_is_read_once_however_long_it_is(client: Client, log: EventLog) -> None:
    stream, events = f"long-{fresh_id()}", [NewEvent("Happened", b"{}") for _ in range(PAGE + 20)]
    await client.append_to_stream(stream, current_version=StreamState.NO_STREAM, events=events)
    await client.set_stream_metadata(stream, metadata={"$tb": 10}, current_version=StreamState.ANY)
    found = await log.complete_stream(stream)
    assert found is not None
    assert [event.stream_position for event in found] == list(range(10, PAGE + 20))


async def test_a_group_that_is_not_there_is_reported(client: Client) -> None:
    with pytest.raises(NotFound):
        async with aclosing(
            (await Groups(EventLog(client)).consumer_of_all(f"nobody-{fresh_id()}")).events()
        ) as events:
            await anext(events)


async def test_a_cancelled_reader_ends_whatever_the_client_makes_of_it() -> None:
    """esdbclient turns a cancelled wait into an error of its own."""

    async def read() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as cancelled:
            with store_errors():
                raise CancelledByClient from cancelled

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.sends_unknown_positions
async def test_a_point_beyond_the_end_is_of_another_log(log: EventLog, written: Written) -> None:
    async with embedded_eventstore() as uri:
        other = await connect(uri)
        try:
            assert not await EventLog(other).is_of_this_log(point_of(written.ours[-1]))
        finally:
            await other.close()


async def test_a_long_read_goes_on_where_a_cut_connection_left_it(tmp_path: Path) -> None:
    port = free_port()
    async with AsyncExitStack() as first, AsyncExitStack() as until_the_end:
        uri = await first.enter_async_context(embedded_eventstore(tmp_path / "data", port=port))
        client = await connect(uri)
        until_the_end.push_async_callback(client.close)
        wanted = await many_events(client)
        log, found = EventLog(client), []
        async with aclosing(log.after(START, "long-.*")) as reading:
            for _ in range(10):
                found.append((await anext(reading)).id)
            await first.aclose()
            async with embedded_eventstore(tmp_path / "data", port=port):
                found += [event.id async for event in reading]
                assert found == wanted
                assert [event.id async for event in log.history("long-.*")] == wanted


async def test_a_read_that_cannot_go_on_says_so_after_a_few_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.eventstore.resumed_read.MAX_PAUSE", 0.01)
    async with AsyncExitStack() as first, AsyncExitStack() as until_the_end:
        client = await connect(await first.enter_async_context(embedded_eventstore(tmp_path / "data")))
        until_the_end.push_async_callback(client.close)
        wanted = await many_events(client)
        read: list[UUID] = []

        async def read_on() -> None:
            async for event in reading:
                read.append(event.id)

        async with aclosing(EventLog(client).after(START, "long-.*")) as reading:
            await anext(reading)
            await first.aclose()
            with pytest.raises(StoreUnavailable):
                await read_on()
        assert 0 < len(read) < len(wanted) - 1


async def many_events(client: Client) -> list[UUID]:
    """More than a connection holds ahead of its reader: 16 MB. Their ids."""
    events = [NewEvent("Happened", b"{}", metadata=b"0" * 8_000) for _ in range(2_000)]
    for at in range(0, len(events), 100):
        await client.append_to_stream("long-1", current_version=StreamState.ANY, events=events[at : at + 100])
    return [event.id for event in events]


async def test_a_subscription_is_intact_until_its_connection_breaks(tmp_path: Path) -> None:
    port = free_port()
    async with AsyncExitStack() as first, AsyncExitStack() as until_the_end:
        uri = await first.enter_async_context(embedded_eventstore(tmp_path / "data", port=port))
        client = await connect(uri)
        until_the_end.push_async_callback(client.close)
        following = CatchUpSubscription(EventLog(client), streams("order-.*"))
        await until_the_end.enter_async_context(following)
        assert following.is_intact
        await first.aclose()
        async with embedded_eventstore(tmp_path / "data", port=port):

            async def is_intact() -> bool:
                return following.is_intact

            await eventually(is_intact, lambda intact: not intact)
