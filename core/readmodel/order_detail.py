"""How the events of an order become the document that shows it: pure, for the view and for any moment of the past."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any, TypeVar

from core.domain.order.events import (
    AuthorisationLapsed,
    DeliveryRefused,
    DiscountApplied,
    DiscountRemoved,
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
    ShippingAddressChanged,
    ShippingMethodSet,
)
from core.eventstore.recorded import Recorded
from core.readmodel.documents import (
    CancellationRow,
    Line,
    NoteRow,
    OrderDetail,
    Parcel,
    Payments,
    ReturnRow,
    discount_row,
    fixed_discounts,
    to_micros,
)

Reduce = Callable[[OrderDetail | None, Recorded[Any]], OrderDetail | None]
R = TypeVar("R", bound=Callable[..., OrderDetail])

REDUCERS: dict[type[OrderEvent], Reduce] = {}


def fold(events: Iterable[Recorded[Any]]) -> OrderDetail | None:
    """The document after these events, which are the first of an order's stream."""
    doc: OrderDetail | None = None
    for event in events:
        doc = REDUCERS[type(event.data)](doc, event)
    return doc


def on(event: type[OrderEvent]) -> Callable[[R], R]:
    def register(reduce: R) -> R:
        REDUCERS[event] = reduce
        return reduce

    return register


def changed(doc: OrderDetail | None, e: Recorded[Any], **fields: Any) -> OrderDetail:
    """The document with new fields, stamped with when and where in the stream."""
    assert doc is not None, f"{e.stream} has no OrderCreated before revision {e.revision}"
    return {**doc, **fields, "updated_at": to_micros(e.data.at), "revision": e.revision}  # type: ignore[typeddict-item]


@on(OrderCreated)
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


@on(LineAdded)
def line_added(doc: OrderDetail | None, e: Recorded[LineAdded]) -> OrderDetail:
    line: Line = {
        "line_id": e.data.line_id,
        "sku": e.data.sku,
        "name": e.data.name,
        "quantity": e.data.quantity,
        "price_minor": e.data.unit_price.amount_minor,
    }
    return changed(doc, e, lines=[*lines(doc), line])


@on(LineQuantityChanged)
def quantity_changed(doc: OrderDetail | None, e: Recorded[LineQuantityChanged]) -> OrderDetail:
    new = [{**x, "quantity": e.data.quantity} if x["line_id"] == e.data.line_id else x for x in lines(doc)]
    return changed(doc, e, lines=new)


@on(LineRepriced)
def repriced(doc: OrderDetail | None, e: Recorded[LineRepriced]) -> OrderDetail:
    price = e.data.unit_price.amount_minor
    new = [{**x, "price_minor": price} if x["line_id"] == e.data.line_id else x for x in lines(doc)]
    return changed(doc, e, lines=new)


@on(LineRemoved)
def line_removed(doc: OrderDetail | None, e: Recorded[LineRemoved]) -> OrderDetail:
    return changed(doc, e, lines=[x for x in lines(doc) if x["line_id"] != e.data.line_id])


@on(ShippingAddressChanged)
def address_changed(doc: OrderDetail | None, e: Recorded[ShippingAddressChanged]) -> OrderDetail:
    return changed(doc, e, address=asdict(e.data.address))


@on(ShippingMethodSet)
def shipping_set(doc: OrderDetail | None, e: Recorded[ShippingMethodSet]) -> OrderDetail:
    return changed(doc, e, shipping={"method": e.data.method, "price_minor": e.data.price.amount_minor})


@on(DiscountApplied)
def discounted(doc: OrderDetail | None, e: Recorded[DiscountApplied]) -> OrderDetail:
    before = doc.get("discounts", []) if doc else []
    return changed(doc, e, discounts=[*before, discount_row(e.data)])


