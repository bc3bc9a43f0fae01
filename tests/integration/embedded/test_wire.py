"""What the official Python client never asks for, others do: seen through its stubs, message by message."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from esdbclient import NewEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.protos.Grpc import gossip_pb2, persistent_pb2, shared_pb2, streams_pb2

STREAMS = "/event_store.client.streams.Streams/"
Client = AsyncEventStoreDBClient


async def append(client: Client, stream: str, count: int) -> list[NewEvent]:
    events = [NewEvent(type=f"E{n}", data=b"{}") for n in range(count)]
    await client.append_to_stream(stream, current_version=StreamState.NO_STREAM, events=events)
    return events


def read_of(stream: str, *, start: int | None = None, backwards: bool = False) -> Any:
    request = streams_pb2.ReadReq()
    options = request.options
    options.stream.stream_identifier.stream_name = stream.encode()
    if start is not None:
        options.stream.revision = start
    elif backwards:
        options.stream.end.SetInParent()
    else:
        options.stream.start.SetInParent()
    options.read_direction = 1 if backwards else 0  # type: ignore[assignment]  # an enum's number
    options.count = 2**63 - 1
    options.no_filter.SetInParent()
    options.uuid_option.string.SetInParent()
    return request


async def messages(channel: grpc.aio.Channel, request: Any) -> list[Any]:
    rpc: Any = channel.unary_stream(
        STREAMS + "Read", streams_pb2.ReadReq.SerializeToString, streams_pb2.ReadResp.FromString
    )
    return [message async for message in rpc(request, timeout=10)]


class TestPositionsForOlderClients:
    @pytest.mark.parametrize(
        ("start", "backwards", "wanted"),
        [
            (None, False, ["event"] * 2 + ["last_stream_position 3"]),
            (0, False, ["event"] * 2 + ["last_stream_position 3"]),
            (9, False, ["first_stream_position 4", "last_stream_position 3"]),
            (None, True, ["event"] * 2 + ["last_stream_position 3"]),
            (0, True, ["last_stream_position 3"]),
        ],
    )
    async def test_they_follow_the_events_if_asked_for(
        self, own_client: Client, own_channel: grpc.aio.Channel, start: int | None, backwards: bool, wanted: list[str]
    ) -> None:
        await append(own_client, "s-1", 4)
        await own_client.set_stream_metadata("s-1", metadata={"$maxCount": 2})
        request = read_of("s-1", start=start, backwards=backwards)
        plain = await messages(own_channel, request)
        assert {m.WhichOneof("content") for m in plain} <= {"event"}
        request.options.control_option.compatibility = 1
        seen = []
        for message in await messages(own_channel, request):
            kind = message.WhichOneof("content")
            seen.append(kind if kind == "event" else f"{kind} {getattr(message, kind)}")
        assert seen == wanted

    async def test_a_stream_of_which_nothing_is_readable_reports_where_it_goes_on(
        self, own_client: Client, own_channel: grpc.aio.Channel
    ) -> None:
        await append(own_client, "s-1", 2)
        await own_client.set_stream_metadata("s-1", metadata={"$tb": 2})
        request = read_of("s-1")
        request.options.control_option.compatibility = 1
        seen = [m.WhichOneof("content") for m in await messages(own_channel, request)]
        assert seen == ["first_stream_position", "last_stream_position"]


async def test_ids_come_in_two_halves_if_asked_for(own_client: Client, own_channel: grpc.aio.Channel) -> None:
    [event] = await append(own_client, "s-1", 1)
    request = read_of("s-1")
    request.options.uuid_option.structured.SetInParent()
    [message] = await messages(own_channel, request)
    halves = message.event.event.id.structured
    raw = b"".join(
        n.to_bytes(8, "big", signed=True) for n in (halves.most_significant_bits, halves.least_significant_bits)
    )
    assert uuid.UUID(bytes=raw) == event.id


def chunk(correlation: uuid.UUID, *, final: bool, options: bool = False, size: int = 2) -> Any:
    request = streams_pb2.BatchAppendReq(is_final=final)
    request.correlation_id.string = str(correlation)
    if options:
        request.options.stream_identifier.stream_name = b"s-1"
        request.options.any.SetInParent()
        request.options.deadline.seconds = 10
    message = request.proposed_messages.add(data=b"x" * size)
    message.id.string = str(uuid.uuid4())
    message.metadata["type"], message.metadata["content-type"] = "A", "application/octet-stream"
    return request


class TestBatches:
    @pytest.fixture
    async def call(self, own_channel: grpc.aio.Channel) -> AsyncIterator[Any]:
        rpc: Any = own_channel.stream_stream(
            STREAMS + "BatchAppend",
            streams_pb2.BatchAppendReq.SerializeToString,
            streams_pb2.BatchAppendResp.FromString,
        )
        call = rpc(timeout=30)
        yield call
        call.cancel()
        await call.code()

    async def test_one_is_written_whole_when_its_last_chunk_came(
        self, own_channel: grpc.aio.Channel, call: Any
    ) -> None:
        one, two = uuid.uuid4(), uuid.uuid4()
        await call.write(chunk(one, final=False, options=True))
        await call.write(chunk(two, final=True, options=True))
        assert (await call.read()).correlation_id.string == str(two)
        await call.write(chunk(one, final=False))
        await call.write(chunk(one, final=True, options=True))  # options of an open one are ignored
        answer = await call.read()
        assert (answer.correlation_id.string, answer.success.current_revision) == (str(one), 3)
        await call.done_writing()
        assert await call.read() == grpc.aio.EOF
        assert len(await messages(own_channel, read_of("s-1"))) == 4

    async def test_one_that_took_too_long_is_answered_once(self, call: Any) -> None:
        overdue, late = chunk(uuid.uuid4(), final=True, options=True), chunk(uuid.uuid4(), final=False, options=True)
        overdue.options.deadline_21_10_0.seconds = int(time.time()) - 1  # as the Node client reports it
        await call.write(overdue)
        first = await call.read()
        assert (first.error.code, first.error.message) == (4, "Timeout")
        assert first.error.details.type_url == "type.googleapis.com/event_store.client.Timeout"
        late.options.deadline.seconds, late.options.deadline.nanos = 0, 50_000_000
        await call.write(late)
        answer = await call.read()  # nothing else needs to come for that
        assert (answer.correlation_id, answer.error.code) == (late.correlation_id, 4)
        late.ClearField("options")
        await call.write(late)  # a chunk after the answer is ignored
        await call.done_writing()
        assert await call.read() == grpc.aio.EOF

    async def test_one_that_was_answered_in_time_is_not_answered_again_when_its_time_is_over(self, call: Any) -> None:
        in_time, overdue = (chunk(uuid.uuid4(), final=False, options=True) for _ in range(2))
        for request in (in_time, overdue):  # the time of the second is over last
            request.options.deadline.seconds = 1
            await call.write(request)
        await call.write(chunk(uuid.UUID(in_time.correlation_id.string), final=True))
        answers = [await call.read(), await call.read()]
        assert [answer.error.message for answer in answers] == ["", "Timeout"]
        assert [answer.correlation_id for answer in answers] == [in_time.correlation_id, overdue.correlation_id]
        await call.done_writing()
        assert await call.read() == grpc.aio.EOF

    async def test_one_without_its_last_chunk_is_answered_when_its_sender_has_ended_its_side(self, call: Any) -> None:
        unfinished = chunk(uuid.uuid4(), final=False, options=True)
        unfinished.options.deadline.seconds, unfinished.options.deadline.nanos = 0, 200_000_000
        await call.write(unfinished)
        await call.done_writing()
        answer = await call.read()
        assert (answer.correlation_id, answer.error.message) == (unfinished.correlation_id, "Timeout")
        assert await call.read() == grpc.aio.EOF

    async def test_one_that_is_too_large_or_wrong_leaves_the_others_alone(self, call: Any) -> None:
        large, nameless, good = (chunk(uuid.uuid4(), final=True, options=True) for _ in range(3))
        large.proposed_messages[0].data = b"x" * 1_048_576
        nameless.proposed_messages[0].metadata.pop("type")
        seen = {}
        for request in (large, nameless, good):
            await call.write(request)
            answer = await call.read()
            seen[answer.correlation_id.string] = answer.error.message or "success"
        assert list(seen.values()) == ["MaximumAppendSizeExceeded", "BadRequest", "success"]


@pytest.mark.parametrize(
    ("regex", "wanted"),
    [
        (r"(?<c>o)rder.*", ["order-1"]),
        (r"(?<c>[oz])\w+-\d\z", ["order-1", "zorder-2"]),
        (r".*(?<d>\d)\k<d>", ["other-33"]),
        (r"nothing|rder|nothing", ["order-1", "zorder-2"]),
    ],
)
async def test_a_filter_is_written_as_for_dot_net(own_client: Client, regex: str, wanted: list[str]) -> None:
    for stream in ("order-1", "zorder-2", "other-33"):
        await append(own_client, stream, 1)
    found = [e.stream_name async for e in await own_client.read_all(filter_include=[regex], filter_by_stream_name=True)]
    assert found == wanted


async def test_gossip_names_the_host_that_is_dialled(own_node: str, own_channel: grpc.aio.Channel) -> None:
    rpc: Any = own_channel.unary_unary(
        "/event_store.client.gossip.Gossip/Read",
        shared_pb2.Empty.SerializeToString,
        gossip_pb2.ClusterInfo.FromString,
    )
    [member] = (await rpc(shared_pb2.Empty(), timeout=10)).members
    assert (member.http_end_point.address, member.http_end_point.port) == ("localhost", int(own_node.split(":")[1]))
    discovering = AsyncEventStoreDBClient(f"esdb+discover://{own_node}?Tls=false")
    await asyncio.wait_for(discovering.connect(), 20)
    assert await discovering.get_commit_position() == 0
    await discovering.close()


async def test_a_source_without_groups_is_unknown_until_it_has_had_one(
    own_client: Client, own_channel: grpc.aio.Channel
) -> None:
    listing: Any = own_channel.unary_unary(
        "/event_store.client.persistent_subscriptions.PersistentSubscriptions/List",
        persistent_pb2.ListReq.SerializeToString,
        persistent_pb2.ListResp.FromString,
    )
    request = persistent_pb2.ListReq()
    request.options.list_for_stream.stream.stream_name = b"work"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await listing(request)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    await own_client.create_subscription_to_stream("g", "work")
    await own_client.delete_subscription("g", "work")
    assert list((await listing(request)).subscriptions) == []
