"""What operators see and do with persistent subscriptions: restart, replay up to a place, figures, full consumers.

What esdbclient has no method for is called through its own stubs.
"""

import asyncio
from typing import Any

import grpc
import pytest
from esdbclient import NewEvent, RecordedEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.exceptions import EventStoreDBClientException
from esdbclient.protos.Grpc import persistent_pb2 as pb
from esdbclient.protos.Grpc import shared_pb2

from tests.support.eventually import eventually

Client = AsyncEventStoreDBClient
SERVICE = "/event_store.client.persistent_subscriptions.PersistentSubscriptions/"
WITHIN = 15.0


async def append(client: Client, stream: str, *types: str) -> None:
    events = [NewEvent(type=t, data=b"{}") for t in types]
    await client.append_to_stream(stream, current_version=StreamState.ANY, events=events)


async def next_of(subscription: Any, count: int) -> list[RecordedEvent]:
    return [await asyncio.wait_for(anext(subscription), WITHIN) for _ in range(count)]


async def info(client: Client) -> Any:
    return await client.get_subscription_info("g", "s-1")


async def call(channel: grpc.aio.Channel, method: str, request: Any) -> None:
    rpc: Any = channel.unary_unary(SERVICE + method, type(request).SerializeToString)
    await rpc(request, timeout=WITHIN)


async def park(client: Client, *types: str) -> None:
    async with await client.read_subscription_to_stream("g", "s-1") as subscription:
        for event in await next_of(subscription, len(types)):
            await subscription.nack(event, "park")
    await eventually(lambda: info(client), lambda i: i.parked_message_count == len(types))


async def test_a_restart_of_the_subsystem_drops_consumers_and_goes_on_after_the_checkpoint(
    own_client: Client, own_channel: grpc.aio.Channel
) -> None:
    await append(own_client, "s-1", "A", "B", "C")
    await own_client.create_subscription_to_stream("g", "s-1", max_checkpoint_count=1)
    async with await own_client.read_subscription_to_stream("g", "s-1") as subscription:
        [first, *_] = await next_of(subscription, 3)
        await subscription.ack(first)
        await eventually(lambda: info(own_client), lambda i: i.last_checkpointed_event_position == "0")
        await call(own_channel, "RestartSubsystem", shared_pb2.Empty())
        with pytest.raises(EventStoreDBClientException, match="was dropped"):
            await next_of(subscription, 1)
    async with await own_client.read_subscription_to_stream("g", "s-1") as subscription:
        assert [e.type for e in await next_of(subscription, 2)] == ["B", "C"]


async def test_parked_events_are_replayed_up_to_the_place_asked_for(
    own_client: Client, own_channel: grpc.aio.Channel
) -> None:
    await append(own_client, "s-1", "A", "B", "C")
    await own_client.create_subscription_to_stream("g", "s-1")
    await park(own_client, "A", "B", "C")
    request = pb.ReplayParkedReq()
    request.options.group_name, request.options.stop_at = "g", 2
    request.options.stream_identifier.stream_name = b"s-1"
    await call(own_channel, "ReplayParked", request)
    assert (await info(own_client)).parked_message_count == 1
    async with await own_client.read_subscription_to_stream("g", "s-1") as subscription:
        events = await next_of(subscription, 2)
        assert [(e.type, e.retry_count) for e in events] == [("A", 0), ("B", 0)]
        for event in events:
            await subscription.ack(event)
    request.options.stop_at = -1
    with pytest.raises(grpc.aio.AioRpcError, match="failed: ") as refused:
        await call(own_channel, "ReplayParked", request)
    assert refused.value.code() == grpc.StatusCode.INTERNAL