@on(DiscountRemoved)
def discount_removed(doc: OrderDetail | None, e: Recorded[DiscountRemoved]) -> OrderDetail:
    before = doc.get("discounts", []) if doc else []
    return changed(doc, e, discounts=[x for x in before if x["discount_id"] != e.data.discount_id])


@on(OrderPlaced)
def placed(doc: OrderDetail | None, e: Recorded[OrderPlaced]) -> OrderDetail:
    at, expires_at = to_micros(e.data.at), to_micros(e.data.expires_at)
    now = changed(doc, e, status="PLACED", placed_at=at, expires_at=expires_at)
    if not e.data.discounts:
        return now
    shares = {line.line_id: line.discount.amount_minor for line in e.data.lines}
    shared = [{**line, "discount_minor": shares[line["line_id"]]} for line in lines(doc)]
    return changed(now, e, lines=shared, discounts=fixed_discounts(e.data))


@on(OrderConfirmed)
def confirmed(doc: OrderDetail | None, e: Recorded[OrderConfirmed]) -> OrderDetail:
    return changed(doc, e, status="CONFIRMED")


@on(OrderCancelled)
def cancelled(doc: OrderDetail | None, e: Recorded[OrderCancelled]) -> OrderDetail:
    return changed(doc, e, status="CANCELLED", cancel_reason=e.data.reason)


@on(OrderRejected)
def rejected(doc: OrderDetail | None, e: Recorded[OrderRejected]) -> OrderDetail:
    return changed(doc, e, status="REJECTED", reject_reason=e.data.reason)


@on(OrderExpired)
def expired(doc: OrderDetail | None, e: Recorded[OrderExpired]) -> OrderDetail:
    return changed(doc, e, status="EXPIRED")


@on(OrderCompleted)
def completed(doc: OrderDetail | None, e: Recorded[OrderCompleted]) -> OrderDetail:
    return changed(doc, e, status="COMPLETED")


@on(OrderHeld)
def held(doc: OrderDetail | None, e: Recorded[OrderHeld]) -> OrderDetail:
    return changed(doc, e, hold_reason=e.data.reason)


@on(HoldReleased)
def hold_released(doc: OrderDetail | None, e: Recorded[HoldReleased]) -> OrderDetail:
    return changed(doc, e, hold_reason="")


@on(ShipmentCreated)
def shipment_created(doc: OrderDetail | None, e: Recorded[ShipmentCreated]) -> OrderDetail:
    parcel: Parcel = {
        "shipment_id": e.data.shipment_id,
        "status": "CREATED",
        "lines": [{"line_id": x.line_id, "quantity": x.quantity} for x in e.data.lines],
        "carrier": "",
        "tracking_number": "",
    }
    return changed(doc, e, shipments=[*shipments(doc), parcel])


@on(ShipmentDispatched)
def dispatched(doc: OrderDetail | None, e: Recorded[ShipmentDispatched]) -> OrderDetail:
    news = {"status": "DISPATCHED", "carrier": e.data.carrier, "tracking_number": e.data.tracking_number}
    return changed(doc, e, shipments=with_parcel(doc, e.data.shipment_id, news))


@on(ShipmentDelivered)
def delivered(doc: OrderDetail | None, e: Recorded[ShipmentDelivered]) -> OrderDetail:
    return changed(doc, e, shipments=with_parcel(doc, e.data.shipment_id, {"status": "DELIVERED"}))


@on(ShipmentCancelled)
def unpacked(doc: OrderDetail | None, e: Recorded[ShipmentCancelled]) -> OrderDetail:
    return changed(doc, e, shipments=with_parcel(doc, e.data.shipment_id, {"status": "CANCELLED"}))


@on(ShipmentLost)
def lost(doc: OrderDetail | None, e: Recorded[ShipmentLost]) -> OrderDetail:
    return changed(doc, e, shipments=with_parcel(doc, e.data.shipment_id, {"status": "LOST", "reason": e.data.reason}))


