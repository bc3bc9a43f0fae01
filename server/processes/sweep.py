"""The sweep: a second check of each order, a minute after the event that should have started its process.

The group may lose an event: the store may not deliver it, or another consumer may have received it. The sweep reads the
events that start processes from the log, after its own checkpoint, and reconciles each of their orders, except those
that this service has reconciled since. A missing process is started, a due step is run.

Several services may sweep. Each continues at the checkpoint, so they share the work; if two do the same, it has its
effect once. Events younger than `settle` seconds by the store's time are left to the group, until the next round.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from itertools import takewhile

import structlog
from prometheus_client import Counter, Gauge

from core.backoff import Backoff
from core.domain.checkout.state import OWN_IDS, StepName
from core.eventstore.client import RecordedEvent, position_of
from core.eventstore.log import EventFilter, LogPoint, point_of
from core.eventstore.store import EventStore
from core.eventstore.swept import Found, SweepCheckpoint
from core.failures import LogMismatch, ServiceFailure, StoreFailure
from server.processes.automatic_start import AutomaticStart
from server.processes.command_sender import Cause
from server.processes.ids import derived
from server.processes.reconciler import Looked
from server.processes.triggers import TYPES, cause_of, key_of

log = structlog.get_logger()

ORDERS = Counter("orderstream_sweep_orders_total", "Orders the sweep came to, and what it found.", ["outcome"])
LEFT = Gauge("orderstream_sweep_left", "Orders that the sweep cannot look at, and tries again each round.")
COMPLETED = Gauge("orderstream_sweep_completed_timestamp_seconds", "When a round of the sweep was last completed.")

PAGE = 500  # events
READ_WITHIN = 60.0  # seconds for a page: the store may filter many events to find it
FIRST_PAUSE = 1.0  # seconds after a failed round
MAX_SETTLE = 15.0  # seconds
MAX_LEFT = 1_000  # orders; above, the checkpoint does not move on
MAX_SEEN = 10_000  # orders
TRIGGERS = EventFilter(include=tuple(sorted(TYPES)), by_stream_name=False)

Look = Callable[[str, Cause], Awaitable[Looked]]


class TooManyLeftError(Exception):
    """More orders cannot be reconciled than are remembered: the cause has to be found first."""


class Seen:
    """The position up to which this service knows each order, for the recently reconciled ones."""

    def __init__(self) -> None:
        self._positions: dict[str, int] = {}

    def note(self, order_id: str, position: int) -> None:
        """The order was reconciled after the event at this position."""
        known = self._positions.pop(order_id, position)
        self._positions[order_id] = max(known, position)
        if len(self._positions) > MAX_SEEN:
            del self._positions[next(iter(self._positions))]

    def covers(self, order_id: str, position: int) -> bool:
        return self._positions.get(order_id, -1) >= position


class Sweep:
    """`look` reconciles an order. A round begins every `every` seconds."""

    def __init__(
        self,
        store: EventStore,
        look: Look,
        seen: Seen,
        automatic: AutomaticStart,
        *,
        every: float,
        at_once: int,
    ) -> None:
        self._store = store
        self._log = store.log
        self._look = look
        self._seen = seen
        self._automatic = automatic
        self._every = every
        self._settle = min(MAX_SETTLE, every / 4)
        self._places = asyncio.Semaphore(at_once)
        self._checkpoint = SweepCheckpoint(store)
        self._reached = LogPoint()  # not stored while nothing is found there
        self._found = Found()
        self._left: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Run until cancelled. The first round begins after the group has had `settle` seconds."""
        pace = random.uniform(0.75, 1.0)  # noqa: S311  # services that start together sweep at different moments
        backoff = Backoff(FIRST_PAUSE, self._every, interval=self._every * pace)
        await asyncio.sleep(self._settle * pace)
        while True:
            try:
                await self.sweep()
            except Exception as failure:  # any failure: the next round has the same orders again
                known = isinstance(failure, ServiceFailure | TooManyLeftError)
                error = f"{type(failure).__name__}: {failure}"
                log.warning("the sweep is interrupted", error=error, exc_info=not known)
            else:
                COMPLETED.set_to_current_time()
                backoff.reset()
            await backoff.rest()

    async def sweep(self) -> None:
        """One round: to the end of the log, or to the events that are too young."""
        point = await self._begin()
        settled_at: datetime | None = None
        while True:
            end = await self._log.last()
            page = await self._page_after(point)
            if page and settled_at is None:
                settled_at = await self._store.now() - timedelta(seconds=self._settle)
            settled = _settled(page, settled_at)
            if settled:
                await self._look_at(_orders(settled, self._seen))
                point = point_of(settled[-1])
                await self._keep(point)
            if len(settled) == len(page) < PAGE:
                self._reached = max(point, LogPoint() if end is None else point_of(end))
                return
            self._reached = point
            if len(settled) < len(page):
                return

    async def _begin(self) -> LogPoint:
        """Reconcile the failed orders again; returns the position from which the log has to be read."""
        kept = await self._checkpoint.find()
        self._left = frozenset(kept.left)
        points = [point for point in (kept.point, self._reached) if point.position]
        known = [point for point in points if await self._log.is_of_this_log(point)]
        if len(known) < len(points):
            log.warning("the sweep starts again: the log was replaced", kept=kept.position)
            self._automatic.forget()
            self._reached = LogPoint()
        point = max(known, default=LogPoint(await self._automatic.enable()))
        if kept.left:
            await self._look_at({order_id: _cause_of_its_own(order_id) for order_id in kept.left})
            await self._keep(point)
        return point

    async def _page_after(self, point: LogPoint) -> list[RecordedEvent]:
        async with aclosing(self._log.after(point.position, TRIGGERS, limit=PAGE, timeout=READ_WITHIN)) as reading:
            return [event async for event in reading]

    async def _keep(self, point: LogPoint) -> None:
        left = (self._left - self._found.looked_at) | self._found.failed
        LEFT.set(len(left))
        if len(left) > MAX_LEFT:
            raise TooManyLeftError(f"{len(left)} orders cannot be looked at")
        self._left = frozenset((await self._checkpoint.keep(point, self._found)).left)
        self._found = Found()

    async def _look_at(self, orders: Mapping[str, Cause]) -> None:
        looks = (self._look_at_one(order_id, cause) for order_id, cause in orders.items())
        for failure in await asyncio.gather(*looks, return_exceptions=True):
            if failure is not None:
                raise failure

    async def _look_at_one(self, order_id: str, cause: Cause) -> None:
        async with self._places:
            try:
                looked = await self._look(order_id, cause)
            except LogMismatch:
                raise
            except Exception as failure:
                if isinstance(failure, StoreFailure):
                    await self._log.end()  # if that fails too, this order is not the cause
                self._found.failed.add(order_id)
                ORDERS.labels("failed").inc()
                if order_id not in self._left:
                    known = isinstance(failure, ServiceFailure)
                    error = f"{type(failure).__name__}: {failure}"
                    log.error("an order is left for the next sweep", order_id=order_id, error=error, exc_info=not known)
                return
        self._take(order_id, looked)

    def _take(self, order_id: str, looked: Looked) -> None:
        self._found.failed.discard(order_id)
        self._found.looked_at.add(order_id)
        if StepName.START in looked.tried:
            self._found.begun += 1
            ORDERS.labels("begun").inc()
            log.warning("an order had no process: the sweep has begun it", order_id=order_id)
        elif looked.tried:
            self._found.brought_on += 1
            ORDERS.labels("brought on").inc()
            log.warning("an order had steps due: the sweep has done them", order_id=order_id, steps=looked.tried)
        else:
            ORDERS.labels("in order").inc()


def _settled(events: Sequence[RecordedEvent], until: datetime | None) -> list[RecordedEvent]:
    return list(
        takewhile(lambda event: until is None or event.recorded_at is None or event.recorded_at <= until, events)
    )


def _orders(events: Sequence[RecordedEvent], seen: Seen) -> dict[str, Cause]:
    """The orders of these events, with the first event of each; without those that were reconciled since."""
    causes: dict[str, Cause] = {}
    positions: dict[str, int] = {}
    for event in events:
        order_id = key_of(event)
        if order_id is not None:
            causes.setdefault(order_id, cause_of(event))
            positions[order_id] = position_of(event)
    found = {order_id: cause for order_id, cause in causes.items() if not seen.covers(order_id, positions[order_id])}
    ORDERS.labels("seen before").inc(len(causes) - len(found))
    return found


def _cause_of_its_own(order_id: str) -> Cause:
    conversation = derived(OWN_IDS, order_id, "swept")
    return Cause(event_id=conversation, correlation_id=conversation)
