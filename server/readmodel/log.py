"""How the read side asks the log: whole reads, its head, and what a view has not seen yet.

Every failure is `StoreUnavailable("event")`, also a read that breaks off.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from esdbclient import RecordedEvent
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.exceptions import NotFound, StreamIsDeleted

from server.eventstore.exclusions import Excluded, excluded_by, exclusion_stream
from server.eventstore.reading import position_of, translated, whole

Events = AsyncGenerator[RecordedEvent, None]
TIMEOUT = 5.0  # seconds, for reads that return one event or one page
PAGE = 1_000  # events
START = 0  # the position before every event


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """The reader holds all that matches up to `whole_until`; `next_event` is what it lacks first, None if nothing."""

    whole_until: int
    next_event: int | None


class Log:
    """Positions are commit positions; a pattern is a regular expression for whole stream names."""

    def __init__(self, client: AsyncEventStoreDBClient) -> None:
        self._client = client

    async def head(self, pattern: str = "", until: int | None = None) -> int:
        """The position of the last event (of streams that match, at or before `until`); `START` if there is none."""
        bounds: dict[str, Any] = {} if until is None else {"commit_position": until + 1}
        async with aclosing(self._read_all(pattern, backwards=True, limit=1, timeout=TIMEOUT, **bounds)) as reading:
            async for event in reading:
                return position_of(event)
        return START

    async def end(self) -> int:
        """The position of the very last event, be it the store's own: a subscription can have come as far."""
        async with aclosing(self._read_all("", backwards=True, limit=1, timeout=TIMEOUT, filter_exclude=())) as reading:
            async for event in reading:
                return position_of(event)
        return START

    async def after(self, position: int, pattern: str, *, limit: int | None = None) -> Events:
        """The events of matching streams behind a position, in the order of the log."""
        bounds: dict[str, Any] = {} if limit is None else {"limit": limit, "timeout": TIMEOUT}
        start = position + 1 if position else None
        async with aclosing(self._read_all(pattern, commit_position=start, **bounds)) as reading:
            async for event in reading:
                yield event

    async def count_after(self, position: int, pattern: str, most: int) -> int:
        """How many events of matching streams lie behind a position, counted up to `most`."""
        counted = 0
        async with aclosing(self.after(position, pattern, limit=most)) as reading:
            async for _ in reading:
                counted += 1
        return counted

    async def ahead_of(self, position: int, pattern: str) -> Ahead:
        """What a reader that holds all matching events up to `position` has not seen.

        The head is asked first: what is appended between the two reads lies behind it, and is no gap below it.
        """
        head = await self.head()
        async with aclosing(self.after(position, pattern, limit=1)) as reading:
            async for event in reading:
                return Ahead(whole_until=max(position, position_of(event) - 1), next_event=position_of(event))
        return Ahead(whole_until=max(position, head), next_event=None)

    async def stream(self, name: str, start: int, most: int) -> list[RecordedEvent] | None:
        """Up to `most` events from revision `start` on; None if there is no such stream."""
        with translated():
            try:
                reading = await self._client.read_stream(name, stream_position=start, limit=most, timeout=TIMEOUT)
                return [event async for event in whole(reading)]
            except (NotFound, StreamIsDeleted):
                return None

    async def complete_stream(self, name: str) -> list[RecordedEvent] | None:
        """Every event of a stream, read page by page; None if there is no such stream."""
        events: list[RecordedEvent] = []
        while True:
            page = await self.stream(name, len(events), PAGE)
            if page is None:
                return events or None
            events += page
            if len(page) < PAGE:
                return events

    async def excluded(self, stream: str) -> Excluded:
        """The events of a stream that operators have excluded."""
        return excluded_by(await self.complete_stream(exclusion_stream(stream)) or ())

    async def _read_all(self, pattern: str, **bounds: Any) -> Events:
        matching: dict[str, Any] = {"filter_include": [pattern], "filter_by_stream_name": True} if pattern else {}
        with translated():
            async for event in whole(await self._client.read_all(**matching, **bounds)):
                yield event
