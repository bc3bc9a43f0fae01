"""The automatic start of processes: orders that were placed after the log's marker get a process by themselves.

Orders that were placed before may have been handled by hand: their stock is reserved under other ids, their money
was taken elsewhere. A process that started by itself would reserve and charge again. So an operator starts theirs
(`orderstream processes start`), with a plan of what it will do.

The marker is one event in its own stream. The first process service that runs on a log writes it. So does the
first command service on a log without orders, unless the shop is run by hand: then no order is older than the marker.
"""

from contextlib import AbstractAsyncContextManager
from uuid import UUID, uuid5

from core.domain.order import ORDER
from core.domain.order.events import OrderPlaced
from core.eventstore.client import NewEvent
from core.eventstore.ensured import ensured
from core.eventstore.store import NO_EVENTS, EventStore, WrongRevision
from core.eventstore.upcasters import stored_names
from server.processes.command_sender import Cause

STREAM = "processes_started"
EVENT_ID = uuid5(UUID("0b5f6b0e-52a5-5b3e-9a5e-3f8f0f3f8a11"), "ProcessesStarted")  # the same for all writers
PLACED = stored_names(OrderPlaced)


class AutomaticStart:
    """Raises a `StoreFailure` if the event store refuses or does not answer."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._marker: int | None = None
        self._session = -1  # of the store; the marker was found in it

    async def enable(self) -> int:
        """Write the marker if there is none; its commit position."""
        if self._store.session != self._session:
            self._marker, self._session = None, self._store.session
        event = NewEvent(type="ProcessesStarted", data=b"{}", content_type="application/json", id=EVENT_ID)
        while self._marker is None:
            self._marker = await self._find()
            if self._marker is None:
                try:
                    self._marker = await self._store.append(STREAM, NO_EVENTS, [event])
                except WrongRevision:  # another service was first
                    continue
        return self._marker

    def forget(self) -> None:
        """The log was replaced: search for the marker again."""
        self._marker = None

    def enabled(self, *, only_on_a_new_log: bool = False) -> AbstractAsyncContextManager[None]:
        """Write the marker (`only_on_a_new_log`: if there is no order yet). If the event store does not answer, this is
        retried in the background. Raises a `StoreRefusal`.
        """
        work = self._enable_on_a_new_log if only_on_a_new_log else self.enable
        return ensured(work, "the event store does not answer: processes do not start by themselves")

    async def _enable_on_a_new_log(self) -> None:
        if not await self._store.has_any(ORDER.category):
            await self.enable()

    async def covers(self, order_id: str, cause: Cause) -> bool:
        """Whether an order was placed after the marker. Its stream need not be read if `cause` is that event."""
        placed_at = cause.placed_at or await self._placed_at(order_id)
        return placed_at is not None and placed_at > await self.enable()

    async def _find(self) -> int | None:
        async for event in self._store.read(STREAM, most=1):
            return event.commit_position
        return None

    async def _placed_at(self, order_id: str) -> int | None:
        async for event in self._store.read(ORDER.stream(order_id)):
            if event.type in PLACED:
                return event.commit_position
        return None
