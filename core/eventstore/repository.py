"""Aggregates out of streams: read, fold, remember. Of a long stream a snapshot and what came after it are read.

The cache is safe for commands, since the store checks the expected revision of every append. It checks the number only,
so what is remembered counts in the session in which it was read (`EventStore.session`). In a later one the event that
it ends with is read once more: if the stream has another event there, or none, the log is another one, as after an
older copy was restored, and nothing that was remembered of the stream counts. Where a decision rests on
*another* aggregate (a price, a customer), the caller says how old that knowledge may be. To make it younger, the news
of the whole category is read at once: one short read for everything remembered, shared by all who ask at the same time.
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
from core.eventstore.idempotency import Receipt, Receipts
from core.eventstore.log import LARGE_PAGE, START
from core.eventstore.registry import DomainEvent
from core.eventstore.snapshots import Snapshot, Snapshots
from core.eventstore.store import NO_EVENTS, EventStore
from core.failures import LogMismatch, StoreUnavailable, StreamGone

log = structlog.get_logger()

MAX_READS = 3  # of what belongs together, while the connection breaks under each
WORTH_CATCHING_UP = 30.0  # seconds; after a longer silence it is cheaper to begin anew than to look through the log

S = TypeVar("S")
C = TypeVar("C")
E = TypeVar("E", bound=DomainEvent)


class _OtherHistory(Exception):  # it names what happened
    """The stream does not have the event that what is remembered of it ends with."""


@dataclass(slots=True)
class _News:
    """How far the news of one category have been read. `as_of` is when that read began, in monotonic seconds.

    What was read before `since`, or lacks what the news had of its stream (`missed`: its revision), must not be taken
    for something that the news keep up to date.
    """

    position: int = START
    session: int = -1
    as_of: float = float("-inf")
    since: float = float("-inf")
    missed: OrderedDict[str, int] = field(default_factory=OrderedDict)
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate(Generic[S]):
    """A folded stream. `event_id` is that of its last event, `saved` is the revision of its newest snapshot that is
    known, `receipts` has the outcome of every request whose events are in it. It was read in `session`.
    """

    state: S
    revision: int
    position: int
    event_id: bytes
    receipts: Receipts
    read_at: float  # monotonic seconds; when the store last said that this is all there is
    session: int
    saved: int = NO_EVENTS


class Repository:
    """Loads aggregates, newest first out of a bounded cache."""

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
        self._news: dict[str, _News] = {}

    def remembered_or_new(self, decider: Decider[S, C, E], stream: str) -> Aggregate[S]:
        """What is remembered, or else the beginning, unread: good for a command that opens a stream.

        The store refuses its append if there is a stream after all.
        """
        session, known = self._store.session, self._remembered(stream)
        if known is not None and known.session == session:
            return known
        return _nothing(decider, float("-inf"), session)

    async def catch_up(self, decider: Decider[S, C, E], max_age: float) -> None:
        """Bring everything remembered of a category to a state no older than `max_age` seconds (0: as of now)."""
        news = self._news.setdefault(decider.category, _News())
        asked_at = self._clock()
        async with news.reading:
            session = self._store.session
            is_of_session = news.session == session
            if is_of_session and news.as_of > asked_at - max_age:
                return
            as_of = self._clock()
            head = await self._store.head()
            is_worth_it = is_of_session and as_of - news.as_of <= WORTH_CATCHING_UP
            if not is_worth_it or not await self._read_news(decider, news, head):
                self._forget_category(decider.category)
                news.since, news.position = as_of, head
            news.as_of, news.session = as_of, session

    async def _read_news(self, decider: Decider[S, C, E], news: _News, head: int) -> bool:
        """Take what was written since. False: what is remembered is of a log that is not this one any more."""
        try:
            if head >= news.position:
                async for stored in self._store.read_category(decider.category, news.position):
                    self._take_news(decider, news, stored)
                    head = max(head, position_of(stored))
                news.position = head
                return True
        except LogMismatch:
            pass
        log.error("the log is another one", category=decider.category, position=news.position, head=head)
        return False

    async def load(self, decider: Decider[S, C, E], stream: str, max_age: float | None = None) -> Aggregate[S]:
        """The aggregate, read from the store if what is remembered is older than `max_age` seconds (None: any age)."""
        for _ in range(MAX_READS):
            session, read_at, known = self._store.session, self._clock(), self._remembered(stream)
            is_of_session = known is not None and known.session == session
            if known is not None and is_of_session and (max_age is None or self._age(decider, known) < max_age):
                return known
            aggregate = await self._read(decider, stream, known, read_at, session)
            if self._store.session == session:
                if aggregate.revision != NO_EVENTS:
                    self._remember(decider.category, stream, self._saved(decider, stream, aggregate))
                return aggregate
        raise StoreUnavailable("event")  # several reads, each of which may have been of another log

    async def _read(
        self, decider: Decider[S, C, E], stream: str, known: Aggregate[S] | None, read_at: float, session: int
    ) -> Aggregate[S]:
        nothing = _nothing(decider, read_at, session)
        if known is not None:
            if known.session != session:
                known = replace(known, session=session, receipts=known.receipts.until(known.revision))
            try:
                return await self._catch_up(decider, stream, known, read_at)
            except _OtherHistory:
                log.error("the log is another one: nothing remembered of this stream counts", stream=stream)
                self.forget(stream)
                self._snapshots.withdraw(stream)
        return await self._begin(decider, stream, nothing)

    async def receipt(self, stream: str, aggregate: Aggregate[Any], request_id: str) -> Receipt | None:
        """What a request came to whose events are in the aggregate; None if there are none of it."""
        at_hand = aggregate.receipts.at_hand(request_id)
        if at_hand is not None:
            return at_hand
        for revision in aggregate.receipts.may_be_at(request_id):
            async for stored in self._store.read(stream, revision, 1):
                metadata = codec.decode_metadata(stored.metadata)
                if metadata is not None and metadata.request_id == request_id:
                    return Receipt(revision, position_of(stored), metadata.payload_hash)
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
        receipt: Receipt,
    ) -> None:
        """Take over what has just been written after `aggregate`; `event_id` is that of the last event."""
        aggregate.receipts.note(request_id, receipt, len(events))
        grown = replace(
            aggregate,
            state=decider.fold(events, aggregate.state),
            revision=receipt.revision,
            position=receipt.position,
            event_id=event_id,
        )
        self._remember(decider.category, stream, self._saved(decider, stream, grown))

    def forget(self, stream: str) -> None:
        self._cache.pop(stream, None)

    async def _begin(self, decider: Decider[S, C, E], stream: str, nothing: Aggregate[S]) -> Aggregate[S]:
        """A stream that nothing is remembered of: most are short, and one read brings all of it."""
        newest = await self._store.newest(stream, self._snapshots.newest)
        if not newest or newest[0].stream_position == 0:
            return await self._grown(decider, nothing, newest)
        snapshot = await self._snapshots.find(decider, stream)
        if snapshot is None:
            return await self._catch_up(decider, stream, nothing, nothing.read_at)
        if not newest[0].stream_position <= snapshot.revision <= newest[-1].stream_position:
            newest = [event async for event in self._store.read(stream, snapshot.revision)]
        after = [event for event in newest if event.stream_position >= snapshot.revision]
        if not after or after[0].id.bytes != snapshot.event_id:
            return await self._catch_up(decider, stream, nothing, nothing.read_at)  # the snapshot is of another history
        return await self._grown(decider, _opened(snapshot, nothing), after[1:])

    async def _catch_up(
        self, decider: Decider[S, C, E], stream: str, base: Aggregate[S], read_at: float
    ) -> Aggregate[S]:
        """The aggregate with what comes after `base`. Raises `_OtherHistory` if `base` is not of this stream, and
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
                # so that a stream too long for one caller's patience is begun anew by none
                aggregate = replace(await self._grown(decider, aggregate, page), read_at=float("-inf"))
                self._remember(decider.category, stream, aggregate)
                page = []
        if not has_base:
            raise _OtherHistory
        return replace(await self._grown(decider, aggregate, page), read_at=read_at)

    async def _grown(
        self, decider: Decider[S, C, E], base: Aggregate[S], events: Sequence[RecordedEvent]
    ) -> Aggregate[S]:
        """The aggregate after events that come next in its stream. Raises `UnreadableEvent`."""
        return _grown(decider, base, events, await decoded(events, self._store))

    def _saved(self, decider: Decider[S, C, E], stream: str, aggregate: Aggregate[S]) -> Aggregate[S]:
        """Offer a snapshot if one is due. Whether it is ever written is not waited for."""
        if not self._snapshots.due(aggregate.revision, aggregate.saved):
            return aggregate
        snapshot = Snapshot(
            revision=aggregate.revision,
            position=aggregate.position,
            event_id=aggregate.event_id,
            state=aggregate.state,
            marks=aggregate.receipts.marks(aggregate.revision),
        )
        self._snapshots.offer(decider, stream, snapshot, aggregate.saved)
        return replace(aggregate, saved=aggregate.revision)

    def _age(self, decider: Decider[S, C, E], known: Aggregate[Any]) -> float:
        """In seconds, of what is remembered of the current session."""
        news = self._news.get(decider.category)
        is_of_news = news is not None and news.session == known.session
        return self._clock() - (max(known.read_at, news.as_of) if news is not None and is_of_news else known.read_at)

    def _take_news(self, decider: Decider[S, C, E], news: _News, stored: RecordedEvent) -> None:
        known = self._cache.get(stored.stream_name)
        if known is None:
            self._miss(news, stored)
            return
        if known.session != news.session:
            self.forget(stored.stream_name)
            self._miss(news, stored)
            return
        if stored.stream_position <= known.revision:
            return
        if stored.stream_position != known.revision + 1:
            self.forget(stored.stream_name)
            return
        try:
            data = codec.decode_stored(stored)
        except codec.CodecError:  # it concerns this aggregate only, when it is next loaded; the others are up to date
            self.forget(stored.stream_name)
            self._miss(news, stored)
            return
        self._cache[stored.stream_name] = _grown(decider, known, [stored], [data])

    def _miss(self, news: _News, stored: RecordedEvent) -> None:
        news.missed[stored.stream_name] = stored.stream_position
        news.missed.move_to_end(stored.stream_name)
        if len(news.missed) > self._most:
            news.missed.popitem(last=False)

    def _forget_category(self, category: str) -> None:
        for stream in [stream for stream in self._cache if stream.startswith(f"{category}-")]:
            self.forget(stream)

    def _remembered(self, stream: str) -> Aggregate[Any] | None:
        aggregate = self._cache.get(stream)
        if aggregate is not None:
            self._cache.move_to_end(stream)
        return aggregate

    def _remember(self, category: str, stream: str, aggregate: Aggregate[Any]) -> None:
        newest = self._cache.get(stream)
        if newest is not None and (newest.session, newest.revision) > (aggregate.session, aggregate.revision):
            return
        news = self._news.get(category)
        if news is not None and newest is None:
            if aggregate.read_at < news.since or news.missed.get(stream, NO_EVENTS) > aggregate.revision:
                return
            news.missed.pop(stream, None)
        self._cache[stream] = aggregate
        self._cache.move_to_end(stream)
        if len(self._cache) > self._most:
            self._cache.popitem(last=False)


