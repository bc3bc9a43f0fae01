"""One row per order, by order id; found by customer, status and time."""

from typing import Any

from core.domain.order.events import (
    AuthorisationLapsed,
    DeliveryRefused,
    DiscountApplied,
    DiscountRemoved,
    LineAdded,
    LineQuantityCancelled,
    LineQuantityChanged,
    LineRemoved,
    LineRepriced,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderCreated,
    OrderExpired,
    OrderPlaced,
    OrderRejected,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentFailed,
    PaymentRefunded,
    PaymentVoided,
    ReturnApproved,
    ReturnReceived,
    ReturnRejected,
    ReturnRequested,
    ShipmentCancelled,
    ShipmentCreated,
    ShipmentDelivered,
    ShipmentDispatched,
    ShipmentLost,
    ShipmentReturned,
    ShippingMethodSet,
)
from core.eventstore.recorded import Recorded
from core.readmodel.documents import (
    OrderRow,
    PaymentSums,
    RowLine,
    RowParcel,
    RowReturn,
    discount_row,
    fixed_discounts,
    row_returns,
    to_micros,
)
from projections.view import View

order_list: View[OrderRow] = View("order_list", key=lambda e: e.data.order_id, categories=("order",), own_streams=True)


def changed(row: OrderRow | None, e: Recorded[Any], **fields: Any) -> OrderRow:
    assert row is not None, f"{e.stream} has no OrderCreated before revision {e.revision}"
    return {**row, **fields}  # type: ignore[typeddict-item]


@order_list.on(OrderCreated)
def created(_: OrderRow | None, e: Recorded[OrderCreated]) -> OrderRow:
    return {
        "customer_id": e.data.customer_id,
        "status": "DRAFT",
        "currency": e.data.currency,
        "lines": [],
        "parcels": [],
        "created_at": to_micros(e.data.at),
        "placed_at": None,
    }


@order_list.on(LineAdded)
def line_added(row: OrderRow | None, e: Recorded[LineAdded]) -> OrderRow:
    line: RowLine = {
        "line_id": e.data.line_id,
        "quantity": e.data.quantity,
        "price_minor": e.data.unit_price.amount_minor,
    }
    return changed(row, e, lines=[*lines(row), line])


@order_list.on(LineQuantityChanged)
def quantity_changed(row: OrderRow | None, e: Recorded[LineQuantityChanged]) -> OrderRow:
    new = [{**x, "quantity": e.data.quantity} if x["line_id"] == e.data.line_id else x for x in lines(row)]
    return changed(row, e, lines=new)


@order_list.on(LineRepriced)
def repriced(row: OrderRow | None, e: Recorded[LineRepriced]) -> OrderRow:
    price = e.data.unit_price.amount_minor
    new = [{**x, "price_minor": price} if x["line_id"] == e.data.line_id else x for x in lines(row)]
    return changed(row, e, lines=new)


@order_list.on(LineRemoved)
def line_removed(row: OrderRow | None, e: Recorded[LineRemoved]) -> OrderRow:
    return changed(row, e, lines=[x for x in lines(row) if x["line_id"] != e.data.line_id])


@order_list.on(ShippingMethodSet)
def shipping_set(row: OrderRow | None, e: Recorded[ShippingMethodSet]) -> OrderRow:
    return changed(row, e, shipping_minor=e.data.price.amount_minor)


@order_list.on(DiscountApplied)
def discounted(row: OrderRow | None, e: Recorded[DiscountApplied]) -> OrderRow:
    before = row.get("discounts", []) if row else []
    return changed(row, e, discounts=[*before, discount_row(e.data)])


@order_list.on(DiscountRemoved)
def discount_removed(row: OrderRow | None, e: Recorded[DiscountRemoved]) -> OrderRow:
    before = row.get("discounts", []) if row else []
    return changed(row, e, discounts=[x for x in before if x["discount_id"] != e.data.discount_id])


@order_list.on(OrderPlaced)
def placed(row: OrderRow | None, e: Recorded[OrderPlaced]) -> OrderRow:
    fixed = {"discounts": fixed_discounts(e.data)} if e.data.discounts else {}
    return changed(row, e, status="PLACED", placed_at=to_micros(e.data.at), **fixed)


@order_list.on(OrderConfirmed)
def confirmed(row: OrderRow | None, e: Recorded[OrderConfirmed]) -> OrderRow:
    return changed(row, e, status="CONFIRMED")


@order_list.on(OrderCancelled)
def cancelled(row: OrderRow | None, e: Recorded[OrderCancelled]) -> OrderRow:
    return changed(row, e, status="CANCELLED")


@order_list.on(OrderRejected)
def rejected(row: OrderRow | None, e: Recorded[OrderRejected]) -> OrderRow:
    return changed(row, e, status="REJECTED")


@order_list.on(OrderExpired)
def expired(row: OrderRow | None, e: Recorded[OrderExpired]) -> OrderRow:
    return changed(row, e, status="EXPIRED")


@order_list.on(OrderCompleted)
def completed(row: OrderRow | None, e: Recorded[OrderCompleted]) -> OrderRow:
    return changed(row, e, status="COMPLETED")


@order_list.on(PaymentAuthorised)
def authorised(row: OrderRow | None, e: Recorded[PaymentAuthorised]) -> OrderRow:
    return changed(row, e, payments=plus(row, authorised_minor=e.data.amount.amount_minor))


@order_list.on(PaymentFailed)
def payment_failed(row: OrderRow | None, e: Recorded[PaymentFailed]) -> OrderRow:
    return changed(row, e, payments=plus(row, failed=1))


