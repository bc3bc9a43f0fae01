"""A call, whatever it is about: when it is answered, when it is not carried out, and how it ends with the node."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from esdbclient import EventStoreDBClient, NewEvent, StreamState
from esdbclient.exceptions import GrpcDeadlineExceeded, NotFound
from esdbclient.protos.Grpc import gossip_pb2, persistent_pb2, shared_pb2, streams_pb2

from embedded.eventstore.node import node
from tests.support.processes import running

STREAMS = "/event_store.client.streams.Streams/"
GROUPS = "/event_store.client.persistent_subscriptions.PersistentSubscriptions/"
WITHIN = 10.0
SOON = 0.3  # seconds; in which a node that did not wait would have answered


def reading(stream: str, *, endlessly: bool = False) -> Any:
    request = streams_pb2.ReadReq()
    request.options.stream.stream_identifier.stream_name = stream.encode()
    request.options.stream.start.SetInParent()
    request.options.no_filter.SetInParent()
    request.options.uuid_option.string.SetInParent()
    if endlessly:
        request.options.subscription.SetInParent()
    else:
        request.options.count = 100
    return request


def appending(stream: str) -> Any:
    request = streams_pb2.BatchAppendReq(is_final=True)
    request.correlation_id.string = str(uuid.uuid4())
    request.options.stream_identifier.stream_name = stream.encode()
    request.options.any.SetInParent()
    message = request.proposed_messages.add(data=b"{}")
    message.id.string = str(uuid.uuid4())
    message.metadata.update({"type": "Happened", "content-type": "application/json"})
    return request


def opened(channel: grpc.aio.Channel, method: str, response: Any) -> Any:
    """A call that is left open on the client's side, whatever the method takes."""
    rpc: Any = channel.stream_stream(method, lambda message: message.SerializeToString(), response.FromString)
    return rpc(timeout=WITHIN)


@pytest.mark.parametrize(
    ("method", "request_", "response"),
    [
        (STREAMS + "Read", reading("s-1"), streams_pb2.ReadResp),
        ("/event_store.client.gossip.Gossip/Read", shared_pb2.Empty(), gossip_pb2.ClusterInfo),
    ],
    ids=["one answer of many", "one answer"],
)
async def test_one_request_is_answered_when_the_client_has_closed_its_side(
    own_channel: grpc.aio.Channel, method: str, request_: Any, response: Any
) -> None:
    call = opened(own_channel, method, response)
    await call.write(request_)
    answer = asyncio.create_task(call.read())
    await asyncio.wait([answer], timeout=SOON)
    assert not answer.done(), "a client whose own end comes later could take this for a failure"
    await call.done_writing()
    assert isinstance(await answer, response)


async def test_a_call_without_its_request_is_refused(own_channel: grpc.aio.Channel) -> None:
    call = opened(own_channel, STREAMS + "Read", streams_pb2.ReadResp)
    await call.done_writing()
    assert await call.code() is grpc.StatusCode.INTERNAL
    assert await call.details() == "Incomplete message."


@pytest.fixture(scope="module")
def client() -> Iterator[EventStoreDBClient]:
    with running("embedded", "eventstore", "--port", "0", "--memory") as store:
        client = EventStoreDBClient(store.ready["uri"])
        yield client
        client.close()


def event() -> NewEvent:
    return NewEvent(type="Happened", data=b"{}")


Act = Callable[[EventStoreDBClient, str], object]
NO_TIME_FOR: dict[str, Act] = {
    "an append": lambda c, s: c.append_to_stream(s, current_version=StreamState.ANY, events=event(), timeout=0),
    "an append of many": lambda c, s: c.append_to_stream(
        s, current_version=StreamState.ANY, events=[event(), event()], timeout=0
    ),
    "a deletion": lambda c, s: c.delete_stream(s, current_version=StreamState.ANY, timeout=0),
    "a tombstone": lambda c, s: c.tombstone_stream(s, current_version=StreamState.ANY, timeout=0),
    "a read": lambda c, s: c.get_stream(s, timeout=0),
    "a subscription": lambda c, s: next(iter(c.subscribe_to_stream(s, timeout=0))),
    "a group": lambda c, s: c.create_subscription_to_stream(s, s, timeout=0),
}


@pytest.mark.parametrize("act", NO_TIME_FOR.values(), ids=NO_TIME_FOR)
def test_a_call_that_leaves_no_time_for_an_answer_is_not_carried_out(client: EventStoreDBClient, act: Act) -> None:
    stream = f"s-{uuid.uuid4().hex}"
    client.append_to_stream(stream, current_version=StreamState.NO_STREAM, events=event())
    with pytest.raises(GrpcDeadlineExceeded):
        act(client, stream)
    assert len(client.get_stream(stream)) == 1
    with pytest.raises(NotFound):
        client.get_subscription_info(stream, stream)


