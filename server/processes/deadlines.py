"""What orders and reservations wait for: their deadlines, and the next attempts at what has failed. Bookkeeping only,
no clock, no I/O.

It knows from where on the log has to be read to come to the same again: nothing before that is open any more.
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
    """One order, or one reservation. All that is read behind position `after` tells of it again."""

    deadline: datetime | None
    retry_at: datetime | None
    cause: Cause
    after: int

    def first(self) -> datetime | None:
        return min((at for at in (self.deadline, self.retry_at) if at is not None), default=None)

    def remaining(self, now: datetime) -> "Deadline":
        """Without what has come."""
        left = (None if at is None or at <= now else at for at in (self.deadline, self.retry_at))
        return replace(self, deadline=next(left), retry_at=next(left))


class Deadlines:
    """Of all orders and reservations, by key: an order's id, or that of `reservation_key`."""

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
        """An event of an order or of its process; `after` is the position of the event that was taken before."""
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
        """An event of a reservation; `after` as above."""
        match event:
            case StockReserved(expires_at=datetime() as expires_at):
                self._set(key, Deadline(deadline=expires_at, retry_at=None, cause=cause, after=after))
            case ReservationCommitted() | ReservationReleased() | ReservationExpired():
                self._open.pop(key, None)

    def postpone(self, key: str, due: Deadline, deadline: datetime) -> None:
        """Its deadline has not come after all, but does then; nothing if there is news of it meanwhile."""
        known = self._open.get(key)
        if known is None or known.deadline is None:
            retry_at = known.retry_at if known else None
            self._set(key, Deadline(deadline=deadline, retry_at=retry_at, cause=due.cause, after=due.after))

    def pop_due(self, now: datetime) -> list[tuple[str, Deadline]]:
        """Whose time has come. Each counts as open until `done` is told of it."""
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
        """The process has looked at what had come."""
        self._waking -= Counter([due.after])

    def next_at(self) -> datetime | None:
        return self._queue[0][0] if self._queue else None

    def resume_position(self, reached: int) -> int:
        """The position behind which the log tells all that is open, for one that has been read up to `reached`."""
        return min([*(due.after for due in self._open.values()), *self._waking, reached])

    def _set(self, order_id: str, due: Deadline) -> None:
        first = due.first()
        if first is None:
            self._open.pop(order_id, None)
            return
        self._open[order_id] = due
        heapq.heappush(self._queue, (first, order_id))