@on(DeliveryRefused)
def refused(doc: OrderDetail | None, e: Recorded[DeliveryRefused]) -> OrderDetail:
    return changed(
        doc, e, shipments=with_parcel(doc, e.data.shipment_id, {"status": "REFUSED", "reason": e.data.reason})
    )


@on(ShipmentReturned)
def shipment_returned(doc: OrderDetail | None, e: Recorded[ShipmentReturned]) -> OrderDetail:
    rows = [
        {"line_id": x.line_id, "sku": x.sku, "quantity": x.quantity, "condition": str(x.condition)}
        for x in e.data.lines
    ]
    return changed(doc, e, shipments=with_parcel(doc, e.data.shipment_id, {"status": "RETURNED", "returned": rows}))


@on(LineQuantityCancelled)
def quantity_cancelled(doc: OrderDetail | None, e: Recorded[LineQuantityCancelled]) -> OrderDetail:
    row: CancellationRow = {
        "cancellation_id": e.data.cancellation_id,
        "line_id": e.data.line_id,
        "quantity": e.data.quantity,
        "amount_minor": e.data.amount.amount_minor,
        "reason": e.data.reason,
    }
    before = doc.get("cancellations", []) if doc else []
    return changed(doc, e, cancellations=[*before, row])


@on(ReturnRequested)
def return_requested(doc: OrderDetail | None, e: Recorded[ReturnRequested]) -> OrderDetail:
    row: ReturnRow = {
        "return_id": e.data.return_id,
        "stage": "REQUESTED",
        "requested": [{"line_id": x.line_id, "quantity": x.quantity} for x in e.data.lines],
        "received": [],
        "reason": e.data.reason,
        "reject_reason": "",
    }
    return changed(doc, e, returns=[*returns(doc), row])


@on(ReturnApproved)
def return_approved(doc: OrderDetail | None, e: Recorded[ReturnApproved]) -> OrderDetail:
    return changed(doc, e, returns=with_return(doc, e.data.return_id, stage="APPROVED"))


@on(ReturnRejected)
def return_rejected(doc: OrderDetail | None, e: Recorded[ReturnRejected]) -> OrderDetail:
    return changed(doc, e, returns=with_return(doc, e.data.return_id, stage="REJECTED", reject_reason=e.data.reason))


@on(ReturnReceived)
def return_received(doc: OrderDetail | None, e: Recorded[ReturnReceived]) -> OrderDetail:
    come = [
        {
            "line_id": x.line_id,
            "sku": x.sku,
            "quantity": x.quantity,
            "condition": str(x.condition),
            "amount_minor": x.amount.amount_minor,
        }
        for x in e.data.lines
    ]
    return changed(doc, e, returns=with_return(doc, e.data.return_id, stage="RECEIVED", received=come))


@on(NoteAdded)
def noted(doc: OrderDetail | None, e: Recorded[NoteAdded]) -> OrderDetail:
    note: NoteRow = {"note_id": e.data.note_id, "text": e.data.text, "at": to_micros(e.data.at)}
    return changed(doc, e, notes=[*(doc.get("notes", []) if doc else []), note])


@on(PaymentAuthorised)
def authorised(doc: OrderDetail | None, e: Recorded[PaymentAuthorised]) -> OrderDetail:
    return changed(doc, e, payments=with_authorisation(doc, e, "AUTHORISED", e.data.amount.amount_minor))


@on(PaymentFailed)
def payment_failed(doc: OrderDetail | None, e: Recorded[PaymentFailed]) -> OrderDetail:
    return changed(doc, e, payments=with_authorisation(doc, e, "FAILED", 0, e.data.reason))


@on(PaymentVoided)
def voided(doc: OrderDetail | None, e: Recorded[PaymentVoided]) -> OrderDetail:
    return changed(doc, e, payments=with_authorisation(doc, e, "VOIDED", e.data.amount.amount_minor))


