"""esdbclient as the rest of the code sees it: its types, and its failures in our own terms.

No other module of `server` and `projections` imports esdbclient.

esdbclient ends an iteration quietly when its call is cancelled, for instance by the reconnect of another call. A part
of an answer must not pass for a complete one: a state folded from it would be wrong. `complete` raises instead.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from esdbclient import CaughtUp, Checkpoint, NewEvent, RecordedEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.connection import AsyncESDBConnection
from esdbclient.exceptions import (
    AbortedByServer,
    AlreadyExists,
    EventStoreDBClientException,
    GrpcDeadlineExceeded,
    NodeIsNotLeader,
    NotFound,
    ProgrammingError,
    ServiceUnavailable,
    StreamIsDeleted,
    WrongCurrentVersion,
)
from esdbclient.protos.Grpc import gossip_pb2, gossip_pb2_grpc, persistent_pb2, shared_pb2

from server.failures import LogMismatch, StoreUnavailable

__all__ = [
    "AbortedByServer",
    "AlreadyExists",
    "AsyncESDBConnection",
    "AsyncEventStoreDBClient",
    "CaughtUp",
    "Checkpoint",
    "EventStoreDBClientException",
    "GrpcDeadlineExceeded",
    "NewEvent",
    "NodeIsNotLeader",
    "NotFound",
    "ProgrammingError",
    "RecordedEvent",
    "ServiceUnavailable",
    "StreamIsDeleted",
    "StreamState",
    "WrongCurrentVersion",
    "complete",
    "gossip_pb2",
    "gossip_pb2_grpc",
    "is_cancelling",
    "persistent_pb2",
    "position_of",
    "shared_pb2",
    "store_errors",
]

# How EventStoreDB refuses a position at which its log has no record: 24.10 for reads, for reads far beyond the end
# (23.10: for all reads), and for subscriptions.
REFUSED_POSITIONS = ("AllResult: InvalidPosition", "AllResult: Error", "read from an invalid position")


def position_of(event: RecordedEvent) -> int:
    """The commit position; 0, before every event, for one that was read without."""
    return event.commit_position or 0


async def complete(reading: Any) -> AsyncGenerator[RecordedEvent, None]:
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

    `NotFound` and `WrongCurrentVersion` pass.
    """
    try:
        yield
    except (NotFound, WrongCurrentVersion):
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
