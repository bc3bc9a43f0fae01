"""What an order is, one type per stage of its life: a field that has no meaning in a stage does not exist there."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from server.domain.address import Address
from server.domain.money import Money, total_of
from server.domain.order.events import (
    HoldReleased,
    LineAdded,
    LineQuantity,
    LineQuantityChanged,
    LineRemoved,
    OrderCancelled,
    OrderConfirmed,
    OrderCreated,
    OrderEvent,
    OrderHeld,
    OrderLine,
    OrderPlaced,
    ShipmentCreated,
    ShipmentDelivered,
    ShipmentDispatched,
    ShippingAddressChanged,
)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    order_id: str
    customer_id: str
    currency: str
    lines: tuple[OrderLine, ...] = ()
    address: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    order_id: str
    customer_id: str
    currency: str
    lines: tuple[OrderLine, ...]
    address: Address
    placed_at: datetime
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    order_id: str
    customer_id: str
    currency: str
    lines: tuple[OrderLine, ...]
    address: Address
    placed_at: datetime
    held: bool = False
    shipments: tuple[Shipment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    order_id: str


Order = NoOrder | Draft | Placed | Confirmed | Cancelled


def order_line(*, line_id: str, sku: str, name: str, quantity: int, unit_price: Money) -> OrderLine:
    return OrderLine(
        line_id=line_id,
        sku=sku,
        name=name,
        quantity=quantity,
        unit_price=unit_price,
        line_total=unit_price.times(quantity),
    )


def with_quantity(line: OrderLine, quantity: int) -> OrderLine:
    return replace(line, quantity=quantity, line_total=line.unit_price.times(quantity))


def order_total(lines: tuple[OrderLine, ...], currency: str) -> Money:
    return total_of((line.line_total for line in lines), currency)


def units(lines: tuple[OrderLine, ...]) -> int:
    return sum(line.quantity for line in lines)


def open_quantities(order: Confirmed) -> dict[str, int]:
    """line_id → units that are in no shipment yet."""
    left = {line.line_id: line.quantity for line in order.lines}
    for shipment in order.shipments:
        for part in shipment.lines:
            left[part.line_id] -= part.quantity
    return left


def evolve(state: Order, event: OrderEvent) -> Order:  # noqa: C901, PLR0912  # one arm per event type
    match state, event:
        case NoOrder(), OrderCreated():
            return Draft(order_id=event.order_id, customer_id=event.customer_id, currency=event.currency)
        case Draft(), LineAdded():
            line = order_line(
                line_id=event.line_id,
                sku=event.sku,
                name=event.name,
                quantity=event.quantity,
                unit_price=event.unit_price,
            )
            return replace(state, lines=(*state.lines, line))
        case Draft(), LineQuantityChanged():
            return replace(
                state,
                lines=tuple(with_quantity(x, event.quantity) if x.line_id == event.line_id else x for x in state.lines),
            )
        case Draft(), LineRemoved():
            return replace(state, lines=tuple(x for x in state.lines if x.line_id != event.line_id))
        case Draft() | Placed() | Confirmed(), ShippingAddressChanged():
            return replace(state, address=event.address)
        case Draft(), OrderPlaced():
            return Placed(
                order_id=state.order_id,
                customer_id=state.customer_id,
                currency=state.currency,
                lines=event.lines,
                address=event.address,
                placed_at=event.at,
            )
        case Placed(), OrderConfirmed():
            return Confirmed(
                order_id=state.order_id,
                customer_id=state.customer_id,
                currency=state.currency,
                lines=state.lines,
                address=state.address,
                placed_at=state.placed_at,
            )
        case Draft() | Placed() | Confirmed(), OrderCancelled():
            return Cancelled(order_id=state.order_id)
        case Placed() | Confirmed(), OrderHeld():
            return replace(state, held=True)
        case Placed() | Confirmed(), HoldReleased():
            return replace(state, held=False)
        case Confirmed(), ShipmentCreated():
            shipment = Shipment(shipment_id=event.shipment_id, lines=event.lines)
            return replace(state, shipments=(*state.shipments, shipment))
        case Confirmed(), ShipmentDispatched():
            return _with_shipment(
                state,
                event.shipment_id,
                stage=ShipmentStage.DISPATCHED,
                carrier=event.carrier,
                tracking_number=event.tracking_number,
            )
        case Confirmed(), ShipmentDelivered():
            return _with_shipment(state, event.shipment_id, stage=ShipmentStage.DELIVERED)
        case _, (
            OrderCreated()
            | LineAdded()
            | LineQuantityChanged()
            | LineRemoved()
            | ShippingAddressChanged()
            | OrderPlaced()
            | OrderConfirmed()
            | OrderCancelled()
            | OrderHeld()
            | HoldReleased()
            | ShipmentCreated()
            | ShipmentDispatched()
            | ShipmentDelivered()
        ):
            return state  # a step that decide never takes; history is true, so it changes nothing
        case _:
            assert_never(event)


def _with_shipment(order: Confirmed, shipment_id: str, **changes: str | ShipmentStage) -> Confirmed:
    return replace(
        order,
        shipments=tuple(replace(x, **changes) if x.shipment_id == shipment_id else x for x in order.shipments),  # type: ignore[arg-type]  # replace() is not typed by field
    )