async def to_the_end(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


def options_of_an_append(stream: str) -> Any:
    request = streams_pb2.AppendReq()
    request.options.stream_identifier.stream_name = stream.encode()
    request.options.any.SetInParent()
    return request


@pytest.mark.parametrize(
    ("method", "request_", "response", "goes_on"),
    [
        ("Read", reading("s-1", endlessly=True), streams_pb2.ReadResp, False),
        ("BatchAppend", appending("s-1"), streams_pb2.BatchAppendResp, True),
        ("Append", options_of_an_append("s-1"), None, True),
    ],
    ids=["a subscription", "a call for batches", "an append without its end"],
)
async def test_what_would_go_on_is_unavailable_when_the_node_stops(
    method: str, request_: Any, response: Any, goes_on: bool
) -> None:
    async with AsyncExitStack() as client_side, AsyncExitStack() as node_side:
        address = await node_side.enter_async_context(node(None))
        channel = await client_side.enter_async_context(grpc.aio.insecure_channel(address))
        call = opened(channel, STREAMS + method, response or streams_pb2.AppendResp)
        await call.write(request_)
        if not goes_on:
            await call.done_writing()
        if response is not None:
            assert isinstance(await call.read(), response)
        else:
            await has_come(channel)
        await node_side.aclose()
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await to_the_end(call)
        assert (ended.value.code(), ended.value.details()) == (grpc.StatusCode.UNAVAILABLE, "Server Is Not Ready")


async def test_a_read_that_nobody_takes_is_unavailable_when_the_node_stops() -> None:
    async with AsyncExitStack() as client_side, AsyncExitStack() as node_side:
        address = await node_side.enter_async_context(node(None))
        with EventStoreDBClient(f"esdb://{address}?Tls=false") as client:
            for _ in range(40):  # more than the buffers of a connection hold
                new = NewEvent(type="Happened", data=bytes(1_000_000))
                await asyncio.to_thread(client.append_to_stream, "s-1", current_version=StreamState.ANY, events=[new])
        channel = await client_side.enter_async_context(grpc.aio.insecure_channel(address))
        call = opened(channel, STREAMS + "Read", streams_pb2.ReadResp)
        await call.write(reading("s-1"))
        await call.done_writing()
        assert isinstance(await call.read(), streams_pb2.ReadResp)
        await node_side.aclose()
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await to_the_end(call)
        assert ended.value.code() == grpc.StatusCode.UNAVAILABLE


async def has_come(channel: grpc.aio.Channel) -> None:
    """What was sent over the channel before has come to the node: a call that was made after it is answered."""
    call = opened(channel, STREAMS + "Read", streams_pb2.ReadResp)
    await call.write(reading("s-1"))
    await call.done_writing()
    await to_the_end(call)


async def test_a_consumer_is_dropped_when_the_node_stops() -> None:
    async with AsyncExitStack() as client_side, AsyncExitStack() as node_side:
        address = await node_side.enter_async_context(node(None))
        with EventStoreDBClient(f"esdb://{address}?Tls=false") as client:
            await asyncio.to_thread(client.create_subscription_to_stream, "g", "s-1")
        channel = await client_side.enter_async_context(grpc.aio.insecure_channel(address))
        call = opened(channel, GROUPS + "Read", persistent_pb2.ReadResp)
        request = persistent_pb2.ReadReq()
        request.options.stream_identifier.stream_name = b"s-1"
        request.options.group_name, request.options.buffer_size = "g", 1
        request.options.uuid_option.string.SetInParent()
        await call.write(request)
        assert isinstance(await call.read(), persistent_pb2.ReadResp)
        await node_side.aclose()
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await to_the_end(call)
        assert ended.value.code() == grpc.StatusCode.CANCELLED
        assert ended.value.details() == "Subscription group g on stream s-1 was dropped."


async def test_a_name_in_an_error_is_reported_as_it_is_if_it_can_be_printed(own_channel: grpc.aio.Channel) -> None:
    rpc: Any = own_channel.unary_unary(
        STREAMS + "Tombstone", streams_pb2.TombstoneReq.SerializeToString, streams_pb2.TombstoneResp.FromString
    )
    request = streams_pb2.TombstoneReq()
    request.options.stream_identifier.stream_name = b"100% of-1"
    request.options.any.SetInParent()
    await rpc(request)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await rpc(request)
    assert ("stream-name", "100% of-1") in tuple(failed.value.trailing_metadata())


async def test_a_connection_carries_a_hundred_calls_and_the_next_one_when_one_of_them_ended(
    own_channel: grpc.aio.Channel,
) -> None:
    calls = []

    async def confirmed() -> bool:
        calls.append(call := opened(own_channel, STREAMS + "Read", streams_pb2.ReadResp))
        await call.write(reading("s-1", endlessly=True))
        await call.done_writing()
        return bool((await call.read()).HasField("confirmation"))

    for _ in range(100):
        assert await confirmed()
    waiting = asyncio.create_task(confirmed())
    answered, _ = await asyncio.wait([waiting], timeout=SOON)
    assert not answered
    calls[0].cancel()
    assert await waiting
    for call in calls:
        call.cancel()


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        (0, grpc.StatusCode.INVALID_ARGUMENT, "Maximum Append Size of 1048576 Exceeded."),
        (1, grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message exceeds the maximum configured message size."),
    ],
)
async def test_a_message_has_at_most_16_mib_less_10000_bytes(
    own_channel: grpc.aio.Channel, more: int, code: grpc.StatusCode, text: str
) -> None:
    message = streams_pb2.AppendReq()
    message.proposed_message.id.string = str(uuid.uuid4())
    message.proposed_message.metadata.update({"type": "Happened", "content-type": "application/json"})
    message.proposed_message.data = bytes(16_767_216)
    message.proposed_message.data = bytes(2 * 16_767_216 - message.ByteSize() + more)
    assert message.ByteSize() == 16_767_216 + more
    call = opened(own_channel, STREAMS + "Append", streams_pb2.AppendResp)
    await call.write(options_of_an_append("s-1"))
    await call.write(message)
    await call.done_writing()
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await to_the_end(call)
    assert (ended.value.code(), ended.value.details()) == (code, text)
