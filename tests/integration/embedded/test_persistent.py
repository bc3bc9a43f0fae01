"""Persistent subscriptions as the unmodified esdbclient sees them."""

import asyncio
import json
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from esdbclient import NewEvent, RecordedEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.exceptions import (
    AlreadyExists,
    EventStoreDBClientException,
    InternalError,
    MaximumSubscriptionsReached,
    NotFound,
)

from embedded.eventstore import node as embedded_node
from embedded.eventstore.writer import Writer
from tests.support.eventually import eventually
from tests.support.processes import Running, running

Client = AsyncEventStoreDBClient
WITHIN = 15.0


@pytest.fixture(scope="module")
def node() -> Iterator[Running]:
    with running("embedded", "eventstore", "--port", "0", "--memory") as store:
        yield store


@pytest.fixture
async def client(node: Running) -> AsyncIterator[Client]:
    client = await connected(node)
    yield client
    await client.close()


async def connected(node: Running) -> Client:
    client = AsyncEventStoreDBClient(node.ready["uri"])
    await client.connect()
    return client


def name() -> str:
    return f"s{uuid.uuid4().hex}-1"


async def append(client: Client, stream: str, *types: str, metadata: bytes = b"") -> None:
    events = [NewEvent(type=t, data=b"{}", metadata=metadata) for t in types]
    await client.append_to_stream(stream, current_version=StreamState.ANY, events=events)


async def next_of(subscription: Any, count: int) -> list[RecordedEvent]:
    return [await asyncio.wait_for(anext(subscription), WITHIN) for _ in range(count)]


async def take(client: Client, group: str, stream: str, count: int, *, how: str = "ack") -> list[str]:
    """Read that many events, and acknowledge each, or send it back with an action."""
    async with await client.read_subscription_to_stream(group, stream) as subscription:
        events = await next_of(subscription, count)
        for event in events:
            if how == "ack":
                await subscription.ack(event)
            elif how != "none":
                await subscription.nack(event, how)  # type: ignore[arg-type]  # one of the four actions
    return [event.type for event in events]


async def info(client: Client, group: str, stream: str) -> Any:
    return await client.get_subscription_info(group, stream)


async def test_events_before_and_after_are_delivered_in_order(client: Client) -> None:
    stream = name()
    await client.create_subscription_to_stream("g", stream)
    await append(client, stream, "A", "B")
    async with await client.read_subscription_to_stream("g", stream) as subscription:
        first = await next_of(subscription, 2)
        await append(client, stream, "C")
        [third] = await next_of(subscription, 1)
    assert [event.type for event in (*first, third)] == ["A", "B", "C"]
    assert first[0].retry_count == 0


async def test_what_was_not_acknowledged_comes_again_before_anything_new(client: Client) -> None:
    stream = name()
    await client.create_subscription_to_stream("g", stream)
    await append(client, stream, "A", "B")
    assert await take(client, "g", stream, 2, how="none") == ["A", "B"]
    await append(client, stream, "C")
    async with await client.read_subscription_to_stream("g", stream) as subscription:
        events = await next_of(subscription, 3)
    assert [(event.type, event.retry_count) for event in events] == [("A", 1), ("B", 1), ("C", 0)]


async def test_a_retried_event_comes_again_until_it_is_parked_and_then_replayed(client: Client) -> None:
    stream = name()
    await client.create_subscription_to_stream("g", stream, max_retry_count=1)
    await append(client, stream, "A")
    async with await client.read_subscription_to_stream("g", stream) as subscription:
        for retries in range(2):
            [event] = await next_of(subscription, 1)
            assert event.retry_count == retries
            await subscription.nack(event, "retry")
    await eventually(lambda: info(client, "g", stream), lambda i: i.parked_message_count == 1)
    await client.replay_parked_events("g", stream)
    async with await client.read_subscription_to_stream("g", stream) as subscription:
        [event] = await next_of(subscription, 1)
        assert (event.type, event.retry_count, event.stream_name) == ("A", 0, stream)
        await subscription.ack(event)
    assert (await info(client, "g", stream)).parked_message_count == 0


