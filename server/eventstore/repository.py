"""Aggregates out of streams: read, fold, remember.

The cache is safe for commands, since the store checks the expected revision of every append. Where a decision rests on
*another* aggregate (a price, a customer), the caller says how old that knowledge may be. To make it younger, the news
of the whole category is read at once: one short read for everything remembered, shared by all who ask at the same time.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar, cast

from esdbclient import RecordedEvent

from server.domain.decider import Decider
from server.eventstore import codec
from server.eventstore.registry import DomainEvent
from server.eventstore.store import NO_EVENTS, EventStore

WORTH_CATCHING_UP = 30.0  # seconds; after a longer silence it is cheaper to begin anew than to look through the log

S = TypeVar("S")
C = TypeVar("C")
E = TypeVar("E", bound=DomainEvent)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a command came to: the revision of its last event and that event's commit position."""

    revision: int
    position: int
    payload_hash: str = ""


@dataclass(slots=True)
class _News:
    """How far the news of one category have been read. `as_of` is when that read began, in monotonic seconds.

    What was read before `since`, or lacks what the news had of its stream (`missed`: its revision), must not be taken
    for something that the news keep up to date.
    """

    position: int = -1
    as_of: float = float("-inf")
    since: float = float("-inf")
    missed: OrderedDict[str, int] = field(default_factory=OrderedDict)
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate(Generic[S]):
    """A folded stream. `receipts` has the outcome of every request whose events are in it, by request id.

    It only ever grows by what the log says, so successive states of one aggregate share it.
    """

    state: S
    revision: int
    position: int
    receipts: dict[str, Receipt]
    read_at: float  # monotonic seconds; when the store last said that this is all there is


class Repository:
    """Loads aggregates, newest first out of a bounded cache."""

    def __init__(self, store: EventStore, most: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._most = most
        self._clock = clock
        self._cache: OrderedDict[str, Aggregate[Any]] = OrderedDict()
        self._news: dict[str, _News] = {}

    def remembered_or_new(self, decider: Decider[S, C, E], stream: str) -> Aggregate[S]:
        """What is remembered, or else the beginning, unread: good for a command that opens a stream.

        The store refuses its append if there is a stream after all.
        """
        return self._remembered(stream) or _nothing(decider, float("-inf"))

    async def catch_up(self, decider: Decider[S, C, E], max_age: float) -> None:
        """Bring everything remembered of a category to a state no older than `max_age` seconds (0: as of now)."""
        news = self._news.setdefault(decider.category, _News())
        asked_at = self._clock()
        async with news.reading:
            if news.as_of > asked_at - max_age:
                return
            as_of = self._clock()
            if as_of - news.as_of > WORTH_CATCHING_UP:
                self._forget_category(decider.category)
                news.since = as_of
                news.position = await self._store.head()
            else:
                head = await self._store.head()
                async for stored in self._store.read_category(decider.category, news.position):
                    self._take_news(decider, news, stored)
                    head = max(head, stored.commit_position or 0)
                news.position = head
            news.as_of = as_of

    async def load(self, decider: Decider[S, C, E], stream: str, max_age: float | None = None) -> Aggregate[S]:
        """The aggregate, read from the store if what is remembered is older than `max_age` seconds (None: any age)."""
        known = self._remembered(stream)
        if known is not None and (max_age is None or self._clock() - self._as_of(decider, known) < max_age):
            return known
        read_at = self._clock()
        base = known or _nothing(decider, read_at)
        aggregate = await self._catch_up(decider, stream, base, read_at)
        if aggregate.revision != NO_EVENTS:
            self._remember(decider.category, stream, aggregate)
        return aggregate

    def appended(
        self,
        decider: Decider[S, C, E],
        stream: str,
        aggregate: Aggregate[S],
        *,
        events: Sequence[E],
        request_id: str,
        receipt: Receipt,
    ) -> None:
        """Take over what has just been written after `aggregate`."""
        aggregate.receipts[request_id] = receipt
        self._remember(
            decider.category,
            stream,
            Aggregate(
                state=decider.fold(events, aggregate.state),
                revision=receipt.revision,
                position=receipt.position,
                receipts=aggregate.receipts,
                read_at=aggregate.read_at,
            ),
        )

    def forget(self, stream: str) -> None:
        self._cache.pop(stream, None)

    async def _catch_up(
        self, decider: Decider[S, C, E], stream: str, base: Aggregate[S], read_at: float
    ) -> Aggregate[S]:
        state, receipts, last = base.state, base.receipts, None
        async for stored in self._store.read(stream, base.revision + 1):
            # an aggregate stops at an event it cannot read: deciding without it would be deciding on a false state
            state = decider.evolve(state, cast(E, codec.decode(stored.type, stored.data)))
            _note_receipt(receipts, stored)
            last = stored
        if last is None:
            return replace(base, read_at=read_at)
        return Aggregate(
            state=state,
            revision=last.stream_position,
            position=last.commit_position or 0,
            receipts=receipts,
            read_at=read_at,
        )

    def _as_of(self, decider: Decider[S, C, E], known: Aggregate[Any]) -> float:
        news = self._news.get(decider.category)
        return known.read_at if news is None else max(known.read_at, news.as_of)

    def _take_news(self, decider: Decider[S, C, E], news: _News, stored: RecordedEvent) -> None:
        known = self._cache.get(stored.stream_name)
        if known is None:
            news.missed[stored.stream_name] = stored.stream_position
            news.missed.move_to_end(stored.stream_name)
            if len(news.missed) > self._most:
                news.missed.popitem(last=False)
            return
        if stored.stream_position <= known.revision:
            return
        if stored.stream_position != known.revision + 1:
            self.forget(stored.stream_name)
            return
        _note_receipt(known.receipts, stored)
        self._cache[stored.stream_name] = replace(
            known,
            state=decider.evolve(known.state, cast(E, codec.decode(stored.type, stored.data))),
            revision=stored.stream_position,
            position=stored.commit_position or 0,
        )

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
        if newest is not None and newest.revision > aggregate.revision:
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


def _nothing(decider: Decider[S, Any, Any], read_at: float) -> Aggregate[S]:
    return Aggregate(state=decider.initial, revision=NO_EVENTS, position=0, receipts={}, read_at=read_at)


def _note_receipt(receipts: dict[str, Receipt], stored: RecordedEvent) -> None:
    metadata = codec.decode_metadata(stored.metadata)
    if metadata is not None:
        receipts[metadata.request_id] = Receipt(
            stored.stream_position, stored.commit_position or 0, metadata.payload_hash
        )
