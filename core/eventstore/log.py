"""The log of all streams for every reader. The one module that knows how positions are handled.

A commit position is the place of a record in the log. Two neighbours are hundreds or thousands apart, and records of
the event store itself lie between. EventStoreDB refuses a position without a record, or answers as if it were
another one. So a position that is sent to the event store was received from it: no position is computed or invented.

- To continue after a position, read from the position inclusively and drop what is not behind it (`after`), or
  subscribe after it (`core.eventstore.subscription`).
- A position that came from outside (typed by an operator) is only compared; `last` finds the event at or before it.
- The event store usually refuses a position of another log: that is `LogMismatch`. A reader that keeps a position
  across restarts keeps the id of the event there too (`LogPoint`) and checks both with `is_of_this_log`.

Every other failure is `StoreUnavailable("event")`, also a read that breaks off. It is first resumed behind the last
event that was received (`core.eventstore.resumed_read`).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from core.eventstore.client import NotFound, RecordedEvent, StreamIsDeleted, position_of
from core.eventstore.connection import Client
from core.eventstore.exclusions import Excluded, excluded_by, exclusion_stream
from core.eventstore.resumed_read import Events, resumed
from core.failures import LogMismatch
from core.recent import Recent

TIMEOUT = 5.0  # seconds, for reads that return one event or one page
HISTORY_TIMEOUT = 60.0  # seconds, for a page of the events of some streams out of the log of all
PAGE = 1_000  # events
LARGE_PAGE = 4_000  # events
CHECKPOINT_WINDOW = 500  # events that the event store filters between two checkpoints
START = 0  # the position before every event
EVERYTHING: dict[str, Any] = {"filter_exclude": ()}  # also what the event store writes for itself


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Regular expressions for complete stream names, or for complete event types, one of which has to match.

    Without any, everything matches but the event store's own events.
    """

    include: tuple[str, ...] = ()
    by_stream_name: bool = True

    @property
    def arguments(self) -> dict[str, Any]:
        """As esdbclient takes it. The event store itself filters."""
        if not self.include:
            return {}
        return {"filter_include": self.include, "filter_by_stream_name": self.by_stream_name}


def streams(pattern: str) -> EventFilter:
    """Events of the streams whose complete name matches; "": all but the event store's own events."""
    return EventFilter(include=(pattern,) if pattern else ())


@dataclass(frozen=True, slots=True, order=True)
class LogPoint:
    """A place in one particular log: a commit position, and the id of the event there.

    With `event_id` "" only the position is known.
    """

    position: int = START
    event_id: str = ""


def point_of(event: RecordedEvent) -> LogPoint:
    return LogPoint(position_of(event), str(event.id))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """The matching events up to a position that a reader has not seen.

    `next_event` is the position of the first one, None if there is none. `head` is the last event of the log, read
    before: with nothing pending the reader has all matching events up to there.
    """

    head: LogPoint
    next_event: int | None

    def covers(self, position: int) -> bool:
        """Whether nothing that matches is pending up to a position."""
        return position < self.next_event if self.next_event is not None else position <= self.head.position