async def test_extra_statistics_report_how_long_a_consumer_takes(
    own_client: Client, own_channel: grpc.aio.Channel
) -> None:
    await append(own_client, "s-1", *[f"E{n}" for n in range(10)])
    request = pb.GetInfoReq()
    request.options.stream_identifier.stream_name, request.options.group_name = b"s-1", "g"
    rpc: Any = own_channel.unary_unary(SERVICE + "GetInfo", pb.GetInfoReq.SerializeToString, pb.GetInfoResp.FromString)

    async def connection() -> Any:
        [found] = (await rpc(request, timeout=WITHIN)).subscription_info.connections
        return found

    quintiles = [f"Quintile {n}" for n in range(1, 6)]
    every = ["Mean", "Median", "Fastest", *quintiles, "90%", "95%", "99%", "99.5%", "99.9%", "Highest"]
    for extra, wanted in ((False, []), (True, every)):
        await own_client.create_subscription_to_stream("g", "s-1", extra_statistics=extra)
        async with await own_client.read_subscription_to_stream("g", "s-1") as subscription:
            for event in await next_of(subscription, 10):
                await subscription.ack(event)
            seen = await eventually(connection, lambda c: c.in_flight_messages == 0)
            assert [m.key for m in seen.observed_measurements] == wanted
            assert (seen.total_items, seen.available_slots, seen.connection_name != "") == (10, 150, True)
        await own_client.delete_subscription("g", "s-1")


async def test_pinned_events_wait_for_their_consumer_while_others_overtake(
    own_client: Client, own_channel: grpc.aio.Channel
) -> None:
    await own_client.create_subscription_to_all(
        "g", filter_include=["p[ab]-.*"], filter_by_stream_name=True, consumer_strategy="Pinned"
    )
    rpc: Any = own_channel.stream_stream(SERVICE + "Read", pb.ReadReq.SerializeToString, pb.ReadResp.FromString)
    readers = [rpc(), rpc()]
    options = pb.ReadReq()
    options.options.all.SetInParent()
    options.options.group_name, options.options.buffer_size = "g", 1
    options.options.uuid_option.string.SetInParent()
    for reader in readers:
        await reader.write(options)
        assert (await reader.read()).WhichOneof("content") == "subscription_confirmation"
    for stream in ("pa-1", "pb-2"):
        await append(own_client, stream, f"{stream} 0")
    first = [await asyncio.wait_for(reader.read(), WITHIN) for reader in readers]
    pinned = {r.event.event.metadata["type"][:4]: n for n, r in enumerate(first)}
    assert len(pinned) == 2, "a new stream goes to the consumer with the fewest streams"
    await append(own_client, "pa-1", "pa-1 1")  # its consumer is full: it waits
    await append(own_client, "pb-2", "pb-2 1")
    other = readers[pinned["pb-2"]]
    ack = pb.ReadReq()
    ack.ack.ids.add(string=first[pinned["pb-2"]].event.event.id.string)
    await other.write(ack)
    overtaking = await asyncio.wait_for(other.read(), WITHIN)
    assert overtaking.event.event.metadata["type"] == "pb-2 1"
    ack.ack.ids[0].string = first[pinned["pa-1"]].event.event.id.string
    await readers[pinned["pa-1"]].write(ack)
    waited = await asyncio.wait_for(readers[pinned["pa-1"]].read(), WITHIN)
    assert waited.event.event.metadata["type"] == "pa-1 1"
    for reader in readers:
        reader.cancel()
        await reader.code()


async def test_a_subscription_that_cannot_hold_more_says_that_it_is_behind(own_client: Client) -> None:
    await own_client.create_subscription_to_stream("g", "s-1", read_batch_size=2, history_buffer_size=4)
    assert (await info(own_client)).status == "Live"
    await append(own_client, "s-1", *[f"E{n}" for n in range(20)])
    seen = await eventually(lambda: info(own_client), lambda i: i.status == "Behind")
    assert seen.total_items == 0
    async with await own_client.read_subscription_to_stream("g", "s-1") as subscription:
        for event in await next_of(subscription, 20):
            await subscription.ack(event)
        await eventually(lambda: info(own_client), lambda i: i.status == "Live")
