"""Repository: loads aggregates from their streams and caches them. A long stream is loaded from its snapshot plus later
events.

The cache is safe for commands, since the store checks the expected revision of every append (optimistic concurrency).
The store checks the number only, so a cached aggregate is valid in the session in which it was read
(`EventStore.session`). In a later session its last event is read once more. If the stream has another event there, or
none, the log was replaced, for example by an older copy, and the cached aggregate is discarded.

Where a decision depends on *another* aggregate (a price, a customer), the caller says how old that state may be. To
refresh it, the new events of its category are read: one short read for all cached aggregates, shared by all
concurrent callers.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar, cast

import structlog

from core.domain.decider import Decider
from core.eventstore import codec
from core.eventstore.client import RecordedEvent, position_of
from core.eventstore.exclusions import decoded
from core.eventstore.idempotency import CommandResult, RequestIndex
from core.eventstore.log import LARGE_PAGE, START
from core.eventstore.registry import DomainEvent
from core.eventstore.snapshots import Snapshot, Snapshots
from core.eventstore.store import NO_EVENTS, EventStore
from core.failures import LogMismatch, StoreUnavailable, StreamGone

log = structlog.get_logger()

MAX_READS = 3  # attempts at reads that belong together, while the connection breaks during each
MAX_CURSOR_AGE = 30.0  # seconds; after a longer pause it is cheaper to load aggregates again than to read the log

S = TypeVar("S")
C = TypeVar("C")
E = TypeVar("E", bound=DomainEvent)


class _OtherHistory(Exception):  # it names what happened
    """The stream does not contain the last event of the cached aggregate."""


@dataclass(slots=True)
class _CategoryCursor:
    """The position up to which the new events of one category are applied. `as_of`: start of that read (monotonic).

    The cursor does not keep an aggregate up to date that was read before `valid_from`, or whose stream had an event
    that was not applied (`unseen`: the revision of that event).
    """

    position: int = START
    session: int = -1
    as_of: float = float("-inf")
    valid_from: float = float("-inf")
    unseen: OrderedDict[str, int] = field(default_factory=OrderedDict)
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate(Generic[S]):
    """A folded stream. `event_id` belongs to its last event. `saved` is the revision of its newest known snapshot.
    `request_index` has the result of every request whose events are in it. It was read in `session`.
    """

    state: S
    revision: int
    position: int
    event_id: bytes
    request_index: RequestIndex
    read_at: float  # monotonic seconds; when the store last said that this is all there is
    session: int
    saved: int = NO_EVENTS


class Repository:
    """Loads aggregates; a bounded cache has the most recently used ones. `most` is their number."""

    def __init__(
        self,
        store: EventStore,
        snapshots: Snapshots,
        most: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._snapshots = snapshots
        self._most = most
        self._clock = clock
        self._cache: OrderedDict[str, Aggregate[Any]] = OrderedDict()
        self._cursors: dict[str, _CategoryCursor] = {}

    def cached_or_initial(self, decider: Decider[S, C, E], stream: str) -> Aggregate[S]:
        """The cached aggregate, or else the initial state, without a read: for a command that creates a stream.

        If the stream exists, the store refuses the append.
        """
        session, known = self._store.session, self._cached(stream)
        if known is not None and known.session == session:
            return known
        return _initial(decider, float("-inf"), session)

    async def catch_up(self, decider: Decider[S, C, E], max_age: float) -> None:
        """Refresh all cached aggregates of a category, so that none is older than `max_age` seconds (0: as of now)."""
        cursor = self._cursors.setdefault(decider.category, _CategoryCursor())
        asked_at = self._clock()
        async with cursor.reading:
            session = self._store.session
            is_of_session = cursor.session == session
            if is_of_session and cursor.as_of > asked_at - max_age:
                return
            as_of = self._clock()
            head = await self._store.head()
            is_cheaper = is_of_session and as_of - cursor.as_of <= MAX_CURSOR_AGE
            if not is_cheaper or not await self._read_changes(decider, cursor, head):
                self._evict_category(decider.category)
                cursor.valid_from, cursor.position = as_of, head
            cursor.as_of, cursor.session = as_of, session

    async def _read_changes(self, decider: Decider[S, C, E], cursor: _CategoryCursor, head: int) -> bool:
        """Apply the events written since the last read. False: the cached aggregates belong to a former log."""
        try:
            if head >= cursor.position:
                async for stored in self._store.read_category(decider.category, cursor.position):
                    self._apply_change(decider, cursor, stored)
                    head = max(head, position_of(stored))
                cursor.position = head
                return True
        except LogMismatch:
            pass
        log.error("the log was replaced", category=decider.category, position=cursor.position, head=head)
        return False

    async def load(self, decider: Decider[S, C, E], stream: str, max_age: float | None = None) -> Aggregate[S]:
        """The aggregate, read from the store if the cached one is older than `max_age` seconds (None: any age)."""
        for _ in range(MAX_READS):
            session, read_at, known = self._store.session, self._clock(), self._cached(stream)
            is_of_session = known is not None and known.session == session
            if known is not None and is_of_session and (max_age is None or self._age(decider, known) < max_age):
                return known
            aggregate = await self._read(decider, stream, known, read_at, session)
            if self._store.session == session:
                if aggregate.revision != NO_EVENTS:
                    self._keep(decider.category, stream, self._saved(decider, stream, aggregate))
                return aggregate
        raise StoreUnavailable("event")  # several reads, each of which may have been of another log

    async def _read(
        self, decider: Decider[S, C, E], stream: str, known: Aggregate[S] | None, read_at: float, session: int
    ) -> Aggregate[S]:
        initial = _initial(decider, read_at, session)
        if known is not None:
            if known.session != session:
                known = replace(known, session=session, request_index=known.request_index.until(known.revision))
            try:
                return await self._catch_up(decider, stream, known, read_at)
            except _OtherHistory:
                log.error("the log was replaced: the cached aggregate of this stream is discarded", stream=stream)
                self.evict(stream)
                self._snapshots.withdraw(stream)
        return await self._load_uncached(decider, stream, initial)

    async def result(self, stream: str, aggregate: Aggregate[Any], request_id: str) -> CommandResult | None:
        """The result of a request, if its events are in the aggregate."""
        recent = aggregate.request_index.recent(request_id)
        if recent is not None:
            return recent
        for revision in aggregate.request_index.candidate_revisions(request_id):
            async for stored in self._store.read(stream, revision, 1):
                metadata = codec.decode_metadata(stored.metadata)
                if metadata is not None and metadata.request_id == request_id:
                    return CommandResult(revision, position_of(stored), metadata.payload_hash)
        return None

    def appended(
        self,
        decider: Decider[S, C, E],
        stream: str,
        aggregate: Aggregate[S],
        *,
        events: Sequence[E],
        event_id: bytes,
        request_id: str,
        result: CommandResult,
    ) -> None:
        """Apply the events that were just appended after `aggregate`; `event_id` belongs to the last of them."""
        aggregate.request_index.record(request_id, result, len(events))
        folded = replace(
            aggregate,
            state=decider.fold(events, aggregate.state),
            revision=result.revision,
            position=result.position,
            event_id=event_id,
        )
        self._keep(decider.category, stream, self._saved(decider, stream, folded))

    def evict(self, stream: str) -> None:
        self._cache.pop(stream, None)

    async def _load_uncached(self, decider: Decider[S, C, E], stream: str, initial: Aggregate[S]) -> Aggregate[S]:
        """Load a stream that is not cached. Most streams are short, so that one read returns all events."""
        newest = await self._store.newest(stream, self._snapshots.newest)
        if not newest or newest[0].stream_position == 0:
            return await self._folded(decider, initial, newest)
        snapshot = await self._snapshots.find(decider, stream)
        if snapshot is None:
            return await self._catch_up(decider, stream, initial, initial.read_at)
        if not newest[0].stream_position <= snapshot.revision <= newest[-1].stream_position:
            newest = [event async for event in self._store.read(stream, snapshot.revision)]
        after = [event for event in newest if event.stream_position >= snapshot.revision]
        if not after or after[0].id.bytes != snapshot.event_id:
            return await self._catch_up(decider, stream, initial, initial.read_at)  # the snapshot is of another history
        return await self._folded(decider, _from_snapshot(snapshot, initial), after[1:])

    async def _catch_up(
        self, decider: Decider[S, C, E], stream: str, base: Aggregate[S], read_at: float
    ) -> Aggregate[S]:
        """The aggregate with the events after `base`. Raises `_OtherHistory` if `base` is not of this stream, and
        `StreamGone` if its first events are deleted.
        """
        page: list[RecordedEvent] = []
        aggregate, has_base = base, base.revision == NO_EVENTS
        async for stored in self._store.read(stream, max(base.revision, 0)):
            if aggregate.revision == NO_EVENTS and not page and stored.stream_position > 0:
                raise StreamGone(stream, stored.stream_position)
            if not has_base:
                has_base = _ends_with(base, stored)
                if not has_base:
                    break
                continue
            page.append(stored)
            if len(page) == LARGE_PAGE:
                # a caller that gives up on a very long stream leaves its progress to the next one
                aggregate = replace(await self._folded(decider, aggregate, page), read_at=float("-inf"))
                self._keep(decider.category, stream, aggregate)
                page = []
        if not has_base:
            raise _OtherHistory
        return replace(await self._folded(decider, aggregate, page), read_at=read_at)

    async def _folded(
        self, decider: Decider[S, C, E], base: Aggregate[S], events: Sequence[RecordedEvent]
    ) -> Aggregate[S]:
        """The aggregate with the next events of its stream applied. Raises `UnreadableEvent`."""
        return _folded(decider, base, events, await decoded(events, self._store))

    def _saved(self, decider: Decider[S, C, E], stream: str, aggregate: Aggregate[S]) -> Aggregate[S]:
        """Offer a snapshot if one is due, without waiting for its write."""
        if not self._snapshots.due(aggregate.revision, aggregate.saved):
            return aggregate
        snapshot = Snapshot(
            revision=aggregate.revision,
            position=aggregate.position,
            event_id=aggregate.event_id,
            state=aggregate.state,
            fingerprints=aggregate.request_index.fingerprints(aggregate.revision),
        )
        self._snapshots.offer(decider, stream, snapshot, aggregate.saved)
        return replace(aggregate, saved=aggregate.revision)

    def _age(self, decider: Decider[S, C, E], known: Aggregate[Any]) -> float:
        """The age in seconds of an aggregate that was read in the current session."""
        cursor = self._cursors.get(decider.category)
        is_of_cursor = cursor is not None and cursor.session == known.session
        return self._clock() - (
            max(known.read_at, cursor.as_of) if cursor is not None and is_of_cursor else known.read_at
        )

    def _apply_change(self, decider: Decider[S, C, E], cursor: _CategoryCursor, stored: RecordedEvent) -> None:
        known = self._cache.get(stored.stream_name)
        if known is None:
            self._record_unseen(cursor, stored)
            return
        if known.session != cursor.session:
            self.evict(stored.stream_name)
            self._record_unseen(cursor, stored)
            return
        if stored.stream_position <= known.revision:
            return
        if stored.stream_position != known.revision + 1:
            self.evict(stored.stream_name)
            return
        try:
            data = codec.decode_stored(stored)
        except codec.CodecError:  # the next load of this aggregate reports it; the others are up to date
            self.evict(stored.stream_name)
            self._record_unseen(cursor, stored)
            return
        self._cache[stored.stream_name] = _folded(decider, known, [stored], [data])

    def _record_unseen(self, cursor: _CategoryCursor, stored: RecordedEvent) -> None:
        cursor.unseen[stored.stream_name] = stored.stream_position
        cursor.unseen.move_to_end(stored.stream_name)
        if len(cursor.unseen) > self._most:
            cursor.unseen.popitem(last=False)

    def _evict_category(self, category: str) -> None:
        for stream in [stream for stream in self._cache if stream.startswith(f"{category}-")]:
            self.evict(stream)

    def _cached(self, stream: str) -> Aggregate[Any] | None:
        aggregate = self._cache.get(stream)
        if aggregate is not None:
            self._cache.move_to_end(stream)
        return aggregate

    def _keep(self, category: str, stream: str, aggregate: Aggregate[Any]) -> None:
        newest = self._cache.get(stream)
        if newest is not None and (newest.session, newest.revision) > (aggregate.session, aggregate.revision):
            return
        cursor = self._cursors.get(category)
        if cursor is not None and newest is None:
            # what follows an event that the cursor has not reached is still to come from the log
            is_ahead = aggregate.session == cursor.session and aggregate.position > cursor.position
            is_complete = is_ahead or aggregate.read_at >= cursor.valid_from
            if not is_complete or cursor.unseen.get(stream, NO_EVENTS) > aggregate.revision:
                return
            cursor.unseen.pop(stream, None)
        self._cache[stream] = aggregate
        self._cache.move_to_end(stream)
        if len(self._cache) > self._most:
            self._cache.popitem(last=False)


def _ends_with(base: Aggregate[Any], stored: RecordedEvent) -> bool:
    """Whether the event is the last one of the aggregate. Its id alone is not enough: the request determines it."""
    return (stored.stream_position, stored.id.bytes, position_of(stored)) == (
        base.revision,
        base.event_id,
        base.position,
    )


def _initial(decider: Decider[S, Any, Any], read_at: float, session: int) -> Aggregate[S]:
    return Aggregate(
        state=decider.initial,
        revision=NO_EVENTS,
        position=0,
        event_id=b"",
        request_index=RequestIndex(),
        read_at=read_at,
        session=session,
    )


def _from_snapshot(snapshot: Snapshot, initial: Aggregate[Any]) -> Aggregate[Any]:
    return Aggregate(
        state=snapshot.state,
        revision=snapshot.revision,
        position=snapshot.position,
        event_id=snapshot.event_id,
        request_index=RequestIndex(snapshot.fingerprints),
        read_at=initial.read_at,
        session=initial.session,
        saved=snapshot.revision,
    )


def _folded(
    decider: Decider[S, C, E],
    base: Aggregate[S],
    events: Sequence[RecordedEvent],
    data: Sequence[DomainEvent | None],
) -> Aggregate[S]:
    """The aggregate with the next events of its stream applied; `data` is None for an excluded event."""
    if not events:
        return base
    state = base.state
    for stored, event in zip(events, data, strict=True):
        # a load fails at an unreadable event, unless an operator has excluded it: without it the state would be wrong
        if event is not None:
            state = decider.evolve(state, cast(E, event))
        _record_result(base.request_index, stored)
    last = events[-1]
    return replace(
        base,
        state=state,
        revision=last.stream_position,
        position=position_of(last),
        event_id=last.id.bytes,
    )


def _record_result(request_index: RequestIndex, stored: RecordedEvent) -> None:
    metadata = codec.decode_metadata(stored.metadata)
    if metadata is None:
        request_index.record_foreign(stored.stream_position)
        return
    result = CommandResult(stored.stream_position, position_of(stored), metadata.payload_hash)
    request_index.record(metadata.request_id, result)
