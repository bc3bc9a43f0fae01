"""What no recording shows of persistent subscriptions: bounds of buffers and checkpoints, old directories."""

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from esdbclient import NewEvent, RecordedEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.exceptions import NotFound
from esdbclient.protos.Grpc import persistent_pb2 as pb

from embedded.eventstore.node import node
from embedded.eventstore.positions import offset
from tests.integration.embedded.test_former_layout import CHECKPOINT, GROUP, TYPES, connected, directory
from tests.support.eventually import eventually

__all__ = ["directory"]
Client = AsyncEventStoreDBClient
READ = "/event_store.client.persistent_subscriptions.PersistentSubscriptions/Read"
WITHIN = 15.0


async def append(client: Client, stream: str, count: int) -> None:
    events = [NewEvent(type=f"E{n}", data=b"{}") for n in range(count)]
    await client.append_to_stream(stream, current_version=StreamState.ANY, events=events)


async def next_of(subscription: Any, count: int) -> list[RecordedEvent]:
    return [await asyncio.wait_for(anext(subscription), WITHIN) for _ in range(count)]


async def places_of(client: Client, source: str) -> list[str]:
    """What the checkpoint stream of the group `g` says."""
    try:
        return [json.loads(e.data) for e in await client.get_stream(f"$persistentsubscription-{source}::g-checkpoint")]
    except NotFound:
        return []


async def test_it_never_holds_more_than_its_buffer(own_client: Client) -> None:
    await append(own_client, "s-1", 50)
    await own_client.create_subscription_to_stream("g", "s-1", read_batch_size=4, history_buffer_size=10)
    seen = await eventually(lambda: own_client.get_subscription_info("g", "s-1"), lambda i: i.read_buffer_count > 6)
    assert seen.read_buffer_count <= 10


async def test_the_live_buffer_counts_the_newest_events_delivered_or_not(own_client: Client) -> None:
    await append(own_client, "s-1", 3)
    await own_client.create_subscription_to_stream("g", "s-1", live_buffer_size=2)
    async with await own_client.read_subscription_to_stream("g", "s-1") as consumer:
        for event in await next_of(consumer, 3):
            await consumer.ack(event)
        assert (await own_client.get_subscription_info("g", "s-1")).live_buffer_count == 0
        for count in (1, 2, 2):
            await append(own_client, "s-1", 1)
            await consumer.ack((await next_of(consumer, 1))[0])
            assert (await own_client.get_subscription_info("g", "s-1")).live_buffer_count == count


async def test_its_checkpoint_calls_for_no_other(own_client: Client) -> None:
    """A checkpoint of a group on everything is an event in the log that the group passes."""
    often: dict[str, Any] = {"min_checkpoint_count": 1, "max_checkpoint_count": 1000, "checkpoint_after": 0.1}
    await own_client.create_subscription_to_all("g", filter_include=["s-1"], filter_by_stream_name=True, **often)
    await own_client.create_subscription_to_stream("clock", "clock-1", message_timeout=0.1)
    clock = await own_client.read_subscription_to_stream("clock", "clock-1")
    async with await own_client.read_subscription_to_all("g") as consumer:
        await append(own_client, "clock-1", 1)
        await append(own_client, "s-1", 1)
        [event] = await next_of(consumer, 1)
        await consumer.ack(event)
        place = f"C:{event.commit_position}/P:{event.commit_position}"

        async def last_place() -> str:
            return (await places_of(own_client, "$all") or [""])[-1]

        await eventually(last_place, lambda last: last == place)
        before = await places_of(own_client, "$all")
        await next_of(clock, 4)  # each comes at a tick, when checkpoints are due
        assert await places_of(own_client, "$all") == before
    await clock.stop()


@pytest.mark.parametrize("action", [5, 7])
async def test_an_answer_of_no_known_action_ends_the_call(
    own_client: Client, own_channel: grpc.aio.Channel, action: Any
) -> None:
    await append(own_client, "s-1", 1)
    await own_client.create_subscription_to_stream("g", "s-1")
    call: Any = own_channel.stream_stream(READ, pb.ReadReq.SerializeToString, pb.ReadResp.FromString)()
    joining = pb.ReadReq()
    joining.options.group_name, joining.options.buffer_size = "g", 10
    joining.options.stream_identifier.stream_name = b"s-1"
    joining.options.uuid_option.string.SetInParent()
    await call.write(joining)
    await call.read()
    found = await call.read()
    await call.write(pb.ReadReq(nack=pb.ReadReq.Nack(ids=[found.event.event.id], action=action)))
    assert await asyncio.wait_for(call.code(), WITHIN) is grpc.StatusCode.UNKNOWN
    seen = await own_client.get_subscription_info("g", "s-1")
    assert (seen.parked_message_count, seen.retry_buffer_count) == (0, 1)


async def test_a_group_of_an_older_node_is_written_down_when_it_goes_on(directory: Path) -> None:
    checkpoints = f"$persistentsubscription-$all::{GROUP}-checkpoint"
    async with node(directory) as address:
        client = await connected(address)
        assert GROUP in [found.group_name for found in await client.list_subscriptions()]
        with pytest.raises(NotFound):
            await client.get_stream(checkpoints)
        former = f"C:{offset(CHECKPOINT)}/P:{offset(CHECKPOINT)}"
        consumed = await client.read_all(filter_include=TYPES, filter_exclude=[])
        next_one, *_ = [e async for e in consumed if (e.commit_position or 0) > offset(CHECKPOINT)]
        await client.update_subscription_to_all(GROUP, max_checkpoint_count=1)
        async with await client.read_subscription_to_all(GROUP) as consumer:
            [event] = await next_of(consumer, 1)
            assert event.id == next_one.id
            await consumer.ack(event)
            seen = await eventually(
                lambda: client.get_subscription_info(GROUP),
                lambda i: i.last_checkpointed_event_position not in ("", former),
            )
        [*_, last] = await client.get_stream(checkpoints)
        assert json.loads(last.data) == seen.last_checkpointed_event_position
        [*_, config] = await client.get_stream("$persistentSubscriptionConfig")
        assert GROUP in [entry["group"] for entry in json.loads(config.data)["entries"]]
        await client.close()
