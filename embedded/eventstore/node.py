"""The node: one gRPC server over one log."""

import asyncio
import logging
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from esdbclient.protos.Grpc import persistent_pb2, projections_pb2, shared_pb2, streams_pb2
from google.protobuf.message import DecodeError

from embedded.eventstore.batches import Batches
from embedded.eventstore.errors import DamagedRecordError, HandlerError, RefusalError
from embedded.eventstore.following import Feed
from embedded.eventstore.info import Member, advertised, supported_methods
from embedded.eventstore.log import Log, WriterMaker
from embedded.eventstore.operations import Operations
from embedded.eventstore.persistent.service import PersistentSubscriptions
from embedded.eventstore.projections.service import Projections
from embedded.eventstore.reading import Reading
from embedded.eventstore.writer import Writer
from embedded.eventstore.writing import Writing

log = logging.getLogger(__name__)

LARGEST_MESSAGE = 16 * 1024 * 1024
OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)
STOP_GRACE = 0.5  # seconds
THROWN = "Exception was thrown by handler."


@asynccontextmanager
async def node(
    directory: Path | None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    advertise: str = "",
    system_projections: bool = False,
    synchronous: str = "FULL",
    writer: WriterMaker = Writer,
) -> AsyncIterator[str]:
    """Serve the log in `directory` (None: one that goes with the node); yields the bound `host:port`.

    `advertise` is the host it names in gossip; without it the one it listens on, or `localhost`. `system_projections`
    starts the five that make links.

    Raises `LogError` for an unusable directory and `RuntimeError` for a taken port. When left, open calls are ended,
    what was accepted is written, and the directory is free again.
    """
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        opened = Log(
            directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orderstream-"))),
            synchronous=synchronous if directory else "OFF",
            deliver=loop.call_soon_threadsafe,
            writer=writer,
        )
        feed = Feed(opened)
        try:
            server = grpc.aio.server(options=OPTIONS)
            bound = server.add_insecure_port(f"{host}:{port}")
            persistent = PersistentSubscriptions(opened, feed)
            projections = Projections(opened, start_system=system_projections)
            member = Member(advertise or advertised(host), bound)
            services = _services(opened, feed, persistent, projections, member)
            server.add_generic_rpc_handlers(
                tuple(grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items())
            )
            await server.start()
            try:
                yield f"{host}:{bound}"
            finally:
                await projections.close()
                await persistent.close()  # its consumers are told before the connections go
                await server.stop(STOP_GRACE)
        finally:
            feed.close()
            await asyncio.to_thread(opened.close)


