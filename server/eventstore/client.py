"""The connection to EventStoreDB that every role uses, its types, and its failures in our own terms.

No other module of `server` and `projections` imports esdbclient.

esdbclient ends an iteration quietly when its call is cancelled, for instance by the reconnect of another call. A part
of an answer must not pass for a complete one: a state folded from it would be wrong. `complete` raises instead.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from esdbclient import CaughtUp, Checkpoint, NewEvent, RecordedEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient as Client
from esdbclient.exceptions import (
    AlreadyExists,
    EventStoreDBClientException,
    GrpcDeadlineExceeded,
    NotFound,
    ProgrammingError,
    StreamIsDeleted,
    WrongCurrentVersion,
)
from esdbclient.protos.Grpc import persistent_pb2, shared_pb2

from server.failures import LogMismatch, StoreUnavailable

__all__ = [
    "AlreadyExists",
    "CaughtUp",
    "Checkpoint",
    "Client",
    "EventStoreDBClientException",
    "GrpcDeadlineExceeded",
    "NewEvent",
    "NotFound",
    "ProgrammingError",
    "RecordedEvent",
    "StreamIsDeleted",
    "StreamState",
    "WrongCurrentVersion",
    "complete",
    "connect",
    "is_cancelling",
    "persistent_pb2",
    "position_of",
    "shared_pb2",
    "store_errors",
]

KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT = 10_000, 10_000  # milliseconds, as the other clients of EventStoreDB have them
# How EventStoreDB refuses a position at which its log has no record: 24.10 for reads, for reads far beyond the end
# (23.10: for all reads), and for subscriptions.
REFUSED_POSITIONS = ("AllResult: InvalidPosition", "AllResult: Error", "read from an invalid position")


async def connect(uri: str) -> Client:
    """A client for the node, or for the preferred node of the cluster, behind an EventStoreDB connection string.

    A connection over which nothing comes is given up after `keepAliveInterval` and `keepAliveTimeout`.
    """
    with store_errors():
        client = Client(uri)
        client.grpc_options += _keepalive(client.connection_spec.options)
        await client.connect()
        return client


def _keepalive(options: Any) -> tuple[tuple[str, int], ...]:
    """gRPC's options. esdbclient passes the interval under a name that gRPC does not know."""
    interval = KEEPALIVE_INTERVAL if options.KeepAliveInterval is None else options.KeepAliveInterval
    timeout = KEEPALIVE_TIMEOUT if options.KeepAliveTimeout is None else options.KeepAliveTimeout
    return (
        ("grpc.keepalive_time_ms", interval),
        ("grpc.keepalive_timeout_ms", timeout),
        ("grpc.http2.ping_timeout_ms", timeout),
        ("grpc.http2.max_pings_without_data", 0),
    )


def position_of(event: RecordedEvent) -> int:
    """The commit position; 0, before every event, for one that was read without."""
    return event.commit_position or 0


async def complete(reading: Any) -> AsyncIterator[RecordedEvent]:
    """All of a read. If the caller leaves early, the read is stopped.

    Raises `StoreUnavailable("event")` if anything else ended it early.
    """
    try:
        async for event in reading:
            yield event
        if reading.aio_call.cancelled():
            if is_cancelling():
                raise asyncio.CancelledError  # it was swallowed on the way here
            raise StoreUnavailable("event")
    finally:
        await reading.stop()


@contextmanager
def store_errors() -> Iterator[None]:
    """Failures of the event store's client as ours: `LogMismatch` for a refused position, else `StoreUnavailable`.

    `NotFound` passes.
    """
    try:
        yield
    except NotFound:
        raise
    except (EventStoreDBClientException, grpc.aio.UsageError, grpc.RpcError) as error:
        if is_cancelling():
            raise asyncio.CancelledError from error  # esdbclient makes an error of its own of it
        if _is_refused_position(error):
            raise LogMismatch from error
        raise StoreUnavailable("event") from error
    except asyncio.CancelledError as error:
        if is_cancelling():
            raise
        # the client closes its channel to reconnect, which cancels the other calls on it
        raise StoreUnavailable("event") from error


def _is_refused_position(error: Exception) -> bool:
    told = [error, *error.args]
    details = (str(one.details()) for one in told if isinstance(one, grpc.aio.AioRpcError))
    return any(refused in text for text in details for refused in REFUSED_POSITIONS)


def is_cancelling() -> bool:
    """Whether this task itself was cancelled, and not only a call inside it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