async def test_a_skipped_event_is_gone_and_a_parked_one_is_counted(client: Client) -> None:
    stream = name()
    await client.create_subscription_to_stream("g", stream)
    await append(client, stream, "A", "B")
    await take(client, "g", stream, 1, how="skip")
    await eventually(lambda: info(client, "g", stream), lambda i: i.total_in_flight_messages == 0)
    await take(client, "g", stream, 1, how="park")
    await eventually(lambda: info(client, "g", stream), lambda i: i.parked_message_count == 1)
    [parked] = await client.get_stream(f"$persistentsubscription-{stream}::g-parked")
    about = json.loads(parked.metadata)
    assert about["subscriptionEventNumber"] == 1
    assert datetime.fromisoformat(about["added"]) <= datetime.now(UTC)


async def test_an_event_nobody_answers_for_comes_again(client: Client) -> None:
    stream = name()
    await client.create_subscription_to_stream("g", stream, message_timeout=0.1)
    await append(client, stream, "A")
    async with await client.read_subscription_to_stream("g", stream) as subscription:
        events = await next_of(subscription, 2)
    assert [event.retry_count for event in events] == [0, 1]


@pytest.mark.parametrize("strategy", ["RoundRobin", "DispatchToSingle", "Pinned", "PinnedByCorrelation"])
async def test_consumers_share_the_events_by_each_strategy(client: Client, strategy: Any) -> None:
    stream = name()
    await client.create_subscription_to_stream("g", stream, consumer_strategy=strategy)
    seen: list[list[str]] = [[], []]

    async def consume(subscription: Any, into: list[str]) -> None:
        async for event in subscription:
            into.append(event.type)
            await subscription.ack(event)

    one = await client.read_subscription_to_stream("g", stream)
    two = await client.read_subscription_to_stream("g", stream)
    tasks = [asyncio.create_task(consume(s, into)) for s, into in zip((one, two), seen, strict=True)]
    wanted = [f"E{n}" for n in range(10)]
    await append(client, stream, *wanted)

    async def all_seen() -> bool:
        return sorted(seen[0] + seen[1]) == wanted

    await eventually(all_seen)
    if strategy == "RoundRobin":
        assert len(seen[0]) == len(seen[1]) == 5
    else:
        assert {len(seen[0]), len(seen[1])} == {0, 10}
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await one.stop()
    await two.stop()


async def test_a_subscription_to_all_with_a_filter_sees_what_matches(client: Client) -> None:
    stream, group = name(), uuid.uuid4().hex
    await client.create_subscription_to_all(group, filter_include=[stream], filter_by_stream_name=True)
    await append(client, name(), "X")
    await append(client, stream, "A")
    async with await client.read_subscription_to_all(group) as subscription:
        [event] = await next_of(subscription, 1)
        await subscription.ack(event)
    assert (event.type, event.commit_position is not None) == ("A", True)


async def test_a_subscription_from_the_end_begins_with_what_comes(client: Client) -> None:
    stream = name()
    await append(client, stream, "A")
    await client.create_subscription_to_stream("g", stream, from_end=True)
    assert (await info(client, "g", stream)).last_known_event_position == "", "it has not looked at any"
    await append(client, stream, "B")
    assert await take(client, "g", stream, 1) == ["B"]
    assert (await info(client, "g", stream)).start_from == "-1"


async def test_links_lead_to_what_they_name(client: Client) -> None:
    stream, links = name(), name()
    await append(client, stream, "A")
    link = NewEvent(type="$>", data=f"0@{stream}".encode(), content_type="application/octet-stream")
    await client.append_to_stream(links, current_version=StreamState.ANY, events=[link])
    await client.create_subscription_to_stream("g", links, resolve_links=True)
    async with await client.read_subscription_to_stream("g", links) as subscription:
        [event] = await next_of(subscription, 1)
        await subscription.ack(event)
    assert (event.type, event.link is not None and event.link.id == link.id) == ("A", True)


async def test_what_is_wrong_is_said_with_the_right_error(client: Client) -> None:
    stream = name()
    with pytest.raises(NotFound):
        await client.read_subscription_to_stream("g", stream)
    with pytest.raises(NotFound):
        await client.get_subscription_info("g", stream)
    with pytest.raises(InternalError):
        await client.create_subscription_to_stream("g", stream, read_batch_size=5, history_buffer_size=5)
    await client.create_subscription_to_stream("g", stream, max_subscriber_count=1)
    with pytest.raises(AlreadyExists):
        await client.create_subscription_to_stream("g", stream)
    async with await client.read_subscription_to_stream("g", stream):
        with pytest.raises(MaximumSubscriptionsReached):
            await client.read_subscription_to_stream("g", stream)
    assert [i.group_name for i in await client.list_subscriptions_to_stream(stream)] == ["g"]
    await client.delete_subscription("g", stream)
    assert await client.list_subscriptions_to_stream(stream) == []
    with pytest.raises(NotFound):
        await client.delete_subscription("g", stream)


