"""The only door to the event store: append with an exact expected revision, read a stream, find the head.

Raises `WrongRevision` for a lost race and `StoreUnavailable` where the outcome may be unknown. Callers repeat safely:
event ids are derived from the request.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

import grpc
from esdbclient import NewEvent, RecordedEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.exceptions import EventStoreDBClientException, NotFound, WrongCurrentVersion

from server.failures import StoreUnavailable

NO_EVENTS = -1
STORE_TIMEOUT = 5.0  # seconds; a store that needs longer than this for one append or read counts as down


class WrongRevision(Exception):  # a lost race, not a defect
    """Another writer was first."""


async def connect(uri: str) -> AsyncEventStoreDBClient:
    """A client for the node, or for the preferred node of the cluster, behind an EventStoreDB connection string."""
    with _translated():
        client = AsyncEventStoreDBClient(uri)
        await client.connect()
        return client


class EventStore:
    """Streams of stored events, as the command side needs them."""

    def __init__(self, client: AsyncEventStoreDBClient, timeout: float = STORE_TIMEOUT) -> None:
        self._client = client
        self._timeout = timeout

    async def append(self, stream: str, expected: int, events: Sequence[NewEvent]) -> int:
        """Write all or none after revision `expected` (-1: the stream is new); the commit position of the last event.

        The same events under the same expected revision are written once, however often they are sent.
        """
        with _translated():
            return await self._client.append_to_stream(
                stream,
                current_version=StreamState.NO_STREAM if expected == NO_EVENTS else expected,
                events=events,
                timeout=self._timeout,
            )

    async def read(self, stream: str, start: int = 0) -> AsyncIterator[RecordedEvent]:
        """The events of a stream from revision `start` on; none if the stream does not exist."""
        with _translated():
            try:
                async for event in await self._client.read_stream(stream, stream_position=start, timeout=self._timeout):
                    yield event
            except NotFound:
                return

    async def read_category(self, category: str, after: int) -> AsyncIterator[RecordedEvent]:
        """The events of every stream of a category behind a commit position, in the order of the log."""
        with _translated():
            async for event in await self._client.read_all(
                commit_position=after + 1,
                filter_include=[f"{category}-.*"],
                filter_by_stream_name=True,
                timeout=self._timeout,
            ):
                yield event

    async def head(self) -> int:
        """The commit position of the last event in the log."""
        with _translated():
            return await self._client.get_commit_position(timeout=self._timeout)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except WrongCurrentVersion as error:
        raise WrongRevision from error
    except NotFound as error:  # what a wrong expected revision looks like when the stream has no event at all
        raise WrongRevision from error
    except (EventStoreDBClientException, grpc.aio.UsageError, grpc.RpcError) as error:
        raise StoreUnavailable("event") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # the client closes its channel to reconnect, which cancels the other calls on it
        raise StoreUnavailable("event") from error