def _ends_with(base: Aggregate[Any], stored: RecordedEvent) -> bool:
    """Whether the event is the last one of the aggregate. The id alone does not tell: it is made of the request."""
    return (stored.stream_position, stored.id.bytes, position_of(stored)) == (
        base.revision,
        base.event_id,
        base.position,
    )


def _nothing(decider: Decider[S, Any, Any], read_at: float, session: int) -> Aggregate[S]:
    return Aggregate(
        state=decider.initial,
        revision=NO_EVENTS,
        position=0,
        event_id=b"",
        receipts=Receipts(),
        read_at=read_at,
        session=session,
    )


def _opened(snapshot: Snapshot, nothing: Aggregate[Any]) -> Aggregate[Any]:
    return Aggregate(
        state=snapshot.state,
        revision=snapshot.revision,
        position=snapshot.position,
        event_id=snapshot.event_id,
        receipts=Receipts(snapshot.marks),
        read_at=nothing.read_at,
        session=nothing.session,
        saved=snapshot.revision,
    )


def _grown(
    decider: Decider[S, C, E],
    base: Aggregate[S],
    events: Sequence[RecordedEvent],
    data: Sequence[DomainEvent | None],
) -> Aggregate[S]:
    """The aggregate after events that come next in its stream; `data` is None for those that are excluded."""
    if not events:
        return base
    state = base.state
    for stored, event in zip(events, data, strict=True):
        # an aggregate stops at an event it cannot read: deciding without it would be deciding on a false state, unless
        # an operator has excluded that event
        if event is not None:
            state = decider.evolve(state, cast(E, event))
        _note_receipt(base.receipts, stored)
    last = events[-1]
    return replace(
        base,
        state=state,
        revision=last.stream_position,
        position=position_of(last),
        event_id=last.id.bytes,
    )


def _note_receipt(receipts: Receipts, stored: RecordedEvent) -> None:
    metadata = codec.decode_metadata(stored.metadata)
    if metadata is None:
        receipts.note_foreign(stored.stream_position)
        return
    receipt = Receipt(stored.stream_position, position_of(stored), metadata.payload_hash)
    receipts.note(metadata.request_id, receipt)
