"""The state of a product's stock.

Ended reservations are kept for the last `REMEMBERED` ids only, so that a long-selling product stays small. Requests
are repeatable for ever by their request_id; this is for repeats under another one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import TypeVar, assert_never

from core.domain.stock.events import (
    ReservationCommitted,
    ReservationExpired,
    ReservationPartlyCommitted,
    ReservationPartlyReleased,
    ReservationReleased,
    StockAdjusted,
    StockEvent,
    StockReceived,
    StockReserved,
    StockRestocked,
)

REMEMBERED = 1_000

T = TypeVar("T")


class Ending(StrEnum):
    COMMITTED = "COMMITTED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, slots=True)
class Reservation:
    """`quantity` is what is promised still, after what has left (`committed`) or was let go (`released`)."""

    quantity: int
    expires_at: datetime | None
    committed: int = 0
    released: int = 0

    @property
    def initial_quantity(self) -> int:
        """The quantity of the reservation when it was made."""
        return self.quantity + self.committed + self.released


@dataclass(frozen=True, slots=True)
class Ended:
    how: Ending
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """`on_hand` includes what is reserved. `open` and `ended` are by reservation id, `returned` has units by
    return id. `known` once anything was received.
    """

    known: bool = False
    on_hand: int = 0
    reserved: int = 0
    open: Mapping[str, Reservation] = field(default_factory=dict)
    ended: Mapping[str, Ended] = field(default_factory=dict)
    returned: Mapping[str, int] = field(default_factory=dict)

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved


def evolve(state: Stock, event: StockEvent) -> Stock:
    match event:
        case StockReceived():
            return replace(state, known=True, on_hand=state.on_hand + event.quantity)
        case StockAdjusted():
            return replace(state, on_hand=state.on_hand + event.change)
        case StockReserved():
            reservation = Reservation(event.quantity, event.expires_at)
            return replace(
                state,
                reserved=state.reserved + event.quantity,
                open={**state.open, event.reservation_id: reservation},
            )
        case ReservationCommitted():
            taken = replace(state, on_hand=state.on_hand - event.quantity)
            return _ended(taken, event.reservation_id, Ending.COMMITTED, event.quantity)
        case ReservationPartlyCommitted():
            taken = replace(state, on_hand=state.on_hand - event.quantity)
            return _reduced(taken, event, committed=event.quantity)
        case ReservationPartlyReleased():
            return _reduced(state, event, released=event.quantity)
        case ReservationReleased():
            return _ended(state, event.reservation_id, Ending.RELEASED, event.quantity)
        case ReservationExpired():
            return _ended(state, event.reservation_id, Ending.EXPIRED, event.quantity)
        case StockRestocked():
            return replace(
                state,
                on_hand=state.on_hand + event.quantity,
                returned=_remembered(state.returned, event.return_id, event.quantity),
            )
        case _:
            assert_never(event)


def _reduced(
    state: Stock,
    event: ReservationPartlyCommitted | ReservationPartlyReleased,
    *,
    committed: int = 0,
    released: int = 0,
) -> Stock:
    before = state.open.get(event.reservation_id)
    if before is None:
        return state
    after = replace(
        before,
        quantity=before.quantity - event.quantity,
        committed=before.committed + committed,
        released=before.released + released,
    )
    return replace(state, reserved=state.reserved - event.quantity, open={**state.open, event.reservation_id: after})


def _ended(state: Stock, reservation_id: str, how: Ending, quantity: int) -> Stock:
    return replace(
        state,
        reserved=state.reserved - quantity,
        open={key: value for key, value in state.open.items() if key != reservation_id},
        ended=_remembered(state.ended, reservation_id, Ended(how, quantity)),
    )


def _remembered(before: Mapping[str, T], key: str, what: T) -> Mapping[str, T]:
    too_many = len(before) + 1 - REMEMBERED
    kept = dict(islice(before.items(), too_many, None)) if too_many > 0 else dict(before)
    kept[key] = what
    return kept
