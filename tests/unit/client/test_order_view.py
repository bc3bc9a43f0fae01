"""What `orderstream orders get` prints of an order."""

import pytest

from client.cli.order_view import show_order
from protos.common.v1.types_pb2 import Money
from protos.orders.v1 import types_pb2 as orders


def test_goods_beyond_the_order_are_shown_with_their_cost_and_their_return(capsys: pytest.CaptureFixture[str]) -> None:
    back = orders.ReturnedLine(line_id="tea", sku="tea", quantity=1, condition=orders.RETURN_CONDITION_RESALEABLE)
    order = orders.Order(
        order_id="o-1",
        status=orders.ORDER_STATUS_CANCELLED,
        fulfilment=orders.FULFILMENT_STATUS_DELIVERED,
        payment=orders.PAYMENT_STATUS_REFUNDED,
        return_status=orders.RETURN_STATUS_NONE,
        total=Money(amount_minor=700, currency="EUR"),
        returns=[orders.Return(return_id="r1", stage=orders.RETURN_STAGE_RECEIVED, excess=[back], reason="twice")],
        excess=[orders.Excess(line_id="tea", sku="tea", quantity=2, amount=Money(amount_minor=700, currency="EUR"))],
    )
    show_order(order)
    shown = capsys.readouterr().out
    assert "with the customer beyond the order, 2 of tea: 7.00 EUR" in shown
    assert "return r1: received, 1 of tea: twice" in shown
