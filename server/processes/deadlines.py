"""The deadlines of orders and reservations, and the next attempts at failed steps. Bookkeeping only, without clock and
I/O.

It knows the position from which the log must be read to restore the same state: nothing before it is open any more.
"""

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from core.domain.checkout.events import CheckoutEnded, CheckoutStarted, CheckoutStepFailed
from core.domain.order.events import OrderConfirmed
from core.domain.stock.events import (
    ReservationCommitted,
    ReservationExpired,
    ReservationReleased,
    StockEvent,
    StockReserved,
)
from core.eventstore.registry import DomainEvent
from server.processes.command_sender import Cause


def reservation_key(sku: str, reservation_id: str) -> str:
    return f"{sku}\0{reservation_id}"


def reservation_of(key: str) -> tuple[str, str] | None:
    """The sku and the reservation's id; None for the key of an order."""
    sku, is_reservation, reservation_id = key.partition("\0")
    return (sku, reservation_id) if is_reservation else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """The deadline of one order or reservation. The events after position `after` are enough to restore it."""

    deadline: datetime | None
    retry_at: datetime | None
    cause: Cause
    after: int

    def first(self) -> datetime | None:
        return min((at for at in (self.deadline, self.retry_at) if at is not None), default=None)

    def remaining(self, now: datetime) -> "Deadline":
        """The deadline without the times that have passed."""
        left = (None if at is None or at <= now else at for at in (self.deadline, self.retry_at))
        return replace(self, deadline=next(left), retry_at=next(left))


class Deadlines:
    """The deadlines of all orders and reservations, by key: an order's id, or that of `reservation_key`."""

    def __init__(self) -> None:
        self._open: dict[str, Deadline] = {}
        self._queue: list[tuple[datetime, str]] = []
        self._waking: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def __getitem__(self, order_id: str) -> Deadline:
        return self._open[order_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._open)

    def apply(self, order_id: str, event: DomainEvent, cause: Cause, *, after: int) -> None:
        """Apply an event of an order or of its process; `after` is the position of the previously applied event."""
        known = self._open.get(order_id)
        match event:
            case CheckoutStarted():
                self._set(order_id, Deadline(deadline=event.deadline, retry_at=None, cause=cause, after=after))
            case CheckoutStepFailed():
                deadline = known.deadline if known else None
                since = known.after if known and deadline else after
                self._set(order_id, Deadline(deadline=deadline, retry_at=event.retry_at, cause=cause, after=since))
            case CheckoutEnded():
                self._open.pop(order_id, None)
            case OrderConfirmed() if known is not None:
                self._set(order_id, replace(known, deadline=None))  # it does not lapse any more
            case OrderConfirmed():
                return
            case _ if known is not None:
                self._set(order_id, replace(known, retry_at=None))

    def apply_reservation(self, key: str, event: StockEvent, cause: Cause, *, after: int) -> None:
        """Apply an event of a reservation; `after` as above."""
        match event:
            case StockReserved(expires_at=datetime() as expires_at):
                self._set(key, Deadline(deadline=expires_at, retry_at=None, cause=cause, after=after))
            case ReservationCommitted() | ReservationReleased() | ReservationExpired():
                self._open.pop(key, None)

    def postpone(self, key: str, due: Deadline, deadline: datetime) -> None:
        """Set another deadline, because the former one has not passed yet; nothing if there were events meanwhile."""
        known = self._open.get(key)
        if known is None or known.deadline is None:
            retry_at = known.retry_at if known else None
            self._set(key, Deadline(deadline=deadline, retry_at=retry_at, cause=due.cause, after=due.after))

    def pop_due(self, now: datetime) -> list[tuple[str, Deadline]]:
        """Entries whose time has passed. Each counts as open until `done` is called with it."""
        found = []
        while self._queue and self._queue[0][0] <= now:
            _, order_id = heapq.heappop(self._queue)
            due = self._open.get(order_id)
            first = due.first() if due is not None else None
            if due is not None and first is not None and first <= now:
                self._waking[due.after] += 1
                self._set(order_id, due.remaining(now))
                found.append((order_id, due))
        return found

    def done(self, due: Deadline) -> None:
        """The process has handled the passed deadline."""
        self._waking -= Counter([due.after])

    def next_at(self) -> datetime | None:
        return self._queue[0][0] if self._queue else None

    def resume_position(self, reached: int) -> int:
        """The position after which the log has all that is open, if it was read up to `reached`."""
        return min([*(due.after for due in self._open.values()), *self._waking, reached])

    def _set(self, order_id: str, due: Deadline) -> None:
        first = due.first()
        if first is None:
            self._open.pop(order_id, None)
            return
        self._open[order_id] = due
        heapq.heappush(self._queue, (first, order_id))
