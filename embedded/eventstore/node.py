"""The node: one gRPC server over one log."""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from esdbclient.protos.Grpc import shared_pb2, streams_pb2

from embedded.eventstore.info import Member, supported_methods
from embedded.eventstore.log import DamagedRecordError, Log
from embedded.eventstore.streams import HandlerError, RefusalError, Streams

log = logging.getLogger(__name__)

LARGEST_MESSAGE = 16 * 1024 * 1024
OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)
THROWN = "Exception was thrown by handler."


@asynccontextmanager
async def node(
    directory: Path | None, *, host: str = "127.0.0.1", port: int = 0, synchronous: str = "FULL"
) -> AsyncIterator[str]:
    """Serve the log in `directory` (None: one that goes with the node); yields the bound `host:port`.

    Raises `LogError` for an unusable directory and `RuntimeError` for a taken port.
    """
    with tempfile.TemporaryDirectory(prefix="orderstream-") as temporary:
        opened = Log(directory or Path(temporary), synchronous=synchronous if directory else "OFF")
        streams = Streams(opened)
        try:
            server = grpc.aio.server(options=OPTIONS)
            bound = server.add_insecure_port(f"{host}:{port}")
            server.add_generic_rpc_handlers(tuple(_handlers(streams, Member(host, bound))))
            await server.start()
            try:
                yield f"{host}:{bound}"
            finally:
                await server.stop(0.5)
        finally:
            streams.close()
            await asyncio.to_thread(opened.close)


def _handlers(streams: Streams, member: Member) -> list[grpc.GenericRpcHandler]:
    encoded = bytes  # entries are kept as they go over the wire

    async def read_gossip(_request: object, _context: object) -> Any:
        return member.cluster_info()

    async def get_supported_methods(_request: object, _context: object) -> bytes:
        return features

    services: dict[str, dict[str, Any]] = {
        "event_store.client.streams.Streams": {
            "Read": grpc.unary_stream_rpc_method_handler(
                _stream(streams.read), streams_pb2.ReadReq.FromString, encoded
            ),
            "Append": grpc.stream_unary_rpc_method_handler(
                _unary(streams.append), streams_pb2.AppendReq.FromString, streams_pb2.AppendResp.SerializeToString
            ),
            "BatchAppend": grpc.stream_stream_rpc_method_handler(
                _stream(streams.batch_append),
                streams_pb2.BatchAppendReq.FromString,
                streams_pb2.BatchAppendResp.SerializeToString,
            ),
            "Delete": grpc.unary_unary_rpc_method_handler(
                _unary(streams.delete), streams_pb2.DeleteReq.FromString, streams_pb2.DeleteResp.SerializeToString
            ),
            "Tombstone": grpc.unary_unary_rpc_method_handler(
                _unary(streams.tombstone),
                streams_pb2.TombstoneReq.FromString,
                streams_pb2.TombstoneResp.SerializeToString,
            ),
        },
        "event_store.client.gossip.Gossip": {
            "Read": grpc.unary_unary_rpc_method_handler(
                read_gossip, shared_pb2.Empty.FromString, lambda info: info.SerializeToString()
            ),
        },
        "event_store.client.server_features.ServerFeatures": {
            "GetSupportedMethods": grpc.unary_unary_rpc_method_handler(
                get_supported_methods, shared_pb2.Empty.FromString, encoded
            ),
        },
    }
    features = supported_methods({name: list(methods) for name, methods in services.items()})
    return [grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items()]


def _unary(handler: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def call(request: Any, context: Any) -> Any:
        try:
            return await handler(request, context)
        except Exception as error:  # noqa: BLE001  # every failure leaves as the protocol's
            await _abort(context, error)

    return call


def _stream(handler: Callable[[Any, Any], AsyncIterator[Any]]) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def call(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            async for message in handler(request, context):
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
        case HandlerError() | UnicodeDecodeError():
            await context.abort(grpc.StatusCode.UNKNOWN, THROWN)
        case _:
            log.error("unexpected", exc_info=error)
            await context.abort(grpc.StatusCode.UNKNOWN, THROWN)