def _services(
    opened: Log, feed: Feed, persistent: PersistentSubscriptions, projections: Projections, member: Member
) -> dict[str, dict[str, Any]]:
    writing, reading, batches = Writing(opened), Reading(opened, feed), Batches(opened)

    async def read_gossip(_request: object, _context: object) -> Any:
        return member.cluster_info()

    async def get_supported_methods(_request: object, _context: object) -> bytes:
        return supported_methods({name: list(methods) for name, methods in services.items()})

    operations = Operations(opened, persistent)
    s, p, j = streams_pb2, persistent_pb2, projections_pb2
    services: dict[str, dict[str, Any]] = {
        "event_store.client.streams.Streams": {
            "Read": grpc.unary_stream_rpc_method_handler(_stream(reading.read), _reading(s.ReadReq)),
            "Append": grpc.stream_unary_rpc_method_handler(_unary(writing.append), _reading(s.AppendReq), _encode),
            "BatchAppend": grpc.stream_stream_rpc_method_handler(_stream(batches.append), _reading(s.BatchAppendReq)),
            "Delete": grpc.unary_unary_rpc_method_handler(_unary(writing.delete), _reading(s.DeleteReq), _encode),
            "Tombstone": grpc.unary_unary_rpc_method_handler(
                _unary(writing.tombstone), _reading(s.TombstoneReq), _encode
            ),
        },
        "event_store.client.persistent_subscriptions.PersistentSubscriptions": {
            "Create": _one(persistent.create, p.CreateReq),
            "Update": _one(persistent.update, p.UpdateReq),
            "Delete": _one(persistent.delete, p.DeleteReq),
            "Read": grpc.stream_stream_rpc_method_handler(_stream(persistent.read), _reading(p.ReadReq)),
            "GetInfo": _one(persistent.get_info, p.GetInfoReq),
            "ReplayParked": _one(persistent.replay_parked, p.ReplayParkedReq),
            "List": _one(persistent.list, p.ListReq),
            "RestartSubsystem": _one(persistent.restart, shared_pb2.Empty),
        },
        "event_store.client.projections.Projections": {
            "Create": _one(projections.create, j.CreateReq),
            "Update": _one(projections.update, j.UpdateReq),
            "Delete": _one(projections.delete, j.DeleteReq),
            "Statistics": grpc.unary_stream_rpc_method_handler(
                _stream(projections.statistics), _reading(j.StatisticsReq)
            ),
            "Disable": _one(projections.disable, j.DisableReq),
            "Enable": _one(projections.enable, j.EnableReq),
            "Reset": _one(projections.reset, j.ResetReq),
            "State": _one(projections.state, j.StateReq),
            "Result": _one(projections.result, j.ResultReq),
            "RestartSubsystem": _one(projections.restart, shared_pb2.Empty),
        },
        "event_store.client.operations.Operations": {
            name: grpc.unary_unary_rpc_method_handler(_unary(handler), None, _encode)
            for name, handler in operations.handlers().items()
        },
        "event_store.client.monitoring.Monitoring": {
            "Stats": grpc.unary_stream_rpc_method_handler(_stream(operations.stats)),
        },
        "event_store.client.gossip.Gossip": {
            "Read": grpc.unary_unary_rpc_method_handler(_unary(read_gossip), _reading(shared_pb2.Empty), _encode),
        },
        "event_store.client.server_features.ServerFeatures": {
            "GetSupportedMethods": grpc.unary_unary_rpc_method_handler(
                _unary(get_supported_methods), _reading(shared_pb2.Empty)
            ),
        },
    }
    return services


class _Garbled:
    """Stands for a message that cannot be decoded: whoever looks into it fails as the protocol says."""

    def __getattr__(self, name: str) -> Any:
        raise HandlerError("a message that cannot be decoded")


def _reading(kind: Any) -> Callable[[bytes], Any]:
    def read(raw: bytes) -> Any:
        try:
            return kind.FromString(raw)
        except DecodeError:  # if this left here, the client would be told the name of a Python class
            return _Garbled()

    return read


def _one(handler: Callable[[Any, Any], Awaitable[Any]], request: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(_unary(handler), _reading(request), _encode)


def _encode(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _unary(handler: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def call(request: Any, context: Any) -> Any:
        try:
            return await handler(request, context)
        except Exception as error:  # noqa: BLE001  # every failure leaves as the protocol's
            await _abort(context, error)

    return call


def _stream(handler: Callable[[Any, Any], AsyncGenerator[Any, None]]) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def call(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            async with aclosing(handler(request, context)) as messages:  # what the handler holds, it lets go at once
                async for message in messages:
                    yield message
        except Exception as error:  # noqa: BLE001  # every failure leaves as the protocol's
            await _abort(context, error)

    return call


async def _abort(context: Any, error: Exception) -> None:
    match error:
        case grpc.aio.AbortError():
            raise error
        case RefusalError():
            await context.abort(error.code, error.detail, error.trailers)
        case DamagedRecordError():
            log.error("%s", error)
            await context.abort(grpc.StatusCode.DATA_LOSS, str(error))
        case HandlerError() | UnicodeDecodeError() | DecodeError():
            await context.abort(grpc.StatusCode.UNKNOWN, THROWN)
        case _:
            log.error("unexpected", exc_info=error)
            await context.abort(grpc.StatusCode.UNKNOWN, THROWN)
