"""What an order is, one type per stage of its life: a field that has no meaning in a stage does not exist there."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from server.domain.address import Address
from server.domain.money import Money, total_of
from server.domain.order.events import LineQuantity, OrderLine, ShippingMethod
from server.domain.order.ledger import Ledger
from server.domain.order.pricing import Discount, amounts_off


class ShipmentStage(StrEnum):
    CREATED = "CREATED"
    DISPATCHED = "DISPATCHED"
    DELIVERED = "DELIVERED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    shipment_id: str
    lines: tuple[LineQuantity, ...]
    stage: ShipmentStage = ShipmentStage.CREATED
    carrier: str = ""
    tracking_number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoOrder:
    """Before the first event."""

    status: ClassVar[str] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    status: ClassVar[str] = "DRAFT"

    order_id: str
    customer_id: str
    currency: str
    lines: tuple[OrderLine, ...] = ()
    address: Address | None = None
    discounts: tuple[Discount, ...] = ()
    shipping: ShippingMethod | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    status: ClassVar[str] = "PLACED"

    order_id: str
    customer_id: str
    currency: str
    lines: tuple[OrderLine, ...]
    total: Money
    address: Address
    placed_at: datetime
    expires_at: datetime
    payments: Ledger
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    status: ClassVar[str] = "CONFIRMED"

    order_id: str
    customer_id: str
    currency: str
    lines: tuple[OrderLine, ...]
    total: Money
    address: Address
    placed_at: datetime
    payments: Ledger
    held: bool = False
    shipments: tuple[Shipment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """Everything has arrived and is paid. Money may still go back."""

    status: ClassVar[str] = "COMPLETED"

    order_id: str
    customer_id: str
    currency: str
    lines: tuple[OrderLine, ...]
    total: Money
    shipments: tuple[Shipment, ...]
    payments: Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    status: ClassVar[str] = "CANCELLED"

    order_id: str
    currency: str
    payments: Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The shop did not accept it."""

    status: ClassVar[str] = "REJECTED"

    order_id: str
    currency: str
    payments: Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """It was not confirmed in time."""

    status: ClassVar[str] = "EXPIRED"

    order_id: str
    currency: str
    payments: Ledger


Order = NoOrder | Draft | Placed | Confirmed | Completed | Cancelled | Refused | Expired


def order_line(*, line_id: str, sku: str, name: str, quantity: int, unit_price: Money) -> OrderLine:
    return OrderLine(
        line_id=line_id,
        sku=sku,
        name=name,
        quantity=quantity,
        unit_price=unit_price,
        line_total=unit_price.times(quantity),
        discount=unit_price.times(0),  # shared out when the order is placed
    )


def with_quantity(line: OrderLine, quantity: int) -> OrderLine:
    return replace(line, quantity=quantity, line_total=line.unit_price.times(quantity))


def goods_total(lines: tuple[OrderLine, ...], currency: str) -> Money:
    return total_of((line.line_total for line in lines), currency)


def draft_total(draft: Draft) -> Money:
    """What it would cost if it were placed now."""
    goods = goods_total(draft.lines, draft.currency).amount_minor
    shipping = draft.shipping.price.amount_minor if draft.shipping else 0
    return Money(
        amount_minor=goods - sum(amounts_off(goods, draft.discounts)) + shipping,
        currency=draft.currency,
    )


def units(lines: tuple[OrderLine, ...]) -> int:
    return sum(line.quantity for line in lines)


def open_quantities(order: Confirmed | Completed) -> dict[str, int]:
    """line_id → units that are in no shipment yet."""
    left = {line.line_id: line.quantity for line in order.lines}
    for shipment in order.shipments:
        for part in shipment.lines:
            left[part.line_id] -= part.quantity
    return left


def undelivered_units(order: Confirmed | Completed) -> int:
    delivered = (x for x in order.shipments if x.stage == ShipmentStage.DELIVERED)
    return units(order.lines) - sum(part.quantity for shipment in delivered for part in shipment.lines)
