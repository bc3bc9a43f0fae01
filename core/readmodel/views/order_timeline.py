"""What happened to an order, step by step, as people tell it: a document per event, by order id and revision."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from core.domain.money import Money
from core.domain.order.events import (
    AuthorisationLapsed,
    DeliveryRefused,
    DiscountApplied,
    DiscountRemoved,
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
    OrderLine,
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
    ShippingMethodSet,
)
from core.eventstore.recorded import Recorded
from core.readmodel.documents import to_micros
from core.readmodel.view import View


class TimelineRow(TypedDict):
    """One step. `step` is the event's name without a version; `amount_minor` None where there is no amount."""

    revision: int
    at: int
    step: str
    subject: str
    units: int
    amount_minor: int | None
    currency: str
    text: str


def timeline_key(order_id: str, revision: int) -> str:
    """In the order of the revisions, of which there are fewer than 10^12."""
    return f"{order_id}:{revision:012d}"


def timeline_revision(key: str) -> int:
    """Which `timeline_key` was given."""
    return int(key.rpartition(":")[2])


order_timeline: View[TimelineRow] = View(
    "order_timeline",
    key=lambda e: timeline_key(e.data.order_id, e.revision),
    categories=("order",),
    answers=("orders.v1.OrderQueryService/GetOrderTimeline",),
)


@dataclass(frozen=True, slots=True)
class Told:
    """What an event is about: the parcel, return, line or payment by its id, how many units, how much, and in words."""

    subject: str = ""
    units: int = 0
    amount: Money | None = None
    text: str = ""


def units(parts: Iterable[LineQuantity | OrderLine | ReceivedLine | ReturnedLine]) -> int:
    return sum(part.quantity for part in parts)


STEPS: Mapping[type[OrderEvent], Callable[[Any], Told]] = {
    OrderCreated: lambda _: Told(),
    LineAdded: lambda e: Told(e.line_id, e.quantity, e.unit_price, e.name),
    LineQuantityChanged: lambda e: Told(e.line_id, e.quantity),
    LineRepriced: lambda e: Told(e.line_id, amount=e.unit_price),
    LineRemoved: lambda e: Told(e.line_id),
    ShippingAddressChanged: lambda e: Told(text=", ".join(x for x in (e.address.city, e.address.country) if x)),
    ShippingMethodSet: lambda e: Told(amount=e.price, text=e.method),
    DiscountApplied: lambda e: Told(e.discount_id, amount=e.amount, text=e.name),
    DiscountRemoved: lambda e: Told(e.discount_id),
    OrderPlaced: lambda e: Told(units=units(e.lines), amount=e.total),
    OrderConfirmed: lambda _: Told(),
    OrderRejected: lambda e: Told(units=e.units, amount=e.total, text=e.reason),
    OrderExpired: lambda e: Told(units=e.units, amount=e.total),
    OrderCancelled: lambda e: Told(units=e.units, amount=e.total, text=e.reason),
    OrderCompleted: lambda _: Told(),
    OrderHeld: lambda e: Told(text=e.reason),
    HoldReleased: lambda _: Told(),
    LineQuantityCancelled: lambda e: Told(e.line_id, e.quantity, e.amount, e.reason),
    ShipmentCreated: lambda e: Told(e.shipment_id, units(e.lines)),
    ShipmentDispatched: lambda e: Told(e.shipment_id, text=f"{e.carrier} {e.tracking_number}".strip()),
    ShipmentDelivered: lambda e: Told(e.shipment_id),
    ShipmentCancelled: lambda e: Told(e.shipment_id),
    ShipmentLost: lambda e: Told(e.shipment_id, text=e.reason),
    DeliveryRefused: lambda e: Told(e.shipment_id, text=e.reason),
    ShipmentReturned: lambda e: Told(e.shipment_id, units(e.lines)),
    ReturnRequested: lambda e: Told(e.return_id, units(e.lines), text=e.reason),
    ReturnApproved: lambda e: Told(e.return_id),
    ReturnRejected: lambda e: Told(e.return_id, text=e.reason),
    ReturnReceived: lambda e: Told(e.return_id, units(e.lines), e.amount),
    PaymentAuthorised: lambda e: Told(e.authorisation_id, amount=e.amount),
    PaymentFailed: lambda e: Told(e.authorisation_id, text=e.reason),
    PaymentVoided: lambda e: Told(e.authorisation_id, amount=e.amount),
    AuthorisationLapsed: lambda e: Told(e.authorisation_id, amount=e.amount, text=e.reason),
    PaymentCaptured: lambda e: Told(e.capture_id, amount=e.amount),
    RefundRequested: lambda e: Told(e.refund_id, amount=e.amount, text=e.reason),
    PaymentRefunded: lambda e: Told(e.refund_id, amount=e.amount),
    RefundFailed: lambda e: Told(e.refund_id, amount=e.amount, text=e.reason),
    NoteAdded: lambda e: Told(e.note_id, text=e.text),
}


def row(_: TimelineRow | None, e: Recorded[Any]) -> TimelineRow:
    told = STEPS[type(e.data)](e.data)
    return {
        "revision": e.revision,
        "at": to_micros(e.data.at),
        "step": type(e.data).__name__,
        "subject": told.subject,
        "units": told.units,
        "amount_minor": None if told.amount is None else told.amount.amount_minor,
        "currency": "" if told.amount is None else told.amount.currency,
        "text": told.text,
    }


for event in STEPS:
    order_timeline.on(event)(row)
