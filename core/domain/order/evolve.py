"""The change of an order by each event. Total: history is true, so nothing is checked here."""

from dataclasses import fields, replace
from typing import TypeVar, assert_never

from core.domain.money import Money
from core.domain.order import ledger
from core.domain.order.events import (
    AuthorisationLapsed,
    DeliveryRefused,
    DiscountApplied,
    DiscountRemoved,
    ExcessReturned,
    HoldReleased,
    LineAdded,
    LineQuantity,
    LineQuantityCancelled,
    LineQuantityChanged,
    LineRemoved,
    LineRepriced,
    NoteAdded,
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
    ReceivedLine,
    RefundFailed,
    RefundRequested,
    ReturnApproved,
    ReturnedLine,
    ReturnReceived,
    ReturnRejected,
    ReturnRequested,
    ShipmentCancelled,
    ShipmentCreated,
    ShipmentDelivered,
    ShipmentDispatched,
    ShipmentLost,
    ShipmentReturned,
    ShippingAddressChanged,
    ShippingMethod,
    ShippingMethodSet,
)
from core.domain.order.ledger import NO_MONEY, Ledger
from core.domain.order.pricing import Discount
from core.domain.order.state import (
    Cancellation,
    Cancelled,
    Completed,
    Confirmed,
    Draft,
    Expired,
    NoOrder,
    Note,
    Order,
    Placed,
    Rejected,
    Reopening,
    Return,
    ReturnStage,
    Shipment,
    ShipmentStage,
    Shipped,
    order_line,
    to_be_sent,
    with_price,
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
        case Draft(), LineRepriced():
            return replace(
                state,
                lines=tuple(with_price(x, event.unit_price) if x.line_id == event.line_id else x for x in state.lines),
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
            return _as(
                Placed,
                state,
                lines=event.lines,
                total=event.total,
                address=event.address,
                placed_at=event.at,
                expires_at=event.expires_at,
                payments=Ledger(authorisation_limit_minor=event.total.amount_minor),
            )
        case Placed(), OrderConfirmed():
            return _as(Confirmed, state)
        case Draft(), OrderCancelled():
            return _as(Cancelled, state, payments=NO_MONEY)
        case Placed() | Confirmed(), OrderCancelled():
            return _as(Cancelled, state)
        case Placed() | Confirmed() | Completed(), LineQuantityCancelled():
            cancellation = Cancellation(
                cancellation_id=event.cancellation_id, line_id=event.line_id, quantity=event.quantity
            )
            left = Money(
                amount_minor=state.total.amount_minor - event.amount.amount_minor, currency=state.total.currency
            )
            return replace(state, total=left, cancellations=(*state.cancellations, cancellation))
        case Placed() | Confirmed(), OrderHeld():
            return replace(state, held=True)
        case Placed() | Confirmed(), HoldReleased():
            return replace(state, held=False)
        case Confirmed() | Completed(), ShipmentCreated():
            shipment = Shipment(shipment_id=event.shipment_id, lines=event.lines)
            return replace(state, shipments=(*state.shipments, shipment))
        case Confirmed() | Completed(), ShipmentDispatched():
            return _with_shipment(
                state,
                event.shipment_id,
                stage=ShipmentStage.DISPATCHED,
                carrier=event.carrier,
                tracking_number=event.tracking_number,
            )
        case Confirmed() | Completed() | Cancelled(), ShipmentDelivered():
            return _with_outcome(state, event.shipment_id, stage=ShipmentStage.DELIVERED)
        case Confirmed() | Completed(), ShipmentCancelled():
            return _with_outcome(state, event.shipment_id, stage=ShipmentStage.CANCELLED)
        case Confirmed() | Completed() | Cancelled(), ShipmentLost():
            return _with_outcome(state, event.shipment_id, stage=ShipmentStage.LOST)
        case Confirmed() | Completed() | Cancelled(), DeliveryRefused():
            return _with_outcome(state, event.shipment_id, stage=ShipmentStage.REFUSED)
        case Confirmed() | Completed() | Cancelled(), ShipmentReturned():
            return _with_outcome(state, event.shipment_id, stage=ShipmentStage.RETURNED, returned=event.lines)
        case Confirmed(), OrderCompleted():
            return _as(Completed, state)
        case Placed(), OrderRejected():
            return _as(Rejected, state)
        case Placed(), OrderExpired():
            return _as(Expired, state)
        case Confirmed() | Completed() | Cancelled(), ReturnRequested():
            asked = Return(return_id=event.return_id, requested=event.lines)
            return replace(state, returns=(*state.returns, asked))
        case Confirmed() | Completed() | Cancelled(), ReturnApproved():
            return _with_return(state, event.return_id, stage=ReturnStage.APPROVED)
        case Confirmed() | Completed() | Cancelled(), ReturnRejected():
            return _with_return(state, event.return_id, stage=ReturnStage.REJECTED)
        case Confirmed() | Completed() | Cancelled(), ExcessReturned():
            return _with_return(state, event.return_id, excess=event.lines)
        case Confirmed() | Completed() | Cancelled(), ReturnReceived():
            return _with_return(state, event.return_id, stage=ReturnStage.RECEIVED, received=event.lines)
        case (
            Draft() | Placed() | Confirmed() | Completed() | Cancelled() | Rejected() | Expired(),
            NoteAdded(),
        ):
            return replace(state, notes=(*state.notes, Note(note_id=event.note_id, text=event.text)))
        case (
            Placed() | Confirmed() | Completed() | Cancelled() | Rejected() | Expired(),
            PaymentAuthorised()
            | PaymentFailed()
            | PaymentVoided()
            | AuthorisationLapsed()
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
            | LineRepriced()
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
            | LineQuantityCancelled()
            | ShipmentCancelled()
            | ShipmentLost()
            | DeliveryRefused()
            | ShipmentReturned()
            | ReturnRequested()
            | ReturnApproved()
            | ReturnRejected()
            | ReturnReceived()
            | ExcessReturned()
            | NoteAdded()
            | PaymentAuthorised()
            | PaymentFailed()
            | PaymentVoided()
            | AuthorisationLapsed()
            | PaymentCaptured()
            | RefundRequested()
            | PaymentRefunded()
            | RefundFailed()
        ):
            return state  # a step that decide never takes; history is true, so it changes nothing
        case _:
            assert_never(event)


S = TypeVar("S", Placed, Confirmed, Completed, Cancelled, Rejected, Expired)
A = TypeVar("A", bound=Shipped)


def _as(stage: type[S], before: Order, **changes: object) -> S:
    """The next stage of an order: it keeps what both stages have."""
    kept = {x.name: getattr(before, x.name) for x in fields(stage) if hasattr(before, x.name)}
    return stage(**kept | changes)


def _with_outcome(order: A, shipment_id: str, stage: ShipmentStage, **changes: tuple[ReturnedLine, ...]) -> A:
    """The outcome of a parcel, and whether units are to be sent again, or not any more."""
    after = _with_shipment(order, shipment_id, stage=stage, **changes)
    before, now = to_be_sent(order), to_be_sent(after)
    lines = tuple(
        LineQuantity(line_id=line_id, quantity=abs(units - before[line_id]))
        for line_id, units in now.items()
        if units != before[line_id]
    )
    if not lines:
        return after
    undone = sum(now.values()) < sum(before.values())
    reopening = Reopening(shipment_id=shipment_id, lines=lines, cancellations=len(order.cancellations), undone=undone)
    return replace(after, reopenings=(*after.reopenings, reopening))


def _with_shipment(order: A, shipment_id: str, **changes: str | ShipmentStage | tuple[ReturnedLine, ...]) -> A:
    return replace(
        order,
        shipments=tuple(replace(x, **changes) if x.shipment_id == shipment_id else x for x in order.shipments),  # type: ignore[arg-type]  # replace() is not typed by field
    )


def _with_return(
    order: A, return_id: str, **changes: ReturnStage | tuple[ReceivedLine, ...] | tuple[ReturnedLine, ...]
) -> A:
    return replace(
        order,
        returns=tuple(replace(x, **changes) if x.return_id == return_id else x for x in order.returns),  # type: ignore[arg-type]  # replace() is not typed by field
    )
