"""The only door to the event store for commands: append with an exact expected revision, read streams, find the head.

Raises `WrongRevision` for a lost race and `StoreUnavailable` where the outcome may be unknown. Callers repeat safely:
event ids are derived from the request.
"""

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from esdbclient import NewEvent, RecordedEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.exceptions import NotFound, WrongCurrentVersion

from server.eventstore.exclusions import Excluded, excluded_by, exclusion_stream
from server.eventstore.pipeline import Pipeline, Unanswered
from server.eventstore.reading import position_of, translated, whole
from server.failures import StoreUnavailable

NO_EVENTS = -1
STORE_TIMEOUT = 5.0  # seconds; a store that needs longer than this for one append or page counts as down
HISTORY_TIMEOUT = 60.0  # seconds, for a page of some streams out of the log of all
PAGE = 4_000  # events
CLOCK = "timers_clock"  # the stream of which the last event tells the store's time
KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT = 10_000, 10_000  # milliseconds, as the other clients of EventStoreDB have them


class WrongRevision(Exception):  # a lost race, not a defect
    """Another writer was first."""


async def connect(uri: str) -> AsyncEventStoreDBClient:
    """A client for the node, or for the preferred node of the cluster, behind an EventStoreDB connection string.

    A connection over which nothing comes is given up after `keepAliveInterval` and `keepAliveTimeout`.
    """
    with translated():
        client = AsyncEventStoreDBClient(uri)
        client.grpc_options += _keepalive(client.connection_spec.options)
        await client.connect()
        return client


def _keepalive(options: Any) -> tuple[tuple[str, int], ...]:
    """esdbclient hands the interval on under a name that gRPC does not know, so that nobody notices a half-open one."""
    interval = KEEPALIVE_INTERVAL if options.KeepAliveInterval is None else options.KeepAliveInterval
    timeout = KEEPALIVE_TIMEOUT if options.KeepAliveTimeout is None else options.KeepAliveTimeout
    return (
        ("grpc.keepalive_time_ms", interval),
        ("grpc.keepalive_timeout_ms", timeout),
        ("grpc.http2.ping_timeout_ms", timeout),
        ("grpc.http2.max_pings_without_data", 0),
    )


class EventStore:
    """Streams of stored events, as the command side needs them. A read gives all there is, or raises."""

    def __init__(self, client: AsyncEventStoreDBClient, timeout: float = STORE_TIMEOUT) -> None:
        self._client = client
        self._pipeline = Pipeline(client)
        self._timeout = timeout
        self._has_clock = False

    async def append(self, stream: str, expected: int, events: Sequence[NewEvent]) -> int:
        """Write all or none after revision `expected` (-1: the stream is new); the commit position of the last event.

        The same events under the same expected revision are written once, however often they are sent.
        """
        current_version = StreamState.NO_STREAM if expected == NO_EVENTS else expected
        with _appending():
            try:
                return await self._pipeline.append(stream, current_version, events, self._timeout)
            except Unanswered:
                return await self._client.append_to_stream(
                    stream, current_version=current_version, events=events, timeout=self._timeout
                )

    async def read(self, stream: str, start: int = 0, most: int | None = None) -> AsyncIterator[RecordedEvent]:
        """The events of a stream from revision `start` on; none if the stream does not exist.

        Page by page, so that no stream is too long for the time that the store is given.
        """
        left = sys.maxsize if most is None else most
        while left:
            wanted = page = min(PAGE, left)
            async for event in self._page(stream, stream_position=start, limit=page):
                start, page = event.stream_position + 1, page - 1
                yield event
            if page:
                return
            left -= wanted

    async def newest(self, stream: str, most: int) -> list[RecordedEvent]:
        """The last events of a stream, oldest first; none if the stream does not exist."""
        return [event async for event in self._page(stream, backwards=True, limit=most)][::-1]

    async def excluded(self, stream: str) -> Excluded:
        """The events of a stream that operators have excluded."""
        return excluded_by([event async for event in self.read(exclusion_stream(stream))])

    async def _page(self, stream: str, **bounds: Any) -> AsyncIterator[RecordedEvent]:
        with translated():
            try:
                async for event in whole(await self._client.read_stream(stream, timeout=self._timeout, **bounds)):
                    yield event
            except NotFound:
                return

    async def read_category(self, category: str, after: int) -> AsyncIterator[RecordedEvent]:
        """The events of every stream of a category behind a commit position, in the order of the log."""
        with translated():
            reading = await self._client.read_all(
                commit_position=after + 1,
                filter_include=[f"{category}-.*"],
                filter_by_stream_name=True,
                timeout=self._timeout,
            )
            async for event in whole(reading):
                yield event

    async def history(self, pattern: str, after: int) -> AsyncIterator[RecordedEvent]:
        """The events of every stream whose name matches, behind a commit position (-1: all), in the order of the log.

        Page by page, so that no log is too long for the time that the store is given.
        """
        while True:
            page = await self._matching(pattern, after)
            for event in page:
                yield event
            if len(page) < PAGE:
                return
            after = position_of(page[-1])

    async def _matching(self, pattern: str, after: int) -> list[RecordedEvent]:
        with translated():
            reading = await self._client.read_all(
                commit_position=after + 1,
                filter_include=[pattern],
                filter_by_stream_name=True,
                limit=PAGE,
                timeout=HISTORY_TIMEOUT,
            )
            return [event async for event in whole(reading)]

    async def has_any(self, category: str) -> bool:
        """Whether any stream of a category has an event."""
        with translated():
            reading = await self._client.read_all(
                filter_include=[f"{category}-.*"], filter_by_stream_name=True, limit=1, timeout=self._timeout
            )
            return bool([event async for event in whole(reading)])

    async def keep_newest(self, stream: str, event: NewEvent, *, is_first: bool) -> None:
        """Put an event at the end of a stream that keeps the last one only. `is_first`: no event is known there."""
        with translated():
            if is_first:
                await self._client.set_stream_metadata(stream, metadata={"$maxCount": 1}, timeout=self._timeout)
            await self._client.append_to_stream(
                stream, current_version=StreamState.ANY, events=[event], timeout=self._timeout
            )

    async def keep_at_most(self, stream: str, most: int) -> None:
        """Let a stream keep its last so many events; the revisions of its events do not change."""
        with translated():
            await self._client.set_stream_metadata(stream, metadata={"$maxCount": most}, timeout=self._timeout)

    async def now(self) -> datetime:
        """The store's own time, UTC: that of an event which it has just recorded."""
        await self.keep_newest(CLOCK, NewEvent(type="Tick", data=b"{}"), is_first=not self._has_clock)
        self._has_clock = True
        newest = await self.newest(CLOCK, 1)
        if not newest or newest[-1].recorded_at is None:
            raise StoreUnavailable("event")  # somebody deleted it meanwhile: the next tick is there
        return newest[-1].recorded_at.astimezone(UTC)

    async def head(self) -> int:
        """The commit position of the last event in the log; 0 if there is none."""
        with translated():
            reading = await self._client.read_all(backwards=True, limit=1, timeout=self._timeout)
            return max([position_of(event) async for event in whole(reading)], default=0)

    async def close(self) -> None:
        """End the call that appends go over; the client stays open."""
        await self._pipeline.close()


@contextmanager
def _appending() -> Iterator[None]:
    try:
        with translated():
            try:
                yield
            except WrongCurrentVersion as error:
                raise WrongRevision from error
    except NotFound as error:  # what a wrong expected revision looks like when the stream has no event at all
        raise WrongRevision from error
