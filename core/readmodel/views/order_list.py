"""One row per order, by order id; found by customer, status and time."""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

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
from core.readmodel.documents import DiscountRow, PaymentSums, discount_row, entries, fixed_discounts, to_micros
from core.readmodel.view import View


class RowLine(TypedDict):
    line_id: str
    quantity: int
    price_minor: int


class RowPart(TypedDict):
    line_id: str
    units: int


class RowParcel(TypedDict):
    shipment_id: str
    units: int
    status: str
    lines: NotRequired[list[RowPart]]  # former releases have not stored them


class RowReturn(TypedDict):
    return_id: str
    stage: str


class OrderRow(TypedDict):
    customer_id: str
    status: str
    currency: str
    lines: list[RowLine]
    parcels: list[RowParcel]
    created_at: int
    placed_at: int | None
    payments: NotRequired[PaymentSums]  # from the first payment on
    discounts: NotRequired[list[DiscountRow]]  # from the first on
    shipping_minor: NotRequired[int]  # once it was set
    cancelled_minor: NotRequired[int]  # from the first cancelled part on, like the units
    cancelled_units: NotRequired[int]
    cancelled_lines: NotRequired[list[RowPart]]  # former releases have not stored them
    returns: NotRequired[list[RowReturn]]  # from the first on
    returned_units: NotRequired[int]


def row_returns(row: Mapping[str, Any]) -> list[RowReturn]:
    return entries(row.get("returns", ()), "return_id", "stage")


order_list: View[OrderRow] = View(
    "order_list",
    key=lambda e: e.data.order_id,
    categories=("order",),
    answers=(
        "orders.v1.OrderQueryService/ListOrders",
        "orders.v1.OrderQueryService/GetCustomerOrders",
        "orders.v1.OrderQueryService/WatchOrders",
    ),
    indexes=(
        (("created_at", 1), ("_id", 1)),
        (("customer_id", 1), ("created_at", 1), ("_id", 1)),
        (("status", 1), ("created_at", 1), ("_id", 1)),
    ),
    own_streams=True,
)


def existing(row: OrderRow | None, e: Recorded[Any]) -> OrderRow:
    assert row is not None, f"{e.stream} has no OrderCreated before revision {e.revision}"
    return row


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
    return {**existing(row, e), "lines": [*lines(row), line]}


@order_list.on(LineQuantityChanged)
def quantity_changed(row: OrderRow | None, e: Recorded[LineQuantityChanged]) -> OrderRow:
    new: list[RowLine] = [
        {**x, "quantity": e.data.quantity} if x["line_id"] == e.data.line_id else x for x in lines(row)
    ]
    return {**existing(row, e), "lines": new}


@order_list.on(LineRepriced)
def repriced(row: OrderRow | None, e: Recorded[LineRepriced]) -> OrderRow:
    price = e.data.unit_price.amount_minor
    new: list[RowLine] = [{**x, "price_minor": price} if x["line_id"] == e.data.line_id else x for x in lines(row)]
    return {**existing(row, e), "lines": new}


@order_list.on(LineRemoved)
def line_removed(row: OrderRow | None, e: Recorded[LineRemoved]) -> OrderRow:
    return {**existing(row, e), "lines": [x for x in lines(row) if x["line_id"] != e.data.line_id]}


@order_list.on(ShippingMethodSet)
def shipping_set(row: OrderRow | None, e: Recorded[ShippingMethodSet]) -> OrderRow:
    return {**existing(row, e), "shipping_minor": e.data.price.amount_minor}


@order_list.on(DiscountApplied)
def discounted(row: OrderRow | None, e: Recorded[DiscountApplied]) -> OrderRow:
    before = row.get("discounts", []) if row else []
    return {**existing(row, e), "discounts": [*before, discount_row(e.data)]}


@order_list.on(DiscountRemoved)
def discount_removed(row: OrderRow | None, e: Recorded[DiscountRemoved]) -> OrderRow:
    before = row.get("discounts", []) if row else []
    return {**existing(row, e), "discounts": [x for x in before if x["discount_id"] != e.data.discount_id]}