@on(AuthorisationLapsed)
def lapsed(doc: OrderDetail | None, e: Recorded[AuthorisationLapsed]) -> OrderDetail:
    before = payments(doc)
    news = {"status": "LAPSED", "failure_reason": e.data.reason}
    rows = [{**x, **news} if x["authorisation_id"] == e.data.authorisation_id else x for x in before["authorisations"]]
    return changed(doc, e, payments={**before, "authorisations": rows})


@on(PaymentCaptured)
def captured(doc: OrderDetail | None, e: Recorded[PaymentCaptured]) -> OrderDetail:
    capture = {
        "capture_id": e.data.capture_id,
        "authorisation_id": e.data.authorisation_id,
        "amount_minor": e.data.amount.amount_minor,
    }
    before = payments(doc)
    return changed(doc, e, payments={**before, "captures": [*before["captures"], capture]})


@on(RefundRequested)
def refund_requested(doc: OrderDetail | None, e: Recorded[RefundRequested]) -> OrderDetail:
    refund = {
        "refund_id": e.data.refund_id,
        "status": "REQUESTED",
        "amount_minor": e.data.amount.amount_minor,
        "reason": e.data.reason,
        "failure_reason": "",
        "return_id": e.data.return_id or "",
    }
    if e.data.return_id is None:
        refund["pays"] = e.data.refund_id  # before refunds said which return they pay, their own id said it
    before = payments(doc)
    return changed(doc, e, payments={**before, "refunds": [*before["refunds"], refund]})


@on(PaymentRefunded)
def refunded(doc: OrderDetail | None, e: Recorded[PaymentRefunded]) -> OrderDetail:
    return changed(doc, e, payments=with_refund(doc, e, {"status": "SETTLED", "failure_reason": ""}))


@on(RefundFailed)
def refund_failed(doc: OrderDetail | None, e: Recorded[RefundFailed]) -> OrderDetail:
    return changed(doc, e, payments=with_refund(doc, e, {"status": "FAILED", "failure_reason": e.data.reason}))


def payments(doc: OrderDetail | None) -> Payments:
    nothing: Payments = {"authorisations": [], "captures": [], "refunds": []}
    return doc.get("payments", nothing) if doc else nothing


def with_authorisation(
    doc: OrderDetail | None,
    e: Recorded[PaymentAuthorised] | Recorded[PaymentFailed] | Recorded[PaymentVoided],
    status: str,
    amount_minor: int,
    failure_reason: str = "",
) -> dict[str, Any]:
    """In the place of what was known under its id, or as a new one."""
    before = payments(doc)
    news = {
        "authorisation_id": e.data.authorisation_id,
        "status": status,
        "amount_minor": amount_minor,
        "failure_reason": failure_reason,
    }
    rows = {x["authorisation_id"]: x for x in before["authorisations"]} | {e.data.authorisation_id: news}
    return {**before, "authorisations": list(rows.values())}


def with_refund(
    doc: OrderDetail | None, e: Recorded[PaymentRefunded] | Recorded[RefundFailed], news: dict[str, str]
) -> dict[str, Any]:
    before = payments(doc)
    rows = [{**x, **news} if x["refund_id"] == e.data.refund_id else x for x in before["refunds"]]
    return {**before, "refunds": rows}


def lines(doc: OrderDetail | None) -> list[Line]:
    return doc["lines"] if doc else []


def shipments(doc: OrderDetail | None) -> list[Parcel]:
    return doc["shipments"] if doc else []


def with_parcel(doc: OrderDetail | None, shipment_id: str, news: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**x, **news} if x["shipment_id"] == shipment_id else {**x} for x in shipments(doc)]


def returns(doc: OrderDetail | None) -> list[ReturnRow]:
    return doc.get("returns", []) if doc else []


def with_return(doc: OrderDetail | None, return_id: str, **news: Any) -> list[dict[str, Any]]:
    return [{**x, **news} if x["return_id"] == return_id else {**x} for x in returns(doc)]
