"""Where a subscription says that it stands: in `caught_up`, and in the checkpoints of its history."""

import uuid
from typing import Any

import grpc
import pytest
from esdbclient import NewEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.protos.Grpc import streams_pb2

from embedded.eventstore.wire import MESSAGES

READ = "/event_store.client.streams.Streams/Read"
FAR = 2**50
Client = AsyncEventStoreDBClient


async def append(client: Client, stream: str, *types: str) -> None:
    events = [NewEvent(type=t, data=b"{}") for t in types]
    await client.append_to_stream(stream, current_version=StreamState.ANY, events=events)


def follow(*, stream: str = "", revision: int | None = None, after: tuple[int, int] | None = None) -> Any:
    request = streams_pb2.ReadReq()
    options = request.options
    if stream:
        options.stream.stream_identifier.stream_name = stream.encode()
        if revision is None:
            options.stream.start.SetInParent()
        else:
            options.stream.revision = revision
    elif after is None:
        options.all.start.SetInParent()
    else:
        options.all.position.commit_position, options.all.position.prepare_position = after
    options.subscription.SetInParent()
    options.no_filter.SetInParent()
    options.uuid_option.string.SetInParent()
    return request


def through(request: Any, type_: str, window: int, multiplier: int = 1) -> Any:
    options = request.options.filter
    options.event_type.prefix.append(type_)
    options.max, options.checkpointIntervalMultiplier = window, multiplier
    return request


async def history(channel: grpc.aio.Channel, request: Any) -> list[Any]:
    """All messages up to `caught_up`, without the confirmation."""
    rpc: Any = channel.unary_stream(READ, streams_pb2.ReadReq.SerializeToString, streams_pb2.ReadResp.FromString)
    seen = []
    async for message in rpc(request, timeout=20):
        seen.append(message)
        if message.WhichOneof("content") == "caught_up":
            break
    return seen[1:]


def caught_up(message: Any) -> Any:
    return MESSAGES["CaughtUp"].FromString(message.caught_up.SerializeToString())


def places(seen: list[Any]) -> list[tuple[int, int]]:
    checkpoints = [message.checkpoint for message in seen if message.HasField("checkpoint")]
    return [(c.commit_position, c.prepare_position) for c in checkpoints]


@pytest.mark.parametrize(
    ("revision", "wanted"), [(None, 2), (1, 2), (2, 2), (50, 50), (2**63 - 1, 2**63 - 1), (2**64 - 1, 2)]
)
async def test_of_a_stream_it_is_a_revision(
    own_client: Client, own_channel: grpc.aio.Channel, revision: int | None, wanted: int
) -> None:
    await append(own_client, "s-1", "A", "B", "C")
    seen = await history(own_channel, follow(stream="s-1", revision=revision))
    found = caught_up(seen[-1])
    assert found.stream_revision == wanted
    assert found.timestamp.seconds > 0
    assert not found.HasField("position")


async def test_of_a_stream_that_is_not_there_it_is_nothing(own_client: Client, own_channel: grpc.aio.Channel) -> None:
    await append(own_client, "s-1", "A")
    await own_client.delete_stream("s-1", current_version=0)
    for stream in ("s-1", f"s-{uuid.uuid4()}"):
        [message] = await history(own_channel, follow(stream=stream))
        assert not caught_up(message).HasField("stream_revision")


async def test_of_everything_it_is_the_position_of_the_last_event(
    own_client: Client, own_channel: grpc.aio.Channel
) -> None:
    await append(own_client, "s-1", "A", "B")
    seen = await history(own_channel, follow())
    position = caught_up(seen[-1]).position
    assert position.commit_position == position.prepare_position == seen[-2].event.commit_position


@pytest.mark.sends_unknown_positions
async def test_beyond_the_end_it_is_where_it_began(own_client: Client, own_channel: grpc.aio.Channel) -> None:
    for request in (follow(after=(FAR, FAR)), through(follow(after=(FAR, FAR)), "A", 10)):
        [message] = await history(own_channel, request)
        position = caught_up(message).position
        assert (position.commit_position, position.prepare_position) == (FAR, FAR)


async def test_through_a_filter_it_is_the_last_checkpoint(own_client: Client, own_channel: grpc.aio.Channel) -> None:
    await append(own_client, "s-1", "A", "B")
    for type_, wanted in (("None", (0, 0)), ("A", None)):
        seen = await history(own_channel, through(follow(), type_, 1_000))
        position = caught_up(seen[-1]).position
        shown = (position.commit_position, position.prepare_position)
        assert places(seen) == [shown]
        assert shown == (wanted or (seen[0].event.commit_position,) * 2)


async def test_a_checkpoint_of_history_is_the_last_match_or_where_the_page_begins(
    own_client: Client, own_channel: grpc.aio.Channel
) -> None:
    await append(own_client, "s-1", *("B" if n == 7 else "A" for n in range(20)))
    at = [e.commit_position or 0 async for e in await own_client.read_stream("s-1")]
    seen = await history(own_channel, through(follow(after=(at[0], at[0])), "B", 5))
    assert places(seen) == [(at[0], at[0]), (at[7], at[7]), (at[10], 0), (at[15], 0)]
    seen = await history(own_channel, through(follow(after=(at[0], at[0])), "B", 5, 3))
    assert places(seen) == [(at[10], 0), (at[15], 0)]


async def test_after_a_checkpoint_without_its_prepare_the_event_there_is_delivered(
    own_client: Client, own_channel: grpc.aio.Channel
) -> None:
    await append(own_client, "s-1", "A", "B", "C")
    at = [e.commit_position or 0 async for e in await own_client.read_stream("s-1")]
    seen = await history(own_channel, follow(after=(at[1], 0)))
    assert [m.event.event.stream_revision for m in seen if m.HasField("event")] == [1, 2]
    seen = await history(own_channel, follow(after=(at[1], at[1])))
    assert [m.event.event.stream_revision for m in seen if m.HasField("event")] == [2]