async def test_an_update_drops_consumers_and_keeps_the_rest(client: Client) -> None:
    stream = name()
    await client.create_subscription_to_stream("g", stream)
    await append(client, stream, "A")
    async with await client.read_subscription_to_stream("g", stream) as subscription:
        await next_of(subscription, 1)
        await client.update_subscription_to_stream("g", stream, max_retry_count=3)
        with pytest.raises(EventStoreDBClientException, match="was dropped"):
            await next_of(subscription, 1)
    assert (await info(client, "g", stream)).max_retry_count == 3
    assert await take(client, "g", stream, 1) == ["A"]


async def test_a_killed_node_goes_on_after_the_last_checkpoint(tmp_path: Path) -> None:
    stream = name()
    with running("embedded", "eventstore", "--port", "0", "--data", str(tmp_path)) as node:
        client = await connected(node)
        await client.create_subscription_to_stream("g", stream, max_checkpoint_count=2)
        await append(client, stream, "A", "B", "C")
        assert await take(client, "g", stream, 2) == ["A", "B"]
        await eventually(lambda: info(client, "g", stream), lambda i: i.last_checkpointed_event_position == "1")
        await client.close()
        node.kill()
        node.start()
        client = await connected(node)
        assert await take(client, "g", stream, 1) == ["C"]
        await client.close()


async def test_what_was_parked_and_delivered_again_is_not_lost_by_a_kill(tmp_path: Path) -> None:
    stream = name()
    with running("embedded", "eventstore", "--port", "0", "--data", str(tmp_path)) as node:
        client = await connected(node)
        await client.create_subscription_to_stream("g", stream, max_checkpoint_count=1)
        await append(client, stream, "A", "B", "C")
        assert await take(client, "g", stream, 3, how="park") == ["A", "B", "C"]
        await eventually(lambda: info(client, "g", stream), lambda i: i.last_checkpointed_event_position == "2")
        await client.replay_parked_events("g", stream)
        assert await take(client, "g", stream, 1) == ["A"]
        await client.close()
        node.kill()
        node.start()
        client = await connected(node)
        assert (await info(client, "g", stream)).parked_message_count == 0
        async with await client.read_subscription_to_stream("g", stream) as consumer:
            again: list[str] = []
            while again[-2:] != ["B", "C"]:  # A may come once more: at least once
                event = await asyncio.wait_for(anext(consumer), WITHIN)
                again.append(event.type)
                await consumer.ack(event)
        await client.close()


async def test_what_was_parked_and_delivered_again_is_not_lost_by_an_update(client: Client) -> None:
    stream = name()
    await client.create_subscription_to_stream("g", stream, max_checkpoint_count=1)
    await append(client, stream, "A", "B")
    assert await take(client, "g", stream, 2, how="park") == ["A", "B"]
    await eventually(lambda: info(client, "g", stream), lambda i: i.last_checkpointed_event_position == "1")
    await client.replay_parked_events("g", stream)
    await client.update_subscription_to_stream("g", stream, max_retry_count=1)
    assert await take(client, "g", stream, 2) == ["A", "B"]
    await eventually(lambda: info(client, "g", stream), lambda i: i.retry_buffer_count + i.read_buffer_count == 0)


class Waiting(Writer):
    """Writes on request."""

    waits = threading.Event()
    goes_on = threading.Event()

    def begin(self) -> None:
        self.waits.set()
        self.goes_on.wait(WITHIN)
        super().begin()


async def test_a_caller_that_goes_away_leaves_nothing_half_made() -> None:
    stream = name()
    Waiting.goes_on.set()
    async with embedded_node.node(None, writer=Waiting) as address:
        client = AsyncEventStoreDBClient(f"esdb://{address}?Tls=false")
        await client.connect()
        for event in (Waiting.goes_on, Waiting.waits):
            event.clear()
        making = asyncio.create_task(client.create_subscription_to_stream("g", stream))
        await asyncio.to_thread(Waiting.waits.wait, WITHIN)
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)
        Waiting.goes_on.set()

        async def listed() -> list[str]:
            return [i.group_name for i in await client.list_subscriptions_to_stream(stream)]

        assert await eventually(listed, within=WITHIN) == ["g"]
        await client.close()
