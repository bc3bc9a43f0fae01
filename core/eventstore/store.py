"""The event store for commands: append with an exact expected revision, read streams, find the head.

Raises `WrongRevision` for a lost race, `SessionEnded` for a decision on what may be another log, and `StoreUnavailable`
where the outcome may be unknown. Callers repeat safely: event ids are derived from the request.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from core.eventstore.batch_append import BatchAppender, OutcomeUnknown
from core.eventstore.client import (
    MaximumAppendSizeExceededError,
    NewEvent,
    NotFound,
    RecordedEvent,
    StreamState,
    WrongCurrentVersion,
)
from core.eventstore.exclusions import Excluded, excluded_by, exclusion_stream
from core.eventstore.log import EventLog
from core.failures import EventsTooLarge, StoreUnavailable

NO_EVENTS = -1
CLOCK = "timers_clock"  # the stream whose last event has the store's time


class WrongRevision(Exception):  # a lost race, not a defect
    """Another writer was faster."""


class SessionEnded(WrongRevision):  # it names what happened
    """The connection broke after the caller read the basis of its decision: the log may be another one.

    The events may have been written. A caller that reads the stream again knows.
    """


class EventStore:
    """Streams of stored events for the command side. A read returns all events, or raises."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self._client = log.client
        self._timeout = log.timeout
        self._batch_appender = BatchAppender(log.client)
        self._has_clock = False

    @property
    def session(self) -> int:
        """It stays the same while the log is certainly the same (`batch_append`).

        What was read in an earlier session may belong to another log. It is valid again after its last event has been
        seen at the same place.
        """
        return self._batch_appender.session

    async def append(
        self, stream: str, expected: int, events: Sequence[NewEvent], *, session: int | None = None
    ) -> int:
        """Write all events or none after revision `expected` (-1: the stream is new); the commit position of the last
        one.

        The same events under the same expected revision are written once, however often they are sent. Raises
        `EventsTooLarge` for more bytes than the store accepts at once.

        An event store checks the number of the revision only. `session` is the one in which the caller read the basis
        of its decision; if it is over, or ends meanwhile, that raises `SessionEnded`.
        """
        current_version = StreamState.NO_STREAM if expected == NO_EVENTS else expected
        with _refused(stream, events), self._client.calling():
            await self._client.ready()
            if session not in (None, self.session):
                raise SessionEnded  # otherwise the events are sent over this call: there is no await in between
            try:
                return await self._batch_appender.append(stream, current_version, events, self._timeout)
            except OutcomeUnknown as unknown:
                self._client.doubt(self._client.generation, "the call that appends go over is broken")
                if session not in (None, self.session):
                    if not unknown.had_served:  # a new decision does not help if the store accepts nothing
                        raise StoreUnavailable("event") from unknown
                    raise SessionEnded from unknown
                return await self._client.append_to_stream(
                    stream, current_version=current_version, events=events, timeout=self._timeout
                )

    def read(self, stream: str, start: int = 0, most: int | None = None) -> AsyncIterator[RecordedEvent]:
        """The events of a stream from revision `start` on; none if the stream does not exist."""
        return self.log.events(stream, start, most)

    async def newest(self, stream: str, most: int) -> list[RecordedEvent]:
        """The last events of a stream, oldest first; none if the stream does not exist."""
        return await self.log.newest(stream, most)

    async def excluded(self, stream: str) -> Excluded:
        """The events of a stream that operators have excluded."""
        return excluded_by([event async for event in self.read(exclusion_stream(stream))])

    def history(self, pattern: str, after: int) -> AsyncIterator[RecordedEvent]:
        """The events of all matching streams behind a received position (`START`: all), in the order of the log."""
        return self.log.history(pattern, after)

    def read_category(self, category: str, after: int) -> AsyncIterator[RecordedEvent]:
        """The same for all streams of a category, within the timeout of a command."""
        return self.log.history(f"{category}-.*", after, timeout=self._timeout)

    async def has_any(self, category: str) -> bool:
        """Whether any stream of a category has an event."""
        return await self.log.has_any(category)

    async def keep_newest(self, stream: str, event: NewEvent, *, is_first: bool) -> None:
        """Append an event to a stream that keeps the last one only. `is_first`: no event is known there."""
        with self._client.calling():
            if is_first:
                await self._client.set_stream_metadata(stream, metadata={"$maxCount": 1}, timeout=self._timeout)
            await self._client.append_to_stream(
                stream, current_version=StreamState.ANY, events=[event], timeout=self._timeout
            )

    async def keep_at_most(self, stream: str, most: int) -> None:
        """Limit a stream to its last so many events; the revisions of its events do not change."""
        with self._client.calling():
            await self._client.set_stream_metadata(stream, metadata={"$maxCount": most}, timeout=self._timeout)

    async def now(self) -> datetime:
        """The store's own time, UTC: that of an event which it has just recorded."""
        await self.keep_newest(CLOCK, NewEvent(type="Tick", data=b"{}"), is_first=not self._has_clock)
        self._has_clock = True
        newest = await self.newest(CLOCK, 1)
        if not newest or newest[-1].recorded_at is None:
            raise StoreUnavailable("event")  # it was deleted meanwhile: the next tick exists
        return newest[-1].recorded_at.astimezone(UTC)

    async def head(self) -> int:
        """The position of the last event in the log that is not the event store's own; `START` if there is none."""
        return await self.log.head()

    async def close(self) -> None:
        """End the call that carries the appends; the client stays open."""
        await self._batch_appender.close()


@contextmanager
def _refused(stream: str, events: Sequence[NewEvent]) -> Iterator[None]:
    try:
        yield
    except MaximumAppendSizeExceededError as error:
        size = sum(len(event.data) + len(event.metadata) + 2 * len(event.type) for event in events)
        raise EventsTooLarge(stream, size, int(str(error).rpartition(" ")[2])) from error  # "Max size is N"
    except (WrongCurrentVersion, NotFound) as error:  # `NotFound` if the stream has no event at all
        raise WrongRevision from error
