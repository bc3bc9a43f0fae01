"""Many events, many subscriptions, slow ones among them: memory stays bounded, and nobody waits for another."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from esdbclient import EventStoreDBClient, NewEvent, StreamState
from esdbclient.protos.Grpc import streams_pb2

from tests.support.processes import Running, running

Client = EventStoreDBClient
MIB = 1024 * 1024
ALONE = [("grpc.use_local_subchannel_pool", 1)]  # a connection that no other channel shares
STREAMS = "/event_store.client.streams.Streams/"


def resident(node: Running) -> int:
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def connected(node: Running) -> Client:
    return EventStoreDBClient(node.ready["uri"])


def fill(client: Client, stream: str, events: int, size: int) -> None:
    per_append = min(900_000 // (size + 100), 2_000)
    for start in range(0, events, per_append):
        count = min(per_append, events - start)
        new = [NewEvent(type="E", data=b"x" * size, content_type="application/octet-stream") for _ in range(count)]
        client.append_to_stream(stream, current_version=StreamState.ANY, events=new)


def subscription(channel: grpc.Channel, stream: str) -> Any:
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
    return rpc(request, timeout=120)


def following(channel: grpc.Channel, streams: list[str]) -> list[Any]:
    calls = [subscription(channel, stream) for stream in streams]
    for call in calls:
        assert next(call).WhichOneof("content") == "confirmation"
    return calls


def ended(calls: list[Any]) -> None:
    for call in calls:
        call.cancel()


def many_events(node: Running, events: int, size: int) -> None:
    client = connected(node)
    fill(client, "s-1", events, size)
    before = resident(node)
    for reading in (client.read_all(), client.read_stream("s-1", backwards=True)):
        seen, largest = 0, 0
        for _ in reading:
            seen += 1
            if seen % 1_000 == 0:
                largest = max(largest, resident(node))
        assert seen == events
        assert largest - before < 64 * MIB
    client.close()


def test_many_events_are_read_in_bounded_memory(tmp_path: Path) -> None:
    with running("embedded", "eventstore", "--port", "0", "--data", str(tmp_path)) as node:
        many_events(node, 10_000, 8_000)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_million_events_are_read_in_bounded_memory(tmp_path: Path) -> None:
    with running("embedded", "eventstore", "--port", "0", "--data", str(tmp_path)) as node:
        many_events(node, 1_000_000, 100)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Running]:
    with running("embedded", "eventstore", "--port", "0", "--data", str(tmp_path)) as node:
        yield node


def test_subscribers_that_do_not_read_cost_bounded_memory_and_nobodys_time(node: Running) -> None:
    client = connected(node)
    with grpc.insecure_channel(node.ready["address"]) as channel:
        slow = following(channel, ["s-1"] * 5)
        fill(client, "s-1", 2_000, 8_000)  # fills what is kept in memory for those who keep up
        before = resident(node)
        fill(client, "s-1", 12_000, 8_000)
        assert resident(node) - before < 64 * MIB
        quick = client.subscribe_to_stream("s-1", stream_position=13_998)
        event = next(quick)
        assert event.stream_position == 13_999
        quick.stop()
        ended(slow)
    client.close()


def test_a_thousand_idle_subscriptions_are_there_when_something_comes(node: Running) -> None:
    streams = [f"s{uuid.uuid4().hex}-1" for _ in range(1_000)]
    client = connected(node)
    with ExitStack() as connections:
        calls = []
        for first in range(0, 1_000, 100):  # a connection carries no more calls
            channel = connections.enter_context(grpc.insecure_channel(node.ready["address"], options=ALONE))
            calls += following(channel, streams[first : first + 100])
        for call in calls:
            assert next(call).WhichOneof("content") == "caught_up"
        for chosen in (0, 500, 999):
            fill(client, streams[chosen], 1, 10)
            message = next(calls[chosen])
            assert message.event.event.stream_identifier.stream_name.decode() == streams[chosen]
        ended(calls)
    client.close()
