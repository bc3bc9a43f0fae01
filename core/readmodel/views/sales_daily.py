"""Sales, and which of them were cancelled, rejected or expired, by the day of placing (UTC) and currency.

A counter: nothing may be applied twice.
"""

from datetime import datetime
from typing import NotRequired, TypedDict

from core.domain.order.events import (
    LineQuantityCancelled,
    OrderCancelled,
    OrderExpired,
    OrderPlaced,
    OrderRejected,
    ReturnReceived,
)
from core.eventstore.recorded import Recorded
from core.readmodel.view import View


class SalesDay(TypedDict):
    day: str
    currency: str
    orders_placed: int
    orders_cancelled: int
    units: int
    placed_minor: int
    cancelled_minor: int
    orders_rejected: NotRequired[int]  # from the first on, like those that follow
    rejected_minor: NotRequired[int]
    orders_expired: NotRequired[int]
    expired_minor: NotRequired[int]
    returned_units: NotRequired[int]
    returned_minor: NotRequired[int]


def key(day: datetime | None, currency: str) -> str | None:
    """None for an order that was never placed: it is in no day's sales."""
    return None if day is None else f"{day:%Y-%m-%d}:{currency}"


sales_daily: View[SalesDay] = View(
    "sales_daily",
    key=lambda e: key(e.data.at, e.data.total.currency),
    categories=("order",),
    answers=("orders.v1.OrderQueryService/GetSalesDaily",),
)


def empty(day: datetime, currency: str) -> SalesDay:
    return {
        "day": f"{day:%Y-%m-%d}",
        "currency": currency,
        "orders_placed": 0,
        "orders_cancelled": 0,
        "units": 0,
        "placed_minor": 0,
        "cancelled_minor": 0,
    }


@sales_daily.on(OrderPlaced)
def placed(doc: SalesDay | None, e: Recorded[OrderPlaced]) -> SalesDay:
    day = doc or empty(e.data.at, e.data.total.currency)
    return {
        **day,
        "orders_placed": day["orders_placed"] + 1,
        "units": day["units"] + sum(line.quantity for line in e.data.lines),
        "placed_minor": day["placed_minor"] + e.data.total.amount_minor,
    }


@sales_daily.on(OrderCancelled, key=lambda e: key(e.data.placed_at, e.data.total.currency))
def cancelled(doc: SalesDay | None, e: Recorded[OrderCancelled]) -> SalesDay:
    assert doc is not None, f"{e.stream} was cancelled before any order of its day was placed"
    return {
        **doc,
        "orders_cancelled": doc["orders_cancelled"] + 1,
        "units": doc["units"] - e.data.units,
        "cancelled_minor": doc["cancelled_minor"] + e.data.total.amount_minor,
    }


@sales_daily.on(LineQuantityCancelled, key=lambda e: key(e.data.placed_at, e.data.amount.currency))
def quantity_cancelled(doc: SalesDay | None, e: Recorded[LineQuantityCancelled]) -> SalesDay:
    assert doc is not None, f"a part of {e.stream} was cancelled before any order of its day was placed"
    return {
        **doc,
        "units": doc["units"] - e.data.quantity,
        "cancelled_minor": doc["cancelled_minor"] + e.data.amount.amount_minor,
    }


@sales_daily.on(ReturnReceived, key=lambda e: key(e.data.placed_at, e.data.amount.currency))
def returned(doc: SalesDay | None, e: Recorded[ReturnReceived]) -> SalesDay:
    assert doc is not None, f"something of {e.stream} came back before any order of its day was placed"
    return {
        **doc,
        "returned_units": doc.get("returned_units", 0) + sum(line.quantity for line in e.data.lines),
        "returned_minor": doc.get("returned_minor", 0) + e.data.amount.amount_minor,
    }


@sales_daily.on(OrderRejected, key=lambda e: key(e.data.placed_at, e.data.total.currency))
def rejected(doc: SalesDay | None, e: Recorded[OrderRejected]) -> SalesDay:
    assert doc is not None, f"{e.stream} was rejected before any order of its day was placed"
    return {
        **doc,
        "orders_rejected": doc.get("orders_rejected", 0) + 1,
        "units": doc["units"] - e.data.units,
        "rejected_minor": doc.get("rejected_minor", 0) + e.data.total.amount_minor,
    }


@sales_daily.on(OrderExpired, key=lambda e: key(e.data.placed_at, e.data.total.currency))
def expired(doc: SalesDay | None, e: Recorded[OrderExpired]) -> SalesDay:
    assert doc is not None, f"{e.stream} expired before any order of its day was placed"
    return {
        **doc,
        "orders_expired": doc.get("orders_expired", 0) + 1,
        "units": doc["units"] - e.data.units,
        "expired_minor": doc.get("expired_minor", 0) + e.data.total.amount_minor,
    }
