"""The event store's time, which decides about deadlines.

A wall clock alone may not end anything: a clock that is two hours ahead would let every order expire at once. So a
deadline has passed only if both our clock and the store's say so, and the store's is read by writing an event.
A deadline was set by the clock of the service that wrote it; if that clock was behind, the difference is added.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from core.domain.order import ORDER
from core.domain.order.events import OrderPlaced
from core.domain.order.state import Placed
from core.eventstore.store import EventStore
from core.eventstore.upcasters import stored_names

FRESH = 5.0  # seconds for which a reading of the store's clock may answer "not yet" again
NO_TIME = timedelta(0)

_PLACED = stored_names(OrderPlaced)


class StoreTime:
    """`wall` gives our time in UTC. Calls to the store raise `StoreUnavailable`."""

    def __init__(
        self,
        store: EventStore,
        wall: Callable[[], datetime],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._wall = wall
        self._monotonic = monotonic
        self._seen: tuple[datetime, float] | None = None  # the store's time, and when we read it

    async def at(self, deadline: datetime) -> datetime:
        """The time to compare with a deadline: at or after it only if our clock and the store's are."""
        wall = self._wall()
        if wall < deadline:
            return wall
        return min(wall, await self._of_store(deadline))

    async def has_passed(self, time: datetime) -> bool:
        """Whether the store's clock alone, which all services share, is at or after a time of the store's."""
        return await self._of_store(time) >= time

    async def _of_store(self, deadline: datetime) -> datetime:
        if self._seen is not None:
            then, asked_at = self._seen
            elapsed = self._monotonic() - asked_at
            if elapsed < FRESH and (now := then + timedelta(seconds=elapsed)) < deadline:
                return now
        asked_at = self._monotonic()
        now = await self._store.now()
        self._seen = now, asked_at
        return now

    async def for_order(self, order: Placed, deadline: datetime | None = None) -> datetime:
        """The time to compare with the deadline of a placed order (its `expires_at`, unless another is given)."""
        deadline = deadline or order.expires_at
        now = await self.at(deadline)
        return now if now < deadline else now - await self._behind(order)

    async def _behind(self, order: Placed) -> timedelta:
        """How far the clock that dated the order was behind the store's; 0 if it was ahead."""
        async for event in self._store.read(ORDER.stream(order.order_id)):
            if event.type in _PLACED and event.recorded_at is not None:
                return max(NO_TIME, event.recorded_at - order.placed_at)
        return NO_TIME
