"""Calls to one member of a cluster, and what it answers, trailers included."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

import grpc
from esdbclient.protos.Grpc import gossip_pb2, persistent_pb2, shared_pb2, streams_pb2

STREAMS = "/event_store.client.streams.Streams/"
GROUPS = "/event_store.client.persistent_subscriptions.PersistentSubscriptions/"
GOSSIP = "/event_store.client.gossip.Gossip/Read"
FEATURES = "/event_store.client.server_features.ServerFeatures/GetSupportedMethods"
WITHIN = 10.0  # seconds
GROUP = "g"
OPTIONS = (  # connect again at once, over a connection that no other test has
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.use_local_subchannel_pool", 1),
)


class Call(NamedTuple):
    """A method, the requests that are sent to it, and the class of its answers. The client's side may stay open."""

    method: str
    requests: Sequence[Any]
    answer: Any
    stays_open: bool = False


class Refused(NamedTuple):
    """How a call failed; `to` is the address of the leader, if it is known."""

    code: str
    detail: str
    exception: str = ""
    to: str = ""


def append(stream: str) -> Call:
    options = streams_pb2.AppendReq()
    options.options.stream_identifier.stream_name = stream.encode()
    options.options.any.SetInParent()
    proposed = streams_pb2.AppendReq()
    _fill(proposed.proposed_message)
    return Call(STREAMS + "Append", [options, proposed], streams_pb2.AppendResp)


def batch_append(stream: str) -> Call:
    request = streams_pb2.BatchAppendReq(is_final=True)
    request.correlation_id.string = str(uuid.uuid4())
    request.options.stream_identifier.stream_name = stream.encode()
    request.options.any.SetInParent()
    _fill(request.proposed_messages.add())
    return Call(STREAMS + "BatchAppend", [request], streams_pb2.BatchAppendResp, stays_open=True)


def _fill(message: Any) -> None:
    message.id.string = str(uuid.uuid4())
    message.data = b"{}"
    message.metadata.update({"type": "Happened", "content-type": "application/json"})


def delete(stream: str) -> Call:
    request = streams_pb2.DeleteReq()
    request.options.stream_identifier.stream_name = stream.encode()
    request.options.any.SetInParent()
    return Call(STREAMS + "Delete", [request], streams_pb2.DeleteResp)


def read_stream(stream: str, *, endlessly: bool = False) -> Call:
    request = streams_pb2.ReadReq()
    request.options.stream.stream_identifier.stream_name = stream.encode()
    request.options.stream.start.SetInParent()
    return _read(request, endlessly=endlessly)


def read_all(*, endlessly: bool = False) -> Call:
    request = streams_pb2.ReadReq()
    request.options.all.start.SetInParent()
    return _read(request, endlessly=endlessly)


def _read(request: Any, *, endlessly: bool) -> Call:
    request.options.no_filter.SetInParent()
    request.options.uuid_option.string.SetInParent()
    if endlessly:
        request.options.subscription.SetInParent()
    else:
        request.options.count = 100
    return Call(STREAMS + "Read", [request], streams_pb2.ReadResp)


def create_group(stream: str) -> Call:
    request = persistent_pb2.CreateReq()
    request.options.stream.stream_identifier.stream_name = stream.encode()
    request.options.stream.start.SetInParent()
    request.options.group_name = GROUP
    settings = request.options.settings
    settings.read_batch_size, settings.history_buffer_size, settings.live_buffer_size = 20, 500, 500
    settings.checkpoint_after_ms, settings.message_timeout_ms = 1_000, 30_000
    settings.max_checkpoint_count = 1_000
    return Call(GROUPS + "Create", [request], persistent_pb2.CreateResp)


def read_group(stream: str) -> Call:
    request = persistent_pb2.ReadReq()
    request.options.stream_identifier.stream_name = stream.encode()
    request.options.group_name = GROUP
    request.options.buffer_size = 10
    request.options.uuid_option.string.SetInParent()
    return Call(GROUPS + "Read", [request], persistent_pb2.ReadResp, stays_open=True)


def group_info(stream: str) -> Call:
    request = persistent_pb2.GetInfoReq()
    request.options.stream_identifier.stream_name = stream.encode()
    request.options.group_name = GROUP
    return Call(GROUPS + "GetInfo", [request], persistent_pb2.GetInfoResp)


def gossip() -> Call:
    return Call(GOSSIP, [shared_pb2.Empty()], gossip_pb2.ClusterInfo)


def features() -> Call:
    return Call(FEATURES, [shared_pb2.Empty()], shared_pb2.Empty)


class Caller:
    """Calls members, each over a connection of its own."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._channels = [grpc.aio.insecure_channel(address, options=OPTIONS) for address in addresses]

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()

    def opened(self, n: int, call: Call, *, wants_leader: bool = False, within: float = WITHIN) -> Any:
        """The answers as they come."""
        return self._rpc(n, call)(_sent(call), metadata=_metadata(wants_leader=wants_leader), timeout=within)

    def written_to(self, n: int, call: Call, *, wants_leader: bool = False) -> Any:
        """The same, to which the requests are written by hand."""
        return self._rpc(n, call)(metadata=_metadata(wants_leader=wants_leader), timeout=WITHIN)

    def _rpc(self, n: int, call: Call) -> Any:
        return self._channels[n].stream_stream(
            call.method, lambda message: message.SerializeToString(), call.answer.FromString
        )

    async def ask(self, n: int, call: Call, *, wants_leader: bool = False, within: float = WITHIN) -> Any:
        """The first answer of member `n`; None if there is none, or how it refused."""
        opened = self.opened(n, call, wants_leader=wants_leader, within=within)
        try:
            async for answer in opened:
                return answer
        except grpc.aio.AioRpcError as error:
            return refused(error)
        finally:
            opened.cancel()
        return None

    async def listed(self, n: int) -> str:
        """The members as member `n` lists them: "Leader Follower Unknown(dead)"."""
        answer = await self.ask(n, gossip())
        if isinstance(answer, Refused):
            return answer.detail
        states = gossip_pb2.MemberInfo.VNodeState
        return " ".join(states.Name(m.state) + ("" if m.is_alive else "(dead)") for m in answer.members)


def refused(error: grpc.aio.AioRpcError) -> Refused:
    trailers = {key: str(value) for key, value in error.trailing_metadata() or ()}
    host, port = trailers.get("leader-endpoint-host"), trailers.get("leader-endpoint-port")
    return Refused(
        error.code().name, error.details() or "", trailers.get("exception", ""), f"{host}:{port}" if host else ""
    )


def _metadata(*, wants_leader: bool) -> tuple[tuple[str, str], ...]:
    return (("requires-leader", str(wants_leader).lower()),)


async def _sent(call: Call) -> AsyncIterator[Any]:
    for request in call.requests:
        yield request
    if call.stays_open:
        await asyncio.Event().wait()
