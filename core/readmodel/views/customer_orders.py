"""The orders of a customer in total, by user id."""

from typing import Any, NotRequired, TypedDict

from core.domain.order.events import (
    LineQuantityCancelled,
    OrderCancelled,
    OrderCreated,
    OrderExpired,
    OrderPlaced,
    OrderRejected,
    ReturnReceived,
)
from core.eventstore.recorded import Recorded
from core.readmodel.documents import entries
from core.readmodel.view import View


class CurrencySum(TypedDict):
    currency: str
    amount_minor: int


class CustomerOrders(TypedDict):
    created: int
    placed: int
    cancelled: int
    rejected: NotRequired[int]  # from the first on, like `expired`
    expired: NotRequired[int]
    returned: NotRequired[list[CurrencySum]]  # of returned goods, from the first on
    totals: list[CurrencySum]  # of orders placed and neither cancelled, rejected nor expired


def currency_sums(stored: Any) -> list[CurrencySum]:
    return entries(stored, "currency", "amount_minor")


customer_orders: View[CustomerOrders] = View(
    "customer_orders",
    key=lambda e: e.data.customer_id,
    categories=("order",),
    answers=("orders.v1.OrderQueryService/GetCustomerOrders",),
)

NOTHING_YET: CustomerOrders = {"created": 0, "placed": 0, "cancelled": 0, "totals": []}


@customer_orders.on(OrderCreated)
def created(doc: CustomerOrders | None, _: Recorded[OrderCreated]) -> CustomerOrders:
    before = doc or NOTHING_YET
    return {**before, "created": before["created"] + 1}


@customer_orders.on(OrderPlaced)
def placed(doc: CustomerOrders | None, e: Recorded[OrderPlaced]) -> CustomerOrders:
    before = doc or NOTHING_YET
    totals = plus(before["totals"], e.data.total.currency, e.data.total.amount_minor)
    return {**before, "placed": before["placed"] + 1, "totals": totals}


@customer_orders.on(OrderCancelled)
def cancelled(doc: CustomerOrders | None, e: Recorded[OrderCancelled]) -> CustomerOrders:
    before = doc or NOTHING_YET
    undone = 0 if e.data.placed_at is None else e.data.total.amount_minor
    totals = plus(before["totals"], e.data.total.currency, -undone) if undone else currency_sums(before["totals"])
    return {**before, "cancelled": before["cancelled"] + 1, "totals": totals}


@customer_orders.on(OrderRejected)
def rejected(doc: CustomerOrders | None, e: Recorded[OrderRejected]) -> CustomerOrders:
    before = doc or NOTHING_YET
    totals = plus(before["totals"], e.data.total.currency, -e.data.total.amount_minor)
    return {**before, "rejected": before.get("rejected", 0) + 1, "totals": totals}


@customer_orders.on(OrderExpired)
def expired(doc: CustomerOrders | None, e: Recorded[OrderExpired]) -> CustomerOrders:
    before = doc or NOTHING_YET
    totals = plus(before["totals"], e.data.total.currency, -e.data.total.amount_minor)
    return {**before, "expired": before.get("expired", 0) + 1, "totals": totals}


@customer_orders.on(LineQuantityCancelled)
def quantity_cancelled(doc: CustomerOrders | None, e: Recorded[LineQuantityCancelled]) -> CustomerOrders:
    before = doc or NOTHING_YET
    return {**before, "totals": plus(before["totals"], e.data.amount.currency, -e.data.amount.amount_minor)}


@customer_orders.on(ReturnReceived)
def returned(doc: CustomerOrders | None, e: Recorded[ReturnReceived]) -> CustomerOrders:
    before = doc or NOTHING_YET
    return {**before, "returned": plus(before.get("returned", []), e.data.amount.currency, e.data.amount.amount_minor)}


def plus(sums: list[CurrencySum], currency: str, amount: int) -> list[CurrencySum]:
    """By currency, so that the order of the events does not matter."""
    now = {x["currency"]: x["amount_minor"] for x in currency_sums(sums)}
    now[currency] = now.get(currency, 0) + amount
    return [{"currency": name, "amount_minor": now[name]} for name in sorted(now)]