@order_list.on(OrderPlaced)
def placed(row: OrderRow | None, e: Recorded[OrderPlaced]) -> OrderRow:
    now: OrderRow = {**existing(row, e), "status": "PLACED", "placed_at": to_micros(e.data.at)}
    return {**now, "discounts": fixed_discounts(e.data)} if e.data.discounts else now


@order_list.on(OrderConfirmed)
def confirmed(row: OrderRow | None, e: Recorded[OrderConfirmed]) -> OrderRow:
    return {**existing(row, e), "status": "CONFIRMED"}


@order_list.on(OrderCancelled)
def cancelled(row: OrderRow | None, e: Recorded[OrderCancelled]) -> OrderRow:
    return {**existing(row, e), "status": "CANCELLED"}


@order_list.on(OrderRejected)
def rejected(row: OrderRow | None, e: Recorded[OrderRejected]) -> OrderRow:
    return {**existing(row, e), "status": "REJECTED"}


@order_list.on(OrderExpired)
def expired(row: OrderRow | None, e: Recorded[OrderExpired]) -> OrderRow:
    return {**existing(row, e), "status": "EXPIRED"}


@order_list.on(OrderCompleted)
def completed(row: OrderRow | None, e: Recorded[OrderCompleted]) -> OrderRow:
    return {**existing(row, e), "status": "COMPLETED"}


@order_list.on(PaymentAuthorised)
def authorised(row: OrderRow | None, e: Recorded[PaymentAuthorised]) -> OrderRow:
    return {**existing(row, e), "payments": plus(row, authorised_minor=e.data.amount.amount_minor)}


@order_list.on(PaymentFailed)
def payment_failed(row: OrderRow | None, e: Recorded[PaymentFailed]) -> OrderRow:
    return {**existing(row, e), "payments": plus(row, failed=1)}


@order_list.on(PaymentVoided)
def voided(row: OrderRow | None, e: Recorded[PaymentVoided]) -> OrderRow:
    return {**existing(row, e), "payments": plus(row, authorised_minor=-e.data.amount.amount_minor, voided=1)}


@order_list.on(AuthorisationLapsed)
def lapsed(row: OrderRow | None, e: Recorded[AuthorisationLapsed]) -> OrderRow:
    sums = plus(row, authorised_minor=-e.data.amount.amount_minor)
    return {**existing(row, e), "payments": {**sums, "lapsed": sums.get("lapsed", 0) + 1}}


@order_list.on(PaymentCaptured)
def captured(row: OrderRow | None, e: Recorded[PaymentCaptured]) -> OrderRow:
    return {**existing(row, e), "payments": plus(row, captured_minor=e.data.amount.amount_minor)}


@order_list.on(PaymentRefunded)
def refunded(row: OrderRow | None, e: Recorded[PaymentRefunded]) -> OrderRow:
    return {**existing(row, e), "payments": plus(row, refunded_minor=e.data.amount.amount_minor)}


@order_list.on(ShipmentCreated)
def shipment_created(row: OrderRow | None, e: Recorded[ShipmentCreated]) -> OrderRow:
    parts: list[RowPart] = [{"line_id": x.line_id, "units": x.quantity} for x in e.data.lines]
    units = sum(x["units"] for x in parts)
    parcel: RowParcel = {"shipment_id": e.data.shipment_id, "units": units, "status": "CREATED", "lines": parts}
    return {**existing(row, e), "parcels": [*parcels(row), parcel]}


@order_list.on(ShipmentDispatched)
def dispatched(row: OrderRow | None, e: Recorded[ShipmentDispatched]) -> OrderRow:
    return {**existing(row, e), "parcels": with_status(row, e.data.shipment_id, "DISPATCHED")}


@order_list.on(ShipmentDelivered)
def delivered(row: OrderRow | None, e: Recorded[ShipmentDelivered]) -> OrderRow:
    return {**existing(row, e), "parcels": with_status(row, e.data.shipment_id, "DELIVERED")}


@order_list.on(ShipmentCancelled)
def unpacked(row: OrderRow | None, e: Recorded[ShipmentCancelled]) -> OrderRow:
    return {**existing(row, e), "parcels": with_status(row, e.data.shipment_id, "CANCELLED")}


