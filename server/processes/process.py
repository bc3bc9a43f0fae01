"""The process service of orders: a consumer group, timers and a sweep that run reconcilers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from core.background import ended
from core.domain.checkout.steps import Wait
from core.eventstore.checkout_group import FORMER, NAME
from core.eventstore.client import RecordedEvent, position_of
from core.eventstore.persistent import Groups
from core.eventstore.store import EventStore
from core.failures import StoreUnavailable
from server.processes.automatic_start import AutomaticStart
from server.processes.command_sender import Cause
from server.processes.consumer import EventConsumer
from server.processes.deadlines import reservation_of
from server.processes.reconciler import Reconciler
from server.processes.reservations import ReservationExpiry
from server.processes.sweep import Seen, Sweep
from server.processes.timers import Timers
from server.processes.triggers import cause_of, key_of

SHARE_OF_SWEEP = 4  # the sweep may process one order at a time for so many of the group


class OrderProcess:
    """All parts that run processes of orders here."""

    def __init__(
        self,
        groups: Groups,
        store: EventStore,
        reconciler: Reconciler,
        reservations: ReservationExpiry,
        clock: Callable[[], datetime],
        *,
        automatic: AutomaticStart,
        at_once: int,
        sweep_every: float,
    ) -> None:
        self.group = EventConsumer(groups, NAME, key_of, self._work, at_once=at_once, former=FORMER)
        self._timers = Timers(store, self._wake, clock, at_once=at_once)
        self._seen = Seen()
        self._sweep = Sweep(
            store,
            reconciler.look,
            self._seen,
            automatic,
            every=sweep_every,
            at_once=max(1, at_once // SHARE_OF_SWEEP),
        )
        self._reconciler = reconciler
        self._reservations = reservations
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """On leaving, running work is finished. Raises a `StoreRefusal` if there is no group and
        we may not create it.
        """
        with suppress(StoreUnavailable):
            await self.group.ensure()
        works = {"timers": self._timers.run(), "group": self.group.run(), "sweep": self._sweep.run()}
        self._tasks = [asyncio.create_task(work, name=name) for name, work in works.items()]
        try:
            yield
        finally:
            await self.group.stop()
            await asyncio.gather(*map(ended, self._tasks))
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def trouble(self) -> str:
        """Why orders are not processed; "" if they are. A part that has ended does not restart by itself."""
        over = [task for task in self._tasks if task.done() and not task.cancelled()]
        if over:
            return f"the {over[0].get_name()} ended: {over[0].exception()!r}"
        return self.group.last_error

    async def _wake(self, key: str, cause: Cause) -> Wait:
        reservation = reservation_of(key)
        if reservation is None:
            return await self._reconciler.reconcile(key, cause)
        return await self._reservations.expire(*reservation, cause)

    async def _work(self, order_id: str, event: RecordedEvent, delivered_before: int) -> None:
        await self._reconciler.reconcile(order_id, cause_of(event), delivered_before=delivered_before)
        self._seen.note(order_id, position_of(event))
