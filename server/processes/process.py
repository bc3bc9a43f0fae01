"""The process of orders, running: a group that wakes it, and timers that wake it."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from server.domain.checkout.steps import Wait
from server.eventstore.client import RecordedEvent
from server.eventstore.connection import Client
from server.eventstore.store import EventStore
from server.processes.dues import reservation_of
from server.processes.groups import Group
from server.processes.reconciler import Reconciler
from server.processes.reservations import ReservationExpiry
from server.processes.sender import Cause
from server.processes.timers import Timers
from server.processes.triggers import cause_of, key_of

NAME = "checkout"
FORMER = re.compile(r"checkout-[0-9a-f]{8}")  # of releases whose groups had a filter, which the store cannot change


class OrderProcess:
    """All that brings orders on in this process."""

    def __init__(
        self,
        client: Client,
        store: EventStore,
        reconciler: Reconciler,
        reservations: ReservationExpiry,
        clock: Callable[[], datetime],
        *,
        at_once: int,
    ) -> None:
        self.group = Group(client, NAME, key_of, self._work, at_once=at_once, former=FORMER)
        self._timers = Timers(store, self._wake, clock, at_once=at_once)
        self._reconciler = reconciler
        self._reservations = reservations

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """On leaving, what is at work is finished."""
        timers, group = asyncio.create_task(self._timers.run()), asyncio.create_task(self.group.run())
        try:
            yield
        finally:
            await self.group.stop()
            for task in (timers, group):
                task.cancel()
            await asyncio.gather(timers, group, return_exceptions=True)

    async def _wake(self, key: str, cause: Cause) -> Wait:
        reservation = reservation_of(key)
        if reservation is None:
            return await self._reconciler.reconcile(key, cause)
        return await self._reservations.expire(*reservation, cause)

    async def _work(self, order_id: str, event: RecordedEvent, delivered_before: int) -> None:
        await self._reconciler.reconcile(order_id, cause_of(event), delivered_before=delivered_before)
