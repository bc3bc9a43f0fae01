"""An event store in memory, with the semantics that commands rest on: the exact expected revision, and the same events
under the same expected revision written once. `tests/integration/commands/test_memory_store.py` holds it against the
real one.
"""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from uuid import UUID

from esdbclient import NewEvent, RecordedEvent

from core.eventstore.client import position_of
from core.eventstore.codec import EPOCH
from core.eventstore.log import START
from core.eventstore.store import NO_EVENTS, EventStore, SessionEnded, WrongRevision
from core.failures import LogMismatch

GAPS = (318, 1_207, 546)  # between two positions


class MemoryStore(EventStore):
    """`recorded` is everything, in order. `clock` is the store's own, UTC."""

    session = 0

    def __init__(self, clock: Callable[[], datetime] = lambda: EPOCH) -> None:
        self._clock = clock
        self.recorded: list[RecordedEvent] = []
        self._streams: dict[str, list[RecordedEvent]] = {}

    def restore(self, events: int) -> None:
        """The log is an older copy of itself, with so many events. Every connection broke."""
        self.recorded = self.recorded[:events]
        self._streams = {}
        for event in self.recorded:
            self._streams.setdefault(event.stream_name, []).append(event)
        self.session += 1

    async def append(
        self, stream: str, expected: int, events: Sequence[NewEvent], *, session: int | None = None
    ) -> int:
        if session not in (None, self.session):
            raise SessionEnded
        there = self._streams.setdefault(stream, [])
        if expected != len(there) - 1:
            return self._written_before(there, expected, [event.id for event in events])
        for event in events:
            position = self._end + GAPS[len(self.recorded) % len(GAPS)]
            recorded = RecordedEvent(
                type=event.type,
                data=event.data,
                metadata=event.metadata,
                content_type=event.content_type,
                id=event.id,
                stream_name=stream,
                stream_position=len(there),
                commit_position=position,
                prepare_position=position,
                recorded_at=self._clock(),
            )
            there.append(recorded)
            self.recorded.append(recorded)
        return self._end

    def _written_before(self, there: list[RecordedEvent], expected: int, ids: list[UUID]) -> int:
        again = there[expected + 1 : expected + 1 + len(ids)]
        if expected >= len(there) or [event.id for event in again] != ids:
            raise WrongRevision
        return again[-1].commit_position or 0

    async def read(self, stream: str, start: int = 0, most: int | None = None) -> AsyncIterator[RecordedEvent]:
        for event in self._streams.get(stream, [])[start:][:most]:
            yield event

    async def newest(self, stream: str, most: int) -> list[RecordedEvent]:
        return self._streams.get(stream, [])[-most:]

    async def keep_newest(self, stream: str, event: NewEvent, *, is_first: bool) -> None:
        """Snapshots may always be lost."""

    async def keep_at_most(self, stream: str, most: int) -> None:
        """What is kept for longer does no harm."""

    async def read_category(self, category: str, after: int) -> AsyncIterator[RecordedEvent]:
        for event in self._behind(after):
            if event.stream_name.startswith(f"{category}-"):
                yield event

    async def history(self, pattern: str, after: int) -> AsyncIterator[RecordedEvent]:
        for event in self._behind(after):
            if re.fullmatch(pattern, event.stream_name):
                yield event

    def _behind(self, position: int) -> list[RecordedEvent]:
        if position == START:
            return list(self.recorded)
        places = [position_of(event) for event in self.recorded]
        if position not in places:
            raise LogMismatch
        return self.recorded[places.index(position) + 1 :]

    @property
    def _end(self) -> int:
        return position_of(self.recorded[-1]) if self.recorded else START

    async def has_any(self, category: str) -> bool:
        return any(stream.startswith(f"{category}-") and events for stream, events in self._streams.items())

    async def now(self) -> datetime:
        return self._clock()

    async def head(self) -> int:
        return self._end

    async def close(self) -> None:
        """Nothing is open."""


assert NO_EVENTS == -1, "an empty stream has one event less than one with one"
