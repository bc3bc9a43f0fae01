"""Whatever has happened to an order, its views say what the domain knows, and agree with each other."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings

from core.domain.order import ORDER, owed
from core.domain.order.events import OrderEvent, ReturnReceived
from core.domain.order.state import (
    Cancelled,
    Completed,
    Confirmed,
    Draft,
    Expired,
    NoOrder,
    Order,
    Placed,
    Rejected,
    Shipped,
    draft_total,
    remaining_units,
)
from core.readmodel.views.customer_orders import customer_orders
from core.readmodel.views.order_detail import order_detail
from core.readmodel.views.order_list import order_list
from core.readmodel.views.sales_daily import sales_daily
from protos.orders.v1.types_pb2 import OrderStatus
from server.queries.mapping import order, order_summary
from tests.support.orders import ORDER_ID
from tests.support.sequences import lived, sequences
from tests.support.viewing import fold

Known = Placed | Confirmed | Completed


def owed_by(state: Order) -> int:
    match state:
        case Confirmed() | Completed():
            return owed.in_all(state)
        case Cancelled() | Rejected() | Expired():
            return owed.refundable(state.payments)
    return 0


def shown(history: Sequence[OrderEvent]) -> tuple[Any, Any]:
    detail = order({"_id": ORDER_ID, **fold(order_detail, history)[ORDER_ID]})
    return detail, order_summary({"_id": ORDER_ID, **fold(order_list, history)[ORDER_ID]})


@given(sequences())
@settings(max_examples=100)
def test_list_and_detail_agree(sequence: list[Any]) -> None:
    detail, row = shown(lived(sequence))
    for field in ("status", "fulfilment", "payment", "return_status", "total", "customer_id", "placed_at"):
        assert getattr(detail, field) == getattr(row, field), field
    assert row.line_count == len(detail.lines)


@given(sequences())
@settings(max_examples=100)
def test_what_is_shown_is_what_the_domain_knows(sequence: list[Any]) -> None:
    history = lived(sequence)
    state = ORDER.fold(history)
    detail, _ = shown(history)
    assert OrderStatus.Name(detail.status) == f"ORDER_STATUS_{state.status}"
    if isinstance(state, Draft):
        assert detail.total.amount_minor == draft_total(state).amount_minor
    if isinstance(state, Known):
        assert detail.total.amount_minor == state.total.amount_minor
        assert [line.discount.amount_minor for line in detail.lines] == [x.discount.amount_minor for x in state.lines]
    if not isinstance(state, Draft | NoOrder) and detail.HasField("payments"):
        money = state.payments
        reported = detail.payments
        assert (reported.authorised.amount_minor, reported.captured.amount_minor, reported.refunded.amount_minor) == (
            money.authorised,
            money.captured,
            money.refunded,
        )
        assert reported.owed.amount_minor == owed_by(state)
    beyond = owed.excess_goods(state) if isinstance(state, Shipped) else []
    assert [(x.line_id, x.sku, x.quantity, x.amount.amount_minor) for x in detail.excess] == [
        (x.line_id, x.sku, x.quantity, x.amount_minor) for x in beyond
    ]


@given(sequences())
@settings(max_examples=100)
def test_counters_hold_what_stands_and_nothing_of_what_came_to_nothing(sequence: list[Any]) -> None:
    history = lived(sequence)
    state = ORDER.fold(history)
    stands = state.total.amount_minor if isinstance(state, Known) else 0
    [customer] = fold(customer_orders, history).values()
    assert sum(x["amount_minor"] for x in customer["totals"]) == stands
    back = [x for e in history if isinstance(e, ReturnReceived) for x in e.lines]
    assert sum(x["amount_minor"] for x in customer.get("returned", [])) == sum(x.amount.amount_minor for x in back)
    for day in fold(sales_daily, history).values():
        gone = sum(day.get(name, 0) for name in ("cancelled_minor", "rejected_minor", "expired_minor"))
        assert day["placed_minor"] - gone == stands
        assert day.get("returned_units", 0) == sum(x.quantity for x in back)
        assert day["units"] == (remaining_units(state) if isinstance(state, Known) else 0)