class EventLog:
    """Reads of streams and of the log of all. A pattern is a regular expression for complete stream names.

    `shares_head`: for so many seconds, readers that ask for pending events share one read of the head of the log.
    `leader` has every event that was acknowledged; it is this log itself unless `client` reads from a follower.
    """

    def __init__(self, client: Client, timeout: float = TIMEOUT, *, shares_head: float = 0.0) -> None:
        self.client = client
        self.timeout = timeout
        self.leader = self if client.leader is client else EventLog(client.leader, timeout)
        self._heads = Recent(self._read_head, shares_head)
        self._head_of = 0  # the connection on which it was read
        self._one = {"limit": 1, "timeout": timeout}

    @property
    def generation(self) -> int:
        """Of the connection; it rises with each new one."""
        return self.client.generation

    def calling(self) -> AbstractContextManager[None]:
        """Failures of a call on its client, for a caller that iterates over one itself."""
        return self.client.calling()

    # ------------------------------------------------------------ all streams

    async def last(self, pattern: str = "", at_or_before: int | None = None) -> RecordedEvent | None:
        """The last event (of matching streams, at or before a position, which may be any number)."""
        bounds = self._one if at_or_before is None else {}
        async with aclosing(self._read_all(streams(pattern), backwards=True, **bounds)) as reading:
            async for event in reading:
                if at_or_before is None or position_of(event) <= at_or_before:
                    return event
        return None

    async def head(self, pattern: str = "", at_or_before: int | None = None) -> int:
        """The position of the last event (as `last` finds it); `START` if there is none.

        This is not the end of the log: the event store writes its own records behind it.
        """
        event = await self.last(pattern, at_or_before)
        return START if event is None else position_of(event)

    async def last_before(self, position: int) -> RecordedEvent | None:
        """The last event before a received position that is not the event store's own."""
        bounds = {"commit_position": position, "backwards": True} | self._one
        async with aclosing(self._read_all(EventFilter(), **bounds)) as reading:
            async for event in reading:
                return event
        return None

    async def end(self) -> int:
        """The position of the very last record, also the store's own: a subscription can have reached it."""
        async with aclosing(self._read_all(EventFilter(), backwards=True, **self._one, **EVERYTHING)) as reading:
            async for event in reading:
                return position_of(event)
        return START

    def after(
        self, position: int, matching: str | EventFilter, *, limit: int | None = None, timeout: float | None = None
    ) -> Events:
        """The matching events behind a received position, in the order of the log. `timeout` is for a read with a
        limit.

        Raises `LogMismatch` if the event store has no record at the position.
        """
        wanted = streams(matching) if isinstance(matching, str) else matching
        size = None if limit is None else limit + 1  # the event at the position is read too if it matches
        return resumed(_AllStreams(self._read_all, wanted, position, timeout or self.timeout), size, limit)

    def history(self, pattern: str, after: int = START, *, timeout: float = HISTORY_TIMEOUT) -> Events:
        """The same page by page, each within `timeout` seconds, so that no log is too long for the store."""
        return resumed(_AllStreams(self._read_all, streams(pattern), after, timeout), LARGE_PAGE)

    async def subscribe(self, matching: EventFilter, position: int) -> Any:
        """esdbclient's subscription to the matching events behind a received position, for `CatchUpSubscription`."""
        with self.client.calling():
            return await self.client.subscribe_to_all(
                commit_position=position or None,
                include_checkpoints=True,
                include_caught_up=True,
                window_size=CHECKPOINT_WINDOW,
                checkpoint_interval_multiplier=1,
                **matching.arguments,
            )

    async def at(self, position: int) -> RecordedEvent | None:
        """The event at a received position, also the store's own; None if it is no longer there.

        Raises `LogMismatch` if this log has no record at the position.
        """
        reading = self._read_all(EventFilter(), commit_position=position, **self._one, **EVERYTHING)
        async with aclosing(reading) as events:
            async for event in events:
                return event if position_of(event) == position else None
        return None

    async def is_of_this_log(self, point: LogPoint) -> bool:
        """Whether the log has the event at the point. A scavenged event proves nothing: True.

        The leader is asked: a follower may be behind another one that was read before.
        """
        if self.leader is not self:
            return await self.leader.is_of_this_log(point)
        if point.position == START:
            return True
        try:
            event = await self.at(point.position)
        except LogMismatch:
            return False
        if event is None:
            return point.position <= await self.end()
        return not point.event_id or str(event.id) == point.event_id

    async def count_after(self, position: int, pattern: str, most: int) -> int:
        """How many events of matching streams lie behind a position, counted up to `most`."""
        counted = 0
        async with aclosing(self.after(position, pattern, limit=most)) as reading:
            async for _ in reading:
                counted += 1
        return counted

    async def pending_after(self, position: int, matching: str | EventFilter) -> Pending:
        """The matching events that a reader which has reached `position` has not seen.

        The head is read first: events that are appended between the two reads lie behind it, and are no gap below it. A
        reader that has reached the head lacks nothing.
        """
        head = await self._head_for_readers()
        if head.position == position:
            return Pending(head=head, next_event=None)
        async with aclosing(self.after(position, matching, limit=1)) as reading:
            async for event in reading:
                return Pending(head=head, next_event=position_of(event))
        return Pending(head=head, next_event=None)

    async def _head_for_readers(self) -> LogPoint:
        if self.generation != self._head_of:  # the log may have been replaced
            self._heads.forget()
            self._head_of = self.generation
        return await self._heads.get()

    async def _read_head(self) -> LogPoint:
        last = await self.last()
        return LogPoint() if last is None else point_of(last)

    async def has_any(self, category: str) -> bool:
        """Whether any stream of a category has an event."""
        async with aclosing(self.after(START, f"{category}-.*", limit=1)) as reading:
            async for _ in reading:
                return True
        return False

    async def _read_all(self, matching: EventFilter, **bounds: Any) -> Events:
        with self.client.calling():
            async with aclosing(self.client.events_of_all(**matching.arguments, **bounds)) as events:
                async for event in events:
                    yield event

    # ------------------------------------------------------------ one stream

    def events(self, name: str, start: int = 0, most: int | None = None, *, may_be_deleted: bool = False) -> Events:
        """The events of a stream from revision `start` on; none if the stream does not exist.

        Page by page, so that no stream takes longer than the timeout of the store. Of a deleted stream there are none
        if it `may_be_deleted`; else that raises `StreamGone`.
        """
        return resumed(_OneStream(partial(self._stream, name, may_be_deleted=may_be_deleted), start), LARGE_PAGE, most)

    async def newest(self, name: str, most: int) -> list[RecordedEvent]:
        """The last events of a stream, oldest first; none if the stream does not exist."""
        return [event async for event in self._stream(name, backwards=True, limit=most)][::-1]

    async def stream(self, name: str, start: int, most: int) -> list[RecordedEvent] | None:
        """Up to `most` events from revision `start` on; None if there is no such stream, or if it was deleted."""
        with self.client.calling():
            try:
                bounds = {"stream_position": start, "limit": most, "timeout": self.timeout}
                return [event async for event in self.client.events_of_stream(name, **bounds)]
            except (NotFound, StreamIsDeleted):
                return None

    async def complete_stream(self, name: str) -> list[RecordedEvent] | None:
        """Every event of a stream; None if there is no such stream, or if it was deleted."""
        events = await self.stream(name, 0, PAGE)
        if events is not None and len(events) == PAGE:
            start = events[-1].stream_position + 1  # not the number of events: the first ones may be truncated
            events += [event async for event in self.events(name, start, may_be_deleted=True)]
        return events

    async def excluded(self, stream: str) -> Excluded:
        """The events of a stream that operators have excluded."""
        return excluded_by(await self.complete_stream(exclusion_stream(stream)) or ())

    async def _stream(self, name: str, *, may_be_deleted: bool = False, **bounds: Any) -> Events:
        absent = (NotFound, StreamIsDeleted) if may_be_deleted else NotFound
        with self.client.calling():
            try:
                async with aclosing(self.client.events_of_stream(name, timeout=self.timeout, **bounds)) as events:
                    async for event in events:
                        yield event
            except absent:
                return


