"""The stock of each product, by sku."""

from typing import Any, TypedDict

from core.domain.stock.events import (
    ReservationCommitted,
    ReservationExpired,
    ReservationPartlyCommitted,
    ReservationPartlyReleased,
    ReservationReleased,
    StockAdjusted,
    StockReceived,
    StockReserved,
    StockRestocked,
)
from core.eventstore.recorded import Recorded
from core.readmodel.documents import to_micros
from core.readmodel.view import View


class StockLevel(TypedDict):
    on_hand: int
    reserved: int
    available: int
    open_reservations: int
    updated_at: int
    revision: int


stock_levels: View[StockLevel] = View(
    "stock_levels",
    key=lambda e: e.data.sku,
    categories=("stock",),
    answers=("products.v1.StockQueryService/GetStock", "products.v1.StockQueryService/ListStock"),
    indexes=((("available", 1), ("_id", 1)),),
    own_streams=True,
)


def moved(
    level: StockLevel | None, e: Recorded[Any], *, on_hand: int = 0, reserved: int = 0, reservations: int = 0
) -> StockLevel:
    """The level after so much more of each; less is negative."""
    now_on_hand = on_hand + (level["on_hand"] if level else 0)
    now_reserved = reserved + (level["reserved"] if level else 0)
    return {
        "on_hand": now_on_hand,
        "reserved": now_reserved,
        "available": now_on_hand - now_reserved,
        "open_reservations": reservations + (level["open_reservations"] if level else 0),
        "updated_at": to_micros(e.data.at),
        "revision": e.revision,
    }


@stock_levels.on(StockReceived)
def received(level: StockLevel | None, e: Recorded[StockReceived]) -> StockLevel:
    return moved(level, e, on_hand=e.data.quantity)


@stock_levels.on(StockAdjusted)
def adjusted(level: StockLevel | None, e: Recorded[StockAdjusted]) -> StockLevel:
    return moved(level, e, on_hand=e.data.change)


@stock_levels.on(StockRestocked)
def restocked(level: StockLevel | None, e: Recorded[StockRestocked]) -> StockLevel:
    return moved(level, e, on_hand=e.data.quantity)


@stock_levels.on(StockReserved)
def reserved(level: StockLevel | None, e: Recorded[StockReserved]) -> StockLevel:
    return moved(level, e, reserved=e.data.quantity, reservations=1)


@stock_levels.on(ReservationCommitted)
def committed(level: StockLevel | None, e: Recorded[ReservationCommitted]) -> StockLevel:
    return moved(level, e, on_hand=-e.data.quantity, reserved=-e.data.quantity, reservations=-1)


@stock_levels.on(ReservationPartlyCommitted)
def partly_committed(level: StockLevel | None, e: Recorded[ReservationPartlyCommitted]) -> StockLevel:
    return moved(level, e, on_hand=-e.data.quantity, reserved=-e.data.quantity)


@stock_levels.on(ReservationPartlyReleased)
def partly_released(level: StockLevel | None, e: Recorded[ReservationPartlyReleased]) -> StockLevel:
    return moved(level, e, reserved=-e.data.quantity)


@stock_levels.on(ReservationReleased)
def released(level: StockLevel | None, e: Recorded[ReservationReleased]) -> StockLevel:
    return moved(level, e, reserved=-e.data.quantity, reservations=-1 if e.data.quantity else 0)


@stock_levels.on(ReservationExpired)
def expired(level: StockLevel | None, e: Recorded[ReservationExpired]) -> StockLevel:
    return moved(level, e, reserved=-e.data.quantity, reservations=-1)
