"""Aggregates out of streams: read, fold, remember.

The cache is safe for commands, since the store checks the expected revision of every append. Where a decision rests on
*another* aggregate (a price, a customer), the caller says how old that knowledge may be.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

from esdbclient import RecordedEvent

from server.domain.decider import Decider
from server.eventstore import codec
from server.eventstore.registry import DomainEvent
from server.eventstore.store import NO_EVENTS, EventStore

S = TypeVar("S")
C = TypeVar("C")
E = TypeVar("E", bound=DomainEvent)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a command came to: the revision of its last event and that event's commit position."""

    revision: int
    position: int
    payload_hash: str = ""


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

    async def load(self, decider: Decider[S, C, E], stream: str, max_age: float | None = None) -> Aggregate[S]:
        """The aggregate, read from the store if what is remembered is older than `max_age` seconds (None: any age)."""
        known = self._remembered(stream)
        if known is not None and (max_age is None or self._clock() - known.read_at < max_age):
            return known
        read_at = self._clock()
        base = known or Aggregate(state=decider.initial, revision=NO_EVENTS, position=0, receipts={}, read_at=read_at)
        aggregate = await self._catch_up(decider, stream, base, read_at)
        if aggregate.revision != NO_EVENTS:
            self._remember(stream, aggregate)
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

    def _remembered(self, stream: str) -> Aggregate[Any] | None:
        aggregate = self._cache.get(stream)
        if aggregate is not None:
            self._cache.move_to_end(stream)
        return aggregate

    def _remember(self, stream: str, aggregate: Aggregate[Any]) -> None:
        newest = self._cache.get(stream)
        if newest is not None and newest.revision > aggregate.revision:
            return
        self._cache[stream] = aggregate
        self._cache.move_to_end(stream)
        if len(self._cache) > self._most:
            self._cache.popitem(last=False)


def _note_receipt(receipts: dict[str, Receipt], stored: RecordedEvent) -> None:
    metadata = codec.decode_metadata(stored.metadata)
    if metadata is not None:
        receipts[metadata.request_id] = Receipt(
            stored.stream_position, stored.commit_position or 0, metadata.payload_hash
        )
