"""The store as the write side sees it, while connections break under it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

import pytest
from esdbclient import NewEvent, StreamState
from uuid_utils import uuid7

from core.eventstore.connection import Client, connect
from core.eventstore.log import EventLog
from core.eventstore.store import NO_EVENTS, EventStore, WrongRevision
from core.eventstore.unchanged import UnchangedRequests
from core.failures import EventsTooLarge, StoreUnavailable
from tests.support.eventually import eventually
from tests.support.wire import wire

MORE_THAN_ARRIVES_AT_ONCE = 3_000  # events of 4 KiB: several flow control windows


class Connected(NamedTuple):
    events: EventStore
    client: Client


@pytest.fixture
async def connected(eventstore_uri: str) -> AsyncIterator[Connected]:
    client = await connect(eventstore_uri)
    events = EventStore(EventLog(client))
    yield Connected(events, client)
    await events.close()
    await client.close()


def name() -> str:
    return f"store-{uuid7().hex}"


def event(data: bytes = b"{}") -> NewEvent:
    return NewEvent(type="Happened", data=data, id=UUID(int=uuid7().int))


async def test_a_read_that_is_broken_off_never_passes_for_the_whole(connected: Connected) -> None:
    stream = name()
    large = [event(b'"' + b"x" * 4_096 + b'"') for _ in range(200)]
    await connected.client.append_to_stream(stream, current_version=StreamState.NO_STREAM, events=large)
    for _ in range(MORE_THAN_ARRIVES_AT_ONCE // 200 - 1):
        more = [event(b'"' + b"x" * 4_096 + b'"') for _ in range(200)]
        await connected.client.append_to_stream(stream, current_version=StreamState.ANY, events=more)

    reading = connected.events.read(stream)
    assert (await anext(reading)).stream_position == 0
    await connected.client.close()  # which cuts its calls off, as another connection does
    with pytest.raises(StoreUnavailable):
        assert len([stored async for stored in reading]) == MORE_THAN_ARRIVES_AT_ONCE - 1


async def test_events_over_the_limit_of_the_store_are_refused_for_good_and_the_others_go_on(
    connected: Connected,
) -> None:
    stream, large = name(), event(b'"' + b"x" * 2**20 + b'"')
    fitting = [connected.events.append(name(), NO_EVENTS, [event()]) for _ in range(20)]
    refused, *written = await asyncio.gather(
        connected.events.append(stream, NO_EVENTS, [large]), *fitting, return_exceptions=True
    )
    assert isinstance(refused, EventsTooLarge)
    assert refused.metadata == {"stream": stream, "size": str(2**20 + 18), "most": str(2**20)}
    assert refused.retry_after is None
    assert all(isinstance(position, int) for position in written)
    assert await connected.events.newest(stream, 1) == []


async def test_appends_under_way_when_the_connection_goes_are_answered_and_written_once(connected: Connected) -> None:
    streams = [name() for _ in range(300)]

    async def append(stream: str) -> int:
        first = await connected.events.append(stream, NO_EVENTS, [event()])
        return max(first, await connected.events.append(stream, 0, [event(), event()]))

    appending = [asyncio.create_task(append(stream)) for stream in streams]
    for _ in range(5):
        await appending[len(streams) // 10]
        await connected.client.reconnect()
    outcomes = await asyncio.gather(*appending, return_exceptions=True)

    acknowledged = [stream for stream, outcome in zip(streams, outcomes, strict=True) if isinstance(outcome, int)]
    refused = {type(outcome) for outcome in outcomes if not isinstance(outcome, int)}
    assert acknowledged
    assert refused <= {StoreUnavailable}
    for stream in acknowledged:
        assert [stored.stream_position async for stored in connected.events.read(stream)] == [0, 1, 2]


async def test_the_answer_is_the_position_at_which_the_event_is_read(connected: Connected) -> None:
    stream = name()
    position = await connected.events.append(stream, NO_EVENTS, [event(), event()])
    assert [stored.commit_position async for stored in connected.events.read(stream, 1)] == [position]
    assert await connected.events.head() >= position


async def test_who_expects_another_revision_has_lost_a_race(connected: Connected) -> None:
    stream = name()
    with pytest.raises(WrongRevision):
        await connected.events.append(stream, 4, [event()])
    await connected.events.append(stream, NO_EVENTS, [event()])
    with pytest.raises(WrongRevision):
        await connected.events.append(stream, NO_EVENTS, [event()])


async def test_the_same_events_again_are_the_same_append(connected: Connected) -> None:
    stream, again = name(), [event()]
    first = await connected.events.append(stream, NO_EVENTS, again)
    await connected.client.reconnect()  # the repeat comes over another call
    assert await connected.events.append(stream, NO_EVENTS, again) == first


async def test_a_stream_keeps_at_most_so_many_events_and_their_revisions(connected: Connected) -> None:
    stream = name()
    await connected.events.keep_at_most(stream, 2)
    for expected in range(NO_EVENTS, 3):
        await connected.events.append(stream, expected, [event()])
    assert [kept.stream_position for kept in await connected.events.newest(stream, 10)] == [2, 3]


async def test_following_requests_that_changed_nothing_ends_at_any_moment(connected: Connected) -> None:
    """Also where the client of the store swallows the cancellation."""
    for n in range(50):
        async with asyncio.timeout(5) as limit:
            async with UnchangedRequests(connected.events, poll=0).following():
                for _ in range(n):
                    await asyncio.sleep(0)
            assert not limit.expired()


async def test_a_connection_that_looks_open_while_nothing_comes_is_replaced(eventstore_uri: str) -> None:
    async with wire(eventstore_uri.removeprefix("esdb://").partition("?")[0]) as between:
        uri = f"esdb://127.0.0.1:{between.port}?Tls=false&keepAliveInterval=200&keepAliveTimeout=300"
        client = await connect(uri)
        events, stream, second = EventStore(EventLog(client)), name(), event()
        await events.append(stream, NO_EVENTS, [event()])
        between.go_silent()

        async def appended() -> bool:
            with suppress(StoreUnavailable):
                return bool(await events.append(stream, 0, [second]))
            return False

        assert await eventually(appended)
        await events.close()
        await client.close()
