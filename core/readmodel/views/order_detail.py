"""All data of one order, by order id. The queries about the past fold its events with the same handlers."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any, NotRequired, TypedDict

from core.domain.order.events import (
    AuthorisationLapsed,
    DeliveryRefused,
    DiscountApplied,
    DiscountRemoved,
    ExcessReturned,
    HoldReleased,
    LineAdded,
    LineQuantityCancelled,
    LineQuantityChanged,
    LineRemoved,
    LineRepriced,
    NoteAdded,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderCreated,
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
    ShippingMethodSet,
)
from core.eventstore.recorded import Recorded
from core.readmodel.documents import DiscountRow, discount_row, fixed_discounts, to_micros
from core.readmodel.view import View


class Line(TypedDict):
    line_id: str
    sku: str
    name: str
    quantity: int
    price_minor: int
    discount_minor: NotRequired[int]  # its share of the discounts, if there were any when it was placed


class ShippingRow(TypedDict):
    method: str
    price_minor: int


class ShipmentPart(TypedDict):
    line_id: str
    quantity: int


class ReturnedRow(TypedDict):
    line_id: str
    sku: str
    quantity: int
    condition: str


class Parcel(TypedDict):
    shipment_id: str
    status: str
    lines: list[ShipmentPart]
    carrier: str
    tracking_number: str
    reason: NotRequired[str]  # once it was lost or refused
    returned: NotRequired[list[ReturnedRow]]  # once it was returned


class CancellationRow(TypedDict):
    cancellation_id: str
    line_id: str
    quantity: int
    amount_minor: int
    reason: str


class ReceivedRow(TypedDict):
    line_id: str
    sku: str
    quantity: int
    condition: str
    amount_minor: int


class ReturnRow(TypedDict):
    return_id: str
    stage: str
    requested: list[ShipmentPart]
    received: list[ReceivedRow]
    reason: str
    reject_reason: str
    excess: NotRequired[list[ReturnedRow]]  # once units beyond the order were received


class NoteRow(TypedDict):
    note_id: str
    text: str
    at: int


class AuthorisationRow(TypedDict):
    authorisation_id: str
    status: str
    amount_minor: int
    failure_reason: str


class CaptureRow(TypedDict):
    capture_id: str
    authorisation_id: str
    amount_minor: int


class RefundRow(TypedDict):
    refund_id: str
    status: str
    amount_minor: int
    reason: str
    failure_reason: str
    return_id: NotRequired[str]  # "" if it pays none, or if that was not recorded
    pays: NotRequired[str]  # the id of the return that it may pay, only if that was not recorded


class Payments(TypedDict):
    authorisations: list[AuthorisationRow]
    captures: list[CaptureRow]
    refunds: list[RefundRow]


class OrderDetail(TypedDict):
    customer_id: str
    status: str
    currency: str
    lines: list[Line]
    address: dict[str, str] | None
    shipments: list[Parcel]
    created_at: int
    placed_at: int | None
    expires_at: int | None
    updated_at: int
    cancel_reason: str
    hold_reason: NotRequired[str]  # once it was held
    reject_reason: NotRequired[str]  # if it was rejected
    payments: NotRequired[Payments]  # from the first payment on
    discounts: NotRequired[list[DiscountRow]]  # from the first on
    shipping: NotRequired[ShippingRow]  # once it was set
    cancellations: NotRequired[list[CancellationRow]]  # from the first on, like the lists that follow
    returns: NotRequired[list[ReturnRow]]
    notes: NotRequired[list[NoteRow]]
    revision: int


order_detail: View[OrderDetail] = View(
    "order_detail",
    key=lambda e: e.data.order_id,
    categories=("order",),
    answers=("orders.v1.OrderQueryService/GetOrder", "orders.v1.OrderQueryService/GetOrderHistory"),
    own_streams=True,
)


def updated(doc: OrderDetail | None, e: Recorded[Any]) -> OrderDetail:
    """The document, stamped with when and where in the stream."""
    assert doc is not None, f"{e.stream} has no OrderCreated before revision {e.revision}"
    return {**doc, "updated_at": to_micros(e.data.at), "revision": e.revision}


@order_detail.on(OrderCreated)
def created(_: OrderDetail | None, e: Recorded[OrderCreated]) -> OrderDetail:
    at = to_micros(e.data.at)
    return {
        "customer_id": e.data.customer_id,
        "status": "DRAFT",
        "currency": e.data.currency,
        "lines": [],
        "address": None,
        "shipments": [],
        "created_at": at,
        "placed_at": None,
        "expires_at": None,
        "updated_at": at,
        "cancel_reason": "",
        "revision": e.revision,
    }


@order_detail.on(LineAdded)
def line_added(doc: OrderDetail | None, e: Recorded[LineAdded]) -> OrderDetail:
    line: Line = {
        "line_id": e.data.line_id,
        "sku": e.data.sku,
        "name": e.data.name,
        "quantity": e.data.quantity,
        "price_minor": e.data.unit_price.amount_minor,
    }
    return {**updated(doc, e), "lines": [*lines(doc), line]}


@order_detail.on(LineQuantityChanged)
def quantity_changed(doc: OrderDetail | None, e: Recorded[LineQuantityChanged]) -> OrderDetail:
    new: list[Line] = [{**x, "quantity": e.data.quantity} if x["line_id"] == e.data.line_id else x for x in lines(doc)]
    return {**updated(doc, e), "lines": new}


@order_detail.on(LineRepriced)
def repriced(doc: OrderDetail | None, e: Recorded[LineRepriced]) -> OrderDetail:
    price = e.data.unit_price.amount_minor
    new: list[Line] = [{**x, "price_minor": price} if x["line_id"] == e.data.line_id else x for x in lines(doc)]
    return {**updated(doc, e), "lines": new}


@order_detail.on(LineRemoved)
def line_removed(doc: OrderDetail | None, e: Recorded[LineRemoved]) -> OrderDetail:
    return {**updated(doc, e), "lines": [x for x in lines(doc) if x["line_id"] != e.data.line_id]}


@order_detail.on(ShippingAddressChanged)
def address_changed(doc: OrderDetail | None, e: Recorded[ShippingAddressChanged]) -> OrderDetail:
    return {**updated(doc, e), "address": asdict(e.data.address)}


@order_detail.on(ShippingMethodSet)
def shipping_set(doc: OrderDetail | None, e: Recorded[ShippingMethodSet]) -> OrderDetail:
    return {**updated(doc, e), "shipping": {"method": e.data.method, "price_minor": e.data.price.amount_minor}}


@order_detail.on(DiscountApplied)
def discounted(doc: OrderDetail | None, e: Recorded[DiscountApplied]) -> OrderDetail:
    before = doc.get("discounts", []) if doc else []
    return {**updated(doc, e), "discounts": [*before, discount_row(e.data)]}


@order_detail.on(DiscountRemoved)
def discount_removed(doc: OrderDetail | None, e: Recorded[DiscountRemoved]) -> OrderDetail:
    before = doc.get("discounts", []) if doc else []
    return {**updated(doc, e), "discounts": [x for x in before if x["discount_id"] != e.data.discount_id]}


@order_detail.on(OrderPlaced)
def placed(doc: OrderDetail | None, e: Recorded[OrderPlaced]) -> OrderDetail:
    at, expires_at = to_micros(e.data.at), to_micros(e.data.expires_at)
    now: OrderDetail = {**updated(doc, e), "status": "PLACED", "placed_at": at, "expires_at": expires_at}
    if not e.data.discounts:
        return now
    shares = {line.line_id: line.discount.amount_minor for line in e.data.lines}
    shared: list[Line] = [{**line, "discount_minor": shares[line["line_id"]]} for line in lines(doc)]
    return {**now, "lines": shared, "discounts": fixed_discounts(e.data)}


@order_detail.on(OrderConfirmed)
def confirmed(doc: OrderDetail | None, e: Recorded[OrderConfirmed]) -> OrderDetail:
    return {**updated(doc, e), "status": "CONFIRMED"}


@order_detail.on(OrderCancelled)
def cancelled(doc: OrderDetail | None, e: Recorded[OrderCancelled]) -> OrderDetail:
    return {**updated(doc, e), "status": "CANCELLED", "cancel_reason": e.data.reason}


@order_detail.on(OrderRejected)
def rejected(doc: OrderDetail | None, e: Recorded[OrderRejected]) -> OrderDetail:
    return {**updated(doc, e), "status": "REJECTED", "reject_reason": e.data.reason}


@order_detail.on(OrderExpired)
def expired(doc: OrderDetail | None, e: Recorded[OrderExpired]) -> OrderDetail:
    return {**updated(doc, e), "status": "EXPIRED"}


@order_detail.on(OrderCompleted)
def completed(doc: OrderDetail | None, e: Recorded[OrderCompleted]) -> OrderDetail:
    return {**updated(doc, e), "status": "COMPLETED"}


@order_detail.on(OrderHeld)
def held(doc: OrderDetail | None, e: Recorded[OrderHeld]) -> OrderDetail:
    return {**updated(doc, e), "hold_reason": e.data.reason}


@order_detail.on(HoldReleased)
def hold_released(doc: OrderDetail | None, e: Recorded[HoldReleased]) -> OrderDetail:
    return {**updated(doc, e), "hold_reason": ""}


@order_detail.on(ShipmentCreated)
def shipment_created(doc: OrderDetail | None, e: Recorded[ShipmentCreated]) -> OrderDetail:
    parcel: Parcel = {
        "shipment_id": e.data.shipment_id,
        "status": "CREATED",
        "lines": [{"line_id": x.line_id, "quantity": x.quantity} for x in e.data.lines],
        "carrier": "",
        "tracking_number": "",
    }
    return {**updated(doc, e), "shipments": [*shipments(doc), parcel]}


@order_detail.on(ShipmentDispatched)
def dispatched(doc: OrderDetail | None, e: Recorded[ShipmentDispatched]) -> OrderDetail:
    return with_parcel(
        doc,
        e,
        lambda x: {
            **x,
            "status": "DISPATCHED",
            "carrier": e.data.carrier,
            "tracking_number": e.data.tracking_number,
        },
    )


@order_detail.on(ShipmentDelivered)
def delivered(doc: OrderDetail | None, e: Recorded[ShipmentDelivered]) -> OrderDetail:
    return with_parcel(doc, e, lambda x: {**x, "status": "DELIVERED"})


@order_detail.on(ShipmentCancelled)
def unpacked(doc: OrderDetail | None, e: Recorded[ShipmentCancelled]) -> OrderDetail:
    return with_parcel(doc, e, lambda x: {**x, "status": "CANCELLED"})


@order_detail.on(ShipmentLost)
def lost(doc: OrderDetail | None, e: Recorded[ShipmentLost]) -> OrderDetail:
    return with_parcel(doc, e, lambda x: {**x, "status": "LOST", "reason": e.data.reason})


@order_detail.on(DeliveryRefused)
def refused(doc: OrderDetail | None, e: Recorded[DeliveryRefused]) -> OrderDetail:
    return with_parcel(doc, e, lambda x: {**x, "status": "REFUSED", "reason": e.data.reason})


@order_detail.on(ShipmentReturned)
def shipment_returned(doc: OrderDetail | None, e: Recorded[ShipmentReturned]) -> OrderDetail:
    rows = returned_rows(e.data.lines)
    return with_parcel(doc, e, lambda x: {**x, "status": "RETURNED", "returned": rows})


@order_detail.on(LineQuantityCancelled)
def quantity_cancelled(doc: OrderDetail | None, e: Recorded[LineQuantityCancelled]) -> OrderDetail:
    row: CancellationRow = {
        "cancellation_id": e.data.cancellation_id,
        "line_id": e.data.line_id,
        "quantity": e.data.quantity,
        "amount_minor": e.data.amount.amount_minor,
        "reason": e.data.reason,
    }
    before = doc.get("cancellations", []) if doc else []
    return {**updated(doc, e), "cancellations": [*before, row]}


@order_detail.on(ReturnRequested)
def return_requested(doc: OrderDetail | None, e: Recorded[ReturnRequested]) -> OrderDetail:
    row: ReturnRow = {
        "return_id": e.data.return_id,
        "stage": "REQUESTED",
        "requested": [{"line_id": x.line_id, "quantity": x.quantity} for x in e.data.lines],
        "received": [],
        "reason": e.data.reason,
        "reject_reason": "",
    }
    return {**updated(doc, e), "returns": [*returns(doc), row]}


@order_detail.on(ReturnApproved)
def return_approved(doc: OrderDetail | None, e: Recorded[ReturnApproved]) -> OrderDetail:
    return with_return(doc, e, lambda x: {**x, "stage": "APPROVED"})


@order_detail.on(ReturnRejected)
def return_rejected(doc: OrderDetail | None, e: Recorded[ReturnRejected]) -> OrderDetail:
    return with_return(doc, e, lambda x: {**x, "stage": "REJECTED", "reject_reason": e.data.reason})


@order_detail.on(ReturnReceived)
def return_received(doc: OrderDetail | None, e: Recorded[ReturnReceived]) -> OrderDetail:
    received: list[ReceivedRow] = [
        {
            "line_id": x.line_id,
            "sku": x.sku,
            "quantity": x.quantity,
            "condition": str(x.condition),
            "amount_minor": x.amount.amount_minor,
        }
        for x in e.data.lines
    ]
    return with_return(doc, e, lambda x: {**x, "stage": "RECEIVED", "received": received})


@order_detail.on(ExcessReturned)
def excess_returned(doc: OrderDetail | None, e: Recorded[ExcessReturned]) -> OrderDetail:
    rows = returned_rows(e.data.lines)
    return with_return(doc, e, lambda x: {**x, "excess": rows})


@order_detail.on(NoteAdded)
def noted(doc: OrderDetail | None, e: Recorded[NoteAdded]) -> OrderDetail:
    note: NoteRow = {"note_id": e.data.note_id, "text": e.data.text, "at": to_micros(e.data.at)}
    return {**updated(doc, e), "notes": [*(doc.get("notes", []) if doc else []), note]}


@order_detail.on(PaymentAuthorised)
def authorised(doc: OrderDetail | None, e: Recorded[PaymentAuthorised]) -> OrderDetail:
    return with_authorisation(doc, e, "AUTHORISED", e.data.amount.amount_minor)


@order_detail.on(PaymentFailed)
def payment_failed(doc: OrderDetail | None, e: Recorded[PaymentFailed]) -> OrderDetail:
    return with_authorisation(doc, e, "FAILED", 0, e.data.reason)


@order_detail.on(PaymentVoided)
def voided(doc: OrderDetail | None, e: Recorded[PaymentVoided]) -> OrderDetail:
    return with_authorisation(doc, e, "VOIDED", e.data.amount.amount_minor)


@order_detail.on(AuthorisationLapsed)
def lapsed(doc: OrderDetail | None, e: Recorded[AuthorisationLapsed]) -> OrderDetail:
    before, lapsed_id = payments(doc), e.data.authorisation_id
    rows: list[AuthorisationRow] = [
        {**x, "status": "LAPSED", "failure_reason": e.data.reason} if x["authorisation_id"] == lapsed_id else x
        for x in before["authorisations"]
    ]
    return {**updated(doc, e), "payments": {**before, "authorisations": rows}}


@order_detail.on(PaymentCaptured)
def captured(doc: OrderDetail | None, e: Recorded[PaymentCaptured]) -> OrderDetail:
    capture: CaptureRow = {
        "capture_id": e.data.capture_id,
        "authorisation_id": e.data.authorisation_id,
        "amount_minor": e.data.amount.amount_minor,
    }
    before = payments(doc)
    return {**updated(doc, e), "payments": {**before, "captures": [*before["captures"], capture]}}


@order_detail.on(RefundRequested)
def refund_requested(doc: OrderDetail | None, e: Recorded[RefundRequested]) -> OrderDetail:
    refund: RefundRow = {
        "refund_id": e.data.refund_id,
        "status": "REQUESTED",
        "amount_minor": e.data.amount.amount_minor,
        "reason": e.data.reason,
        "failure_reason": "",
        "return_id": e.data.return_id or "",
    }
    if e.data.return_id is None:
        refund["pays"] = e.data.refund_id  # before refunds named the return that they pay, their own id did
    before = payments(doc)
    return {**updated(doc, e), "payments": {**before, "refunds": [*before["refunds"], refund]}}


@order_detail.on(PaymentRefunded)
def refunded(doc: OrderDetail | None, e: Recorded[PaymentRefunded]) -> OrderDetail:
    return with_refund(doc, e, lambda x: {**x, "status": "SETTLED", "failure_reason": ""})


@order_detail.on(RefundFailed)
def refund_failed(doc: OrderDetail | None, e: Recorded[RefundFailed]) -> OrderDetail:
    return with_refund(doc, e, lambda x: {**x, "status": "FAILED", "failure_reason": e.data.reason})


def payments(doc: OrderDetail | None) -> Payments:
    nothing: Payments = {"authorisations": [], "captures": [], "refunds": []}
    return doc.get("payments", nothing) if doc else nothing


def with_authorisation(
    doc: OrderDetail | None, e: Recorded[Any], status: str, amount_minor: int, failure_reason: str = ""
) -> OrderDetail:
    """Replaces the one with its id, or adds a new one."""
    new: AuthorisationRow = {
        "authorisation_id": e.data.authorisation_id,
        "status": status,
        "amount_minor": amount_minor,
        "failure_reason": failure_reason,
    }
    before = payments(doc)
    rows = {x["authorisation_id"]: x for x in before["authorisations"]} | {new["authorisation_id"]: new}
    return {**updated(doc, e), "payments": {**before, "authorisations": list(rows.values())}}


def with_refund(doc: OrderDetail | None, e: Recorded[Any], change: Callable[[RefundRow], RefundRow]) -> OrderDetail:
    before = payments(doc)
    rows = [change(x) if x["refund_id"] == e.data.refund_id else x for x in before["refunds"]]
    return {**updated(doc, e), "payments": {**before, "refunds": rows}}


def lines(doc: OrderDetail | None) -> list[Line]:
    return doc["lines"] if doc else []


def shipments(doc: OrderDetail | None) -> list[Parcel]:
    return doc["shipments"] if doc else []


def with_parcel(doc: OrderDetail | None, e: Recorded[Any], change: Callable[[Parcel], Parcel]) -> OrderDetail:
    rows = [change(x) if x["shipment_id"] == e.data.shipment_id else x for x in shipments(doc)]
    return {**updated(doc, e), "shipments": rows}


def returned_rows(lines: Iterable[ReturnedLine]) -> list[ReturnedRow]:
    return [{"line_id": x.line_id, "sku": x.sku, "quantity": x.quantity, "condition": str(x.condition)} for x in lines]


def returns(doc: OrderDetail | None) -> list[ReturnRow]:
    return doc.get("returns", []) if doc else []


def with_return(doc: OrderDetail | None, e: Recorded[Any], change: Callable[[ReturnRow], ReturnRow]) -> OrderDetail:
    rows = [change(x) if x["return_id"] == e.data.return_id else x for x in returns(doc)]
    return {**updated(doc, e), "returns": rows}