@order_list.on(ShipmentLost)
def lost(row: OrderRow | None, e: Recorded[ShipmentLost]) -> OrderRow:
    return {**existing(row, e), "parcels": with_status(row, e.data.shipment_id, "LOST")}


@order_list.on(DeliveryRefused)
def refused(row: OrderRow | None, e: Recorded[DeliveryRefused]) -> OrderRow:
    return {**existing(row, e), "parcels": with_status(row, e.data.shipment_id, "REFUSED")}


@order_list.on(ShipmentReturned)
def shipment_returned(row: OrderRow | None, e: Recorded[ShipmentReturned]) -> OrderRow:
    return {**existing(row, e), "parcels": with_status(row, e.data.shipment_id, "RETURNED")}


@order_list.on(LineQuantityCancelled)
def quantity_cancelled(row: OrderRow | None, e: Recorded[LineQuantityCancelled]) -> OrderRow:
    minor, units = (row.get("cancelled_minor", 0), row.get("cancelled_units", 0)) if row else (0, 0)
    part: RowPart = {"line_id": e.data.line_id, "units": e.data.quantity}
    return {
        **existing(row, e),
        "cancelled_minor": minor + e.data.amount.amount_minor,
        "cancelled_units": units + e.data.quantity,
        "cancelled_lines": [*(row.get("cancelled_lines", []) if row else []), part],
    }


@order_list.on(ReturnRequested)
def return_requested(row: OrderRow | None, e: Recorded[ReturnRequested]) -> OrderRow:
    return {**existing(row, e), "returns": with_stage(row, e.data.return_id, "REQUESTED")}


@order_list.on(ReturnApproved)
def return_approved(row: OrderRow | None, e: Recorded[ReturnApproved]) -> OrderRow:
    return {**existing(row, e), "returns": with_stage(row, e.data.return_id, "APPROVED")}


@order_list.on(ReturnRejected)
def return_rejected(row: OrderRow | None, e: Recorded[ReturnRejected]) -> OrderRow:
    return {**existing(row, e), "returns": with_stage(row, e.data.return_id, "REJECTED")}


@order_list.on(ReturnReceived)
def return_received(row: OrderRow | None, e: Recorded[ReturnReceived]) -> OrderRow:
    units = (row.get("returned_units", 0) if row else 0) + sum(x.quantity for x in e.data.lines)
    return {**existing(row, e), "returns": with_stage(row, e.data.return_id, "RECEIVED"), "returned_units": units}


def lines(row: OrderRow | None) -> list[RowLine]:
    return row["lines"] if row else []


def parcels(row: OrderRow | None) -> list[RowParcel]:
    return row["parcels"] if row else []


def plus(
    row: OrderRow | None,
    *,
    authorised_minor: int = 0,
    captured_minor: int = 0,
    refunded_minor: int = 0,
    voided: int = 0,
    failed: int = 0,
) -> PaymentSums:
    """The sums after so much more of each; less is negative."""
    nothing: PaymentSums = {"authorised_minor": 0, "captured_minor": 0, "refunded_minor": 0, "voided": 0, "failed": 0}
    before = row.get("payments", nothing) if row else nothing
    return {
        **before,
        "authorised_minor": before["authorised_minor"] + authorised_minor,
        "captured_minor": before["captured_minor"] + captured_minor,
        "refunded_minor": before["refunded_minor"] + refunded_minor,
        "voided": before["voided"] + voided,
        "failed": before["failed"] + failed,
    }


def with_stage(row: OrderRow | None, return_id: str, stage: str) -> list[RowReturn]:
    """Replaces the one with its id, or adds a new one."""
    new: RowReturn = {"return_id": return_id, "stage": stage}
    before = row_returns(row) if row else []
    if all(x["return_id"] != return_id for x in before):
        return [*before, new]
    return [new if x["return_id"] == return_id else x for x in before]


def with_status(row: OrderRow | None, shipment_id: str, status: str) -> list[RowParcel]:
    return [{**x, "status": status} if x["shipment_id"] == shipment_id else x for x in parcels(row)]
