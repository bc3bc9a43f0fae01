"""esdbclient for the rest of the code: its types, and its failures as ours.

No other module of `server` and `projections` imports esdbclient.

esdbclient ends an iteration without an error when its call is cancelled, for instance by the reconnect of another call.
A partial answer must not pass for a complete one: a state folded from it would be wrong. `complete` raises instead.
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
    AccessDeniedError,
    AlreadyExists,
    EventStoreDBClientException,
    GrpcDeadlineExceeded,
    MaximumAppendSizeExceededError,
    NodeIsNotLeader,
    NotFound,
    ProgrammingError,
    ServiceUnavailable,
    StreamIsDeleted,
    WrongCurrentVersion,
)
from esdbclient.protos.Grpc import gossip_pb2, gossip_pb2_grpc, persistent_pb2, shared_pb2

from core.failures import (
    LogMismatch,
    ServiceFailure,
    StoreNotLeader,
    StorePermissionDenied,
    StoreUnauthenticated,
    StoreUnavailable,
    StreamGone,
)

__all__ = [
    "AbortedByServer",
    "AlreadyExists",
    "AsyncESDBConnection",
    "AsyncEventStoreDBClient",
    "CaughtUp",
    "Checkpoint",
    "EventStoreDBClientException",
    "GrpcDeadlineExceeded",
    "MaximumAppendSizeExceededError",
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
    "is_denied",
    "permission_denied",
    "persistent_pb2",
    "position_of",
    "shared_pb2",
    "store_errors",
    "unauthenticated",
]

# How EventStoreDB refuses a position at which its log has no record: 24.10 for reads, for reads far beyond the end
# (23.10: for all reads), and for subscriptions.
REFUSED_POSITIONS = ("AllResult: InvalidPosition", "AllResult: Error", "read from an invalid position")


def position_of(event: RecordedEvent) -> int:
    """The commit position; 0, before every event, for one that was read without."""
    return event.commit_position or 0


async def complete(reading: Any) -> AsyncGenerator[RecordedEvent, None]:
    """All events of a read. If the caller leaves early, the read is stopped.

    Raises `StoreUnavailable("event")` if anything else ended it early.
    """
    try:
        async for event in reading:
            yield event
        if reading.aio_call.cancelled():
            if is_cancelling():
                raise asyncio.CancelledError  # esdbclient has swallowed it
            raise StoreUnavailable("event")
    finally:
        await reading.stop()


@contextmanager
def store_errors() -> Iterator[None]:
    """Raise failures of the event store's client as ours, each as its own class; an unknown one as `StoreUnavailable`.

    `NotFound`, `WrongCurrentVersion` and `MaximumAppendSizeExceededError` pass.
    """
    try:
        yield
    except (NotFound, WrongCurrentVersion, MaximumAppendSizeExceededError):
        raise
    except (EventStoreDBClientException, grpc.aio.UsageError, grpc.RpcError) as error:
        if is_cancelling():
            raise asyncio.CancelledError from error  # esdbclient has turned it into an error of its own
        raise _failure_of(error) from error
    except asyncio.CancelledError as error:
        if is_cancelling():
            raise
        # the client closes its channel to reconnect, which cancels the other calls on it
        raise StoreUnavailable("event") from error


def _failure_of(error: Exception) -> ServiceFailure:
    if isinstance(error, StreamIsDeleted):
        return StreamGone(str(error) or "the stream")
    if is_denied(error):
        return permission_denied()
    if _has_code(error, grpc.StatusCode.UNAUTHENTICATED):
        return unauthenticated()
    if isinstance(error, NodeIsNotLeader):
        return StoreNotLeader()
    if any(refused in str(one.details()) for one in _grpc_errors(error) for refused in REFUSED_POSITIONS):
        return LogMismatch()
    return StoreUnavailable("event")


def is_denied(error: Exception) -> bool:
    """Whether the event store has refused a call because we lack a right."""
    return isinstance(error, AccessDeniedError) or _has_code(error, grpc.StatusCode.PERMISSION_DENIED)


def _has_code(error: Exception, code: grpc.StatusCode) -> bool:
    return any(one.code() is code for one in _grpc_errors(error))


def _grpc_errors(error: Exception) -> list[grpc.aio.AioRpcError]:
    return [one for one in (error, *error.args) if isinstance(one, grpc.aio.AioRpcError)]


def permission_denied(right: str = "", on: str = "") -> StorePermissionDenied:
    """`right` is a verb."""
    return StorePermissionDenied("event", right, on, "`orderstream store check` shows each right and who can grant it")


def unauthenticated() -> StoreUnauthenticated:
    return StoreUnauthenticated(
        "event", "ORDERSTREAM_EVENTSTORE_USERNAME and ORDERSTREAM_EVENTSTORE_PASSWORD_FILE say who we are to it"
    )


def is_cancelling() -> bool:
    """Whether this task itself was cancelled, and not only a call inside it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
