"""What both sides keep to when they read through esdbclient: whole answers, and failures in our own terms.

esdbclient ends an iteration quietly when its call is cancelled, by the reconnect of another call for instance. A part
of an answer must not pass for the whole: a state folded from it would be a false one.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from esdbclient import RecordedEvent
from esdbclient.exceptions import EventStoreDBClientException, NotFound

from server.failures import StoreUnavailable


def position_of(event: RecordedEvent) -> int:
    """The commit position; 0, before every event, for one that was read without."""
    return event.commit_position or 0


async def whole(reading: Any) -> AsyncIterator[RecordedEvent]:
    """All of a read. Left early it is stopped, broken off by anybody else it raises `StoreUnavailable("event")`."""
    try:
        async for event in reading:
            yield event
        if reading.aio_call.cancelled():
            if being_cancelled():
                raise asyncio.CancelledError  # it was swallowed on the way here
            raise StoreUnavailable("event")
    finally:
        await reading.stop()


@contextmanager
def translated() -> Iterator[None]:
    """Failures of the event store's client as ours. `NotFound` passes."""
    try:
        yield
    except NotFound:
        raise
    except (EventStoreDBClientException, grpc.aio.UsageError, grpc.RpcError) as error:
        raise StoreUnavailable("event") from error
    except asyncio.CancelledError as error:
        if being_cancelled():
            raise
        # the client closes its channel to reconnect, which cancels the other calls on it
        raise StoreUnavailable("event") from error


def being_cancelled() -> bool:
    """Whether somebody wants this task to end, and not only a call inside it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