@order_list.on(PaymentVoided)
def voided(row: OrderRow | None, e: Recorded[PaymentVoided]) -> OrderRow:
    return changed(row, e, payments=plus(row, authorised_minor=-e.data.amount.amount_minor, voided=1))


@order_list.on(AuthorisationLapsed)
def lapsed(row: OrderRow | None, e: Recorded[AuthorisationLapsed]) -> OrderRow:
    return changed(row, e, payments=plus(row, authorised_minor=-e.data.amount.amount_minor, lapsed=1))


@order_list.on(PaymentCaptured)
def captured(row: OrderRow | None, e: Recorded[PaymentCaptured]) -> OrderRow:
    return changed(row, e, payments=plus(row, captured_minor=e.data.amount.amount_minor))


@order_list.on(PaymentRefunded)
def refunded(row: OrderRow | None, e: Recorded[PaymentRefunded]) -> OrderRow:
    return changed(row, e, payments=plus(row, refunded_minor=e.data.amount.amount_minor))


@order_list.on(ShipmentCreated)
def shipment_created(row: OrderRow | None, e: Recorded[ShipmentCreated]) -> OrderRow:
    units = sum(x.quantity for x in e.data.lines)
    parcel: RowParcel = {"shipment_id": e.data.shipment_id, "units": units, "status": "CREATED"}
    return changed(row, e, parcels=[*parcels(row), parcel])


@order_list.on(ShipmentDispatched)
def dispatched(row: OrderRow | None, e: Recorded[ShipmentDispatched]) -> OrderRow:
    return changed(row, e, parcels=with_status(row, e.data.shipment_id, "DISPATCHED"))


@order_list.on(ShipmentDelivered)
def delivered(row: OrderRow | None, e: Recorded[ShipmentDelivered]) -> OrderRow:
    return changed(row, e, parcels=with_status(row, e.data.shipment_id, "DELIVERED"))


@order_list.on(ShipmentCancelled)
def unpacked(row: OrderRow | None, e: Recorded[ShipmentCancelled]) -> OrderRow:
    return changed(row, e, parcels=with_status(row, e.data.shipment_id, "CANCELLED"))


@order_list.on(ShipmentLost)
def lost(row: OrderRow | None, e: Recorded[ShipmentLost]) -> OrderRow:
    return changed(row, e, parcels=with_status(row, e.data.shipment_id, "LOST"))


@order_list.on(DeliveryRefused)
def refused(row: OrderRow | None, e: Recorded[DeliveryRefused]) -> OrderRow:
    return changed(row, e, parcels=with_status(row, e.data.shipment_id, "REFUSED"))


@order_list.on(ShipmentReturned)
def shipment_returned(row: OrderRow | None, e: Recorded[ShipmentReturned]) -> OrderRow:
    return changed(row, e, parcels=with_status(row, e.data.shipment_id, "RETURNED"))


@order_list.on(LineQuantityCancelled)
def quantity_cancelled(row: OrderRow | None, e: Recorded[LineQuantityCancelled]) -> OrderRow:
    minor, units = (row.get("cancelled_minor", 0), row.get("cancelled_units", 0)) if row else (0, 0)
    return changed(row, e, cancelled_minor=minor + e.data.amount.amount_minor, cancelled_units=units + e.data.quantity)


@order_list.on(ReturnRequested)
def return_requested(row: OrderRow | None, e: Recorded[ReturnRequested]) -> OrderRow:
    return changed(row, e, returns=with_stage(row, e.data.return_id, "REQUESTED"))


@order_list.on(ReturnApproved)
def return_approved(row: OrderRow | None, e: Recorded[ReturnApproved]) -> OrderRow:
    return changed(row, e, returns=with_stage(row, e.data.return_id, "APPROVED"))


@order_list.on(ReturnRejected)
def return_rejected(row: OrderRow | None, e: Recorded[ReturnRejected]) -> OrderRow:
    return changed(row, e, returns=with_stage(row, e.data.return_id, "REJECTED"))


@order_list.on(ReturnReceived)
def return_received(row: OrderRow | None, e: Recorded[ReturnReceived]) -> OrderRow:
    units = (row.get("returned_units", 0) if row else 0) + sum(x.quantity for x in e.data.lines)
    return changed(row, e, returns=with_stage(row, e.data.return_id, "RECEIVED"), returned_units=units)


def lines(row: OrderRow | None) -> list[RowLine]:
    return row["lines"] if row else []


def parcels(row: OrderRow | None) -> list[RowParcel]:
    return row["parcels"] if row else []


def plus(row: OrderRow | None, **more: int) -> PaymentSums:
    nothing: PaymentSums = {"authorised_minor": 0, "captured_minor": 0, "refunded_minor": 0, "voided": 0, "failed": 0}
    before = row.get("payments", nothing) if row else nothing
    return {**before, **{name: before.get(name, 0) + n for name, n in more.items()}}  # type: ignore[typeddict-item, operator]  # names of its fields


def with_stage(row: OrderRow | None, return_id: str, stage: str) -> list[RowReturn]:
    """In the place of what was known under its id, or as a new one."""
    new: RowReturn = {"return_id": return_id, "stage": stage}
    before = row_returns(row) if row else []
    if all(x["return_id"] != return_id for x in before):
        return [*before, new]
    return [new if x["return_id"] == return_id else x for x in before]


def with_status(row: OrderRow | None, shipment_id: str, status: str) -> list[RowParcel]:
    return [
        {"shipment_id": x["shipment_id"], "units": x["units"], "status": status}
        if x["shipment_id"] == shipment_id
        else x
        for x in parcels(row)
    ]
