"""How an order changes with each event. Total: history is true, so nothing is checked here."""

from dataclasses import replace
from typing import assert_never

from server.domain.order import ledger
from server.domain.order.events import (
    DiscountApplied,
    DiscountRemoved,
    HoldReleased,
    LineAdded,
    LineQuantityChanged,
    LineRemoved,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderCreated,
    OrderEvent,
    OrderExpired,
    OrderHeld,
    OrderPlaced,
    OrderRejected,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentFailed,
    PaymentRefunded,
    PaymentVoided,
    RefundFailed,
    RefundRequested,
    ShipmentCreated,
    ShipmentDelivered,
    ShipmentDispatched,
    ShippingAddressChanged,
    ShippingMethod,
    ShippingMethodSet,
)
from server.domain.order.ledger import NO_MONEY, Ledger
from server.domain.order.pricing import Discount
from server.domain.order.state import (
    Cancelled,
    Completed,
    Confirmed,
    Draft,
    Expired,
    NoOrder,
    Order,
    Placed,
    Refused,
    Shipment,
    ShipmentStage,
    order_line,
    with_quantity,
)


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
        case Draft(), ShippingMethodSet():
            return replace(state, shipping=ShippingMethod(method=event.method, price=event.price))
        case Draft(), DiscountApplied():
            discount = Discount(
                discount_id=event.discount_id,
                name=event.name,
                amount_minor=event.amount.amount_minor if event.amount else None,
                basis_points=event.basis_points,
            )
            return replace(state, discounts=(*state.discounts, discount))
        case Draft(), DiscountRemoved():
            others = tuple(x for x in state.discounts if x.discount_id != event.discount_id)
            return replace(state, discounts=others)
        case Draft(), OrderPlaced():
            return Placed(
                order_id=state.order_id,
                customer_id=state.customer_id,
                currency=state.currency,
                lines=event.lines,
                total=event.total,
                address=event.address,
                placed_at=event.at,
                expires_at=event.expires_at,
                payments=Ledger(most_minor=event.total.amount_minor),
            )
        case Placed(), OrderConfirmed():
            return Confirmed(
                order_id=state.order_id,
                customer_id=state.customer_id,
                currency=state.currency,
                lines=state.lines,
                total=state.total,
                address=state.address,
                placed_at=state.placed_at,
                payments=state.payments,
            )
        case Draft(), OrderCancelled():
            return Cancelled(order_id=state.order_id, currency=state.currency, payments=NO_MONEY)
        case Placed() | Confirmed(), OrderCancelled():
            return Cancelled(order_id=state.order_id, currency=state.currency, payments=state.payments)
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
        case Confirmed(), OrderCompleted():
            return Completed(
                order_id=state.order_id,
                customer_id=state.customer_id,
                currency=state.currency,
                lines=state.lines,
                total=state.total,
                shipments=state.shipments,
                payments=state.payments,
            )
        case Placed(), OrderRejected():
            return Refused(order_id=state.order_id, currency=state.currency, payments=state.payments)
        case Placed(), OrderExpired():
            return Expired(order_id=state.order_id, currency=state.currency, payments=state.payments)
        case (
            Placed() | Confirmed() | Completed() | Cancelled() | Refused() | Expired(),
            PaymentAuthorised()
            | PaymentFailed()
            | PaymentVoided()
            | PaymentCaptured()
            | RefundRequested()
            | PaymentRefunded()
            | RefundFailed(),
        ):
            return replace(state, payments=ledger.evolve(state.payments, event))
        case _, (
            OrderCreated()
            | LineAdded()
            | LineQuantityChanged()
            | LineRemoved()
            | ShippingAddressChanged()
            | ShippingMethodSet()
            | DiscountApplied()
            | DiscountRemoved()
            | OrderPlaced()
            | OrderConfirmed()
            | OrderCancelled()
            | OrderHeld()
            | HoldReleased()
            | ShipmentCreated()
            | ShipmentDispatched()
            | ShipmentDelivered()
            | OrderRejected()
            | OrderExpired()
            | OrderCompleted()
            | PaymentAuthorised()
            | PaymentFailed()
            | PaymentVoided()
            | PaymentCaptured()
            | RefundRequested()
            | PaymentRefunded()
            | RefundFailed()
        ):
            return state  # a step that decide never takes; history is true, so it changes nothing
        case _:
            assert_never(event)


def _with_shipment(order: Confirmed, shipment_id: str, **changes: str | ShipmentStage) -> Confirmed:
    return replace(
        order,
        shipments=tuple(replace(x, **changes) if x.shipment_id == shipment_id else x for x in order.shipments),  # type: ignore[arg-type]  # replace() is not typed by field
    )