class _AllStreams:
    """Reads the log of all from a received position on, and notices if it is replaced meanwhile."""

    overlap = 1  # the event at the position is read too if it matches

    def __init__(self, read: Callable[..., Events], matching: EventFilter, position: int, timeout: float) -> None:
        self._read = read
        self._matching = matching
        self._position = position
        self._timeout = timeout  # for a page; a read of everything has no time limit
        self._last: RecordedEvent | None = None

    def page(self, limit: int | None) -> Events:
        bounds: dict[str, Any] = {} if limit is None else {"limit": limit, "timeout": self._timeout}
        return self._read(self._matching, commit_position=self._position or None, **bounds)

    def accepts(self, event: RecordedEvent) -> bool:
        position = position_of(event)
        if position > self._position:
            self._position, self._last = position, event
            return True
        if self._last is not None and position == self._position and event.id != self._last.id:
            raise LogMismatch
        return False


class _OneStream:
    """Reads a stream from a revision on."""

    overlap = 0

    def __init__(self, read: Callable[..., Events], start: int) -> None:
        self._read = read
        self._next = start

    def page(self, limit: int | None) -> Events:
        return self._read(stream_position=self._next, limit=limit)

    def accepts(self, event: RecordedEvent) -> bool:
        self._next = event.stream_position + 1
        return True
