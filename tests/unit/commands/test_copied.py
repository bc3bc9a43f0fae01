"""A command that has the fields of its request is copied from it, and one that has others is refused at import."""

from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from core.domain.money import Money
from core.domain.order.commands import ApplyDiscount, CreateShipment
from core.domain.order.events import LineQuantity
from protos.common.v1 import types_pb2 as common
from protos.orders.v1 import commands_pb2 as pb
from protos.orders.v1 import types_pb2 as types
from server.commands.copied import copied

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
CALL = SimpleNamespace(at=NOON)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelLess:
    """A `CancelOrder` without the reason."""

    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelMore:
    order_id: str
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOtherwise:
    order_id: str
    reason: bytes
    at: datetime


async def test_fields_are_converted_by_their_types() -> None:
    lines = [types.LineQuantity(line_id="a", quantity=2)]
    request = pb.CreateShipmentRequest(order_id="", shipment_id="s", lines=lines, request_id="r")
    command = await copied(CreateShipment, pb.CreateShipmentRequest, "order_id")(request, "o", None, CALL)
    expected = (LineQuantity(line_id="a", quantity=2),)
    assert command == CreateShipment(order_id="o", shipment_id="s", lines=expected, at=NOON)


@pytest.mark.parametrize(
    ("sent", "amount"),
    [({"amount": common.Money(amount_minor=5, currency="EUR")}, Money(amount_minor=5, currency="EUR")), ({}, None)],
)
async def test_an_optional_field_that_was_not_sent_is_none(sent: dict[str, Any], amount: Money | None) -> None:
    request = pb.ApplyDiscountRequest(discount_id="d", name="n", **sent)
    command: Any = await copied(ApplyDiscount, pb.ApplyDiscountRequest, "order_id")(request, "o", None, CALL)
    assert command.amount == amount


@pytest.mark.parametrize(("command", "named"), [(CancelLess, "reason"), (CancelMore, "by"), (CancelOtherwise, "bytes")])
def test_a_command_that_cannot_be_copied_is_refused(command: type[Any], named: str) -> None:
    with pytest.raises(TypeError, match=named):
        copied(command, pb.CancelOrderRequest, "order_id")
