"""What an order owes its customer is part of what is shown of its money."""

from typing import Any

import pytest

from core.readmodel.views.order_detail import order_detail
from server.queries.mapping import order
from tests.support.orders import (
    ORDER_ID,
    authorised,
    cancelled,
    captured,
    confirmed,
    created,
    delivered,
    dispatched,
    line_added,
    order_line,
    placed,
    quantity_cancelled,
    received_line,
    refund_failed,
    refund_requested,
    refunded,
    rejected,
    return_approved,
    return_requested,
    returned,
    shipment_created,
)
from tests.support.viewing import fold

PLACED = (created(), line_added("tea", 2, 500), placed(order_line("tea", 2, 500)))
PAID = (*PLACED, authorised(amount=1_000), captured(amount=1_000))
CONFIRMED = (*PLACED, confirmed(), authorised(amount=1_000), captured(amount=1_000))
DELIVERED = (*CONFIRMED, shipment_created(), dispatched(), delivered())
BACK = (
    *DELIVERED,
    return_requested("r1", ("tea", 1)),
    return_approved("r1"),
    returned("r1", received_line("tea", 1, 500)),
)
ASKED = refund_requested("r1", 500, return_id="r1")
ASKED_BEFORE_RETURN_IDS = refund_requested("r1", 500, return_id=None)


@pytest.mark.parametrize(
    ("history", "owed"),
    [
        (PAID, 0),
        (DELIVERED, 0),
        (BACK, 500),
        ((*BACK, ASKED), 0),
        ((*BACK, ASKED, refunded("r1", 500)), 0),
        ((*BACK, ASKED, refund_failed("r1", 500)), 500),
        ((*BACK, ASKED_BEFORE_RETURN_IDS, refunded("r1", 500)), 0),
        ((*BACK, refund_requested("r1", 500), refunded("r1", 500)), 500),  # for goodwill: it pays no return
        ((*CONFIRMED, quantity_cancelled("c1", "tea", 1, 500)), 500),
        ((*CONFIRMED, cancelled()), 1_000),
        ((*PAID, rejected()), 1_000),
    ],
)
def test_what_an_order_owes_is_shown(history: tuple[Any, ...], owed: int) -> None:
    shown = order({"_id": ORDER_ID, **fold(order_detail, history)[ORDER_ID]})
    assert (shown.payments.owed.amount_minor, shown.payments.owed.currency) == (owed, shown.currency)
