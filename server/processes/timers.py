"""Timers: they run when an order or a reservation expires, and when a failed step is due again.

Deadlines are events in the streams of processes and stock, so they survive every restart. The timers follow those
streams, keep the open deadlines in memory, and run the process of an order, or end a reservation, when the time has
passed. Several services may do so concurrently. From time to time they store the position after which the log has all
that is open, so that a start reads what is open, not the complete history.

The clock used here is our own: it may be wrong. The code that handles a deadline checks it by the event store's time,
and returns how long it still has to wait.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter, Gauge

from core.background import set_within, together
from core.backoff import Backoff
from core.domain.checkout import CHECKOUT
from core.domain.checkout.steps import Wait
from core.domain.order.events import OrderConfirmed
from core.domain.stock.events import ReservationCommitted, ReservationExpired, ReservationReleased, StockReserved
from core.eventstore import codec
from core.eventstore.client import CaughtUp, Checkpoint, RecordedEvent
from core.eventstore.log import START, EventFilter, LogPoint, point_of
from core.eventstore.registry import ROWS
from core.eventstore.store import EventStore
from core.eventstore.subscription import CatchUpSubscription, SubscriptionLost
from core.eventstore.upcasters import stored_names
from core.failures import LogMismatch, ServiceFailure, UnreadableEvent
from server.processes.command_sender import Cause
from server.processes.deadlines import Deadline, Deadlines, reservation_key
from server.processes.resume_position import ResumePosition
from server.processes.triggers import cause_of, order_of

log = structlog.get_logger()

OPEN = Gauge("orderstream_process_timers", "Deadlines and retries that are waited for.")
FIRED = Counter("orderstream_process_timers_fired_total", "Deadlines and retries whose time has passed.")

FIRST_PAUSE, MAX_PAUSE = 0.1, 5.0  # seconds
MIN_WAIT = timedelta(seconds=0.1)  # if our clock and the store's disagree about a deadline
MAX_SLEEP = 60.0  # seconds; the clock may be set meanwhile
SAVE_EVERY = 60.0  # seconds
SILENCE = 5.0  # seconds of silence after which the log is checked for undelivered events

_RESERVATIONS = (StockReserved, ReservationCommitted, ReservationReleased, ReservationExpired)
_PROCESS = (row.event for row in ROWS if row.category == CHECKOUT.category)
TYPES = frozenset(stored_names(*_PROCESS, OrderConfirmed, *_RESERVATIONS))
FOLLOWED = EventFilter(include=tuple(sorted(TYPES)), by_stream_name=False)


class Timers:
    """`wake(key, cause)` is called when an order or a reservation (`deadlines.reservation_of`) is due.

    Its result may say that a deadline has not passed yet by the store's clock. `clock` gives our time in UTC.
    """

    def __init__(
        self,
        store: EventStore,
        wake: Callable[[str, Cause], Awaitable[Wait]],
        clock: Callable[[], datetime],
        *,
        at_once: int,
        save_every: float = SAVE_EVERY,
    ) -> None:
        self._log = store.log
        self._resume_position = ResumePosition(store, TYPES)
        self._save_every = save_every
        self._wake = wake
        self._clock = clock
        self._places = asyncio.Semaphore(at_once)
        self._deadlines = Deadlines()
        self._changed = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._position: int | None = None  # None: nothing was read yet
        self._known = LogPoint()  # the last event that was applied
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Run until cancelled."""
        try:
            await together([self._follow(), self._fire(), self._save_position()])
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self) -> None:
        backoff = Backoff(FIRST_PAUSE, MAX_PAUSE)
        while True:
            before = self._position
            try:
                await self._read()
            except LogMismatch as failure:
                error = f"{type(failure).__name__}: {failure}"
                self._reset()
            except (ServiceFailure, SubscriptionLost) as failure:
                error = f"{type(failure).__name__}: {failure}"
            if self._position != before:
                backoff.reset()
            pause = backoff.pause()
            log.warning("the timers subscribe again", error=error, pause=pause)
            await asyncio.sleep(pause)

    async def _read(self) -> None:
        if self._position is None:
            self._position = await self._resume_position.find()
        if not await self._log.is_of_this_log(self._known):
            raise LogMismatch
        subscription = CatchUpSubscription(self._log, FOLLOWED, self._position)
        async with subscription, aclosing(subscription.items(SILENCE)) as items:
            async for item in items:
                if isinstance(item, CaughtUp):
                    self._caught_up.set()
                elif isinstance(item, RecordedEvent) and not isinstance(item, Checkpoint):
                    self._apply(item, self._position)
                    self._known = point_of(item)
                    self._position = self._known.position

    def _reset(self) -> None:
        """The log was replaced, or its positions are others: read all of it."""
        self._position, self._known = START, LogPoint()
        self._deadlines = Deadlines()
        self._caught_up.clear()
        for task in self._tasks:  # they belong to the other log
            task.cancel()

    def _apply(self, event: RecordedEvent, after: int) -> None:
        try:
            data = codec.decode(event.type, event.data)
        except codec.CodecError as error:
            log.error("an event cannot be read", stream=event.stream_name, error=str(error))
            return
        order_id = order_of(event.stream_name)
        if isinstance(data, _RESERVATIONS):
            key = reservation_key(data.sku, data.reservation_id)
            self._deadlines.apply_reservation(key, data, cause_of(event), after=after)
        elif order_id is not None:
            self._deadlines.apply(order_id, data, cause_of(event), after=after)
        OPEN.set(len(self._deadlines))
        self._changed.set()

    async def _fire(self) -> None:
        while True:
            await self._caught_up.wait()  # until then a due entry may have ended already
            self._changed.clear()
            now = self._clock()
            for order_id, due in self._deadlines.pop_due(now):
                FIRED.inc()
                task = asyncio.create_task(self._wake_up(order_id, due))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            next_at = self._deadlines.next_at()
            wait = MAX_SLEEP if next_at is None else max(0.0, (next_at - now).total_seconds())
            await set_within(self._changed, min(wait, MAX_SLEEP))

    async def _save_position(self) -> None:
        kept = START
        while True:
            await self._caught_up.wait()
            resume_position = self._deadlines.resume_position(self._position or 0)
            if resume_position > kept:
                try:
                    await self._resume_position.keep(resume_position)
                except ServiceFailure as failure:  # the next start then reads more than needed
                    log.warning("the mark of the timers is not kept", error=str(failure))
                else:
                    kept = resume_position
            await asyncio.sleep(self._save_every)

    async def _wake_up(self, order_id: str, due: Deadline) -> None:
        """The entry is removed only after the process has run: until then it is retried."""
        backoff = Backoff(FIRST_PAUSE, MAX_SLEEP)
        while True:
            try:
                async with self._places:
                    waits = await self._wake(order_id, due.cause)
            except UnreadableEvent as failure:
                backoff.exhaust()  # a newer release or an operator has to act first
                log.error("a timer has to wait", order_id=order_id, error=str(failure))
            except ServiceFailure as failure:
                log.warning("a timer has to wait", order_id=order_id, error=str(failure))
            except Exception:  # a defect with one order must not affect the others
                log.exception("a timer came to nothing", order_id=order_id)
            else:
                if waits.again_in is not None:
                    again_in = max(waits.again_in, MIN_WAIT)
                    self._deadlines.postpone(order_id, due, self._clock() + again_in)
                    self._changed.set()
                self._deadlines.done(due)
                return
            await backoff.rest()
