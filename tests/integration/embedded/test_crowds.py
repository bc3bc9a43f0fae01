"""Many events, many subscriptions, slow ones among them: memory stays bounded, and nobody waits for another."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from esdbclient import NewEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.protos.Grpc import streams_pb2

from tests.support.processes import Running, running

Client = AsyncEventStoreDBClient
MIB = 1024 * 1024
STREAMS = "/event_store.client.streams.Streams/"


def resident(node: Running) -> int:
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


async def connected(node: Running) -> Client:
    client = AsyncEventStoreDBClient(node.ready["uri"])
    await client.connect()
    return client


async def fill(client: Client, stream: str, events: int, size: int) -> None:
    per_append = min(900_000 // (size + 100), 2_000)
    for start in range(0, events, per_append):
        count = min(per_append, events - start)
        new = [NewEvent(type="E", data=b"x" * size, content_type="application/octet-stream") for _ in range(count)]
        await client.append_to_stream(stream, current_version=StreamState.ANY, events=new)


def subscription(channel: grpc.aio.Channel, stream: str) -> Any:
    """One that takes nothing unless it is read from."""
    request = streams_pb2.ReadReq()
    options = request.options
    options.stream.stream_identifier.stream_name = stream.encode()
    options.stream.start.SetInParent()
    options.subscription.SetInParent()
    options.no_filter.SetInParent()
    options.uuid_option.string.SetInParent()
    rpc: Any = channel.unary_stream(
        STREAMS + "Read", streams_pb2.ReadReq.SerializeToString, streams_pb2.ReadResp.FromString
    )
    return rpc(request)


async def following(channel: grpc.aio.Channel, streams: list[str]) -> list[Any]:
    calls = [subscription(channel, stream) for stream in streams]
    for call in calls:
        assert (await asyncio.wait_for(call.read(), 30)).WhichOneof("content") == "confirmation"
    return calls


async def many_events(node: Running, events: int, size: int) -> None:
    client = await connected(node)
    await fill(client, "s-1", events, size)
    before = resident(node)
    for reading in (client.read_all(), client.read_stream("s-1", backwards=True)):
        seen, largest = 0, 0
        async for _ in await reading:
            seen += 1
            if seen % 1_000 == 0:
                largest = max(largest, resident(node))
        assert seen == events
        assert largest - before < 64 * MIB
    await client.close()


async def test_many_events_are_read_in_bounded_memory(tmp_path: Path) -> None:
    with running("embedded", "eventstore", "--port", "0", "--data", str(tmp_path)) as node:
        await many_events(node, 10_000, 8_000)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_a_million_events_are_read_in_bounded_memory(tmp_path: Path) -> None:
    with running("embedded", "eventstore", "--port", "0", "--data", str(tmp_path)) as node:
        await many_events(node, 1_000_000, 100)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Running]:
    with running("embedded", "eventstore", "--port", "0", "--data", str(tmp_path)) as node:
        yield node


async def test_subscribers_that_do_not_read_cost_bounded_memory_and_nobodys_time(node: Running) -> None:
    client = await connected(node)
    async with grpc.aio.insecure_channel(node.ready["address"]) as channel:
        slow = await following(channel, ["s-1"] * 5)
        await fill(client, "s-1", 2_000, 8_000)  # fills what is kept in memory for those who keep up
        before = resident(node)
        await fill(client, "s-1", 12_000, 8_000)
        assert resident(node) - before < 64 * MIB
        quick = await client.subscribe_to_stream("s-1", stream_position=13_998)
        event = await asyncio.wait_for(anext(quick), 30)
        assert event.stream_position == 13_999
        await quick.stop()
        for call in slow:
            call.cancel()
    await client.close()


async def test_a_thousand_idle_subscriptions_are_there_when_something_comes(node: Running) -> None:
    streams = [f"s{uuid.uuid4().hex}-1" for _ in range(1_000)]
    client = await connected(node)
    async with grpc.aio.insecure_channel(node.ready["address"]) as channel:
        calls = await following(channel, streams)
        for call in calls:
            assert (await asyncio.wait_for(call.read(), 30)).WhichOneof("content") == "caught_up"
        for chosen in (0, 500, 999):
            await fill(client, streams[chosen], 1, 10)
            message = await asyncio.wait_for(calls[chosen].read(), 30)
            assert message.event.event.stream_identifier.stream_name.decode() == streams[chosen]
        for call in calls:
            call.cancel()
    await client.close()
