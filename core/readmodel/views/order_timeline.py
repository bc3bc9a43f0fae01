"""The history of an order in words for people: a document per event, by order id and revision."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from core.domain.money import Money
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
    """The order and revision of a `timeline_key`."""
    return int(key.rpartition(":")[2])


order_timeline: View[TimelineRow] = View(
    "order_timeline",
    key=lambda e: timeline_key(e.data.order_id, e.revision),
    categories=("order",),
    answers=("orders.v1.OrderQueryService/GetOrderTimeline",),
    per_event=True,
)


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """The subject of an event: the parcel, return, line or payment by its id, units, amount, and text."""

    subject: str = ""
    units: int = 0
    amount: Money | None = None
    text: str = ""


def units(parts: Iterable[LineQuantity | OrderLine | ReceivedLine | ReturnedLine]) -> int:
    return sum(part.quantity for part in parts)


STEPS: Mapping[type[OrderEvent], Callable[[Any], TimelineStep]] = {
    OrderCreated: lambda _: TimelineStep(),
    LineAdded: lambda e: TimelineStep(e.line_id, e.quantity, e.unit_price, e.name),
    LineQuantityChanged: lambda e: TimelineStep(e.line_id, e.quantity),
    LineRepriced: lambda e: TimelineStep(e.line_id, amount=e.unit_price),
    LineRemoved: lambda e: TimelineStep(e.line_id),
    ShippingAddressChanged: lambda e: TimelineStep(text=", ".join(x for x in (e.address.city, e.address.country) if x)),
    ShippingMethodSet: lambda e: TimelineStep(amount=e.price, text=e.method),
    DiscountApplied: lambda e: TimelineStep(e.discount_id, amount=e.amount, text=e.name),
    DiscountRemoved: lambda e: TimelineStep(e.discount_id),
    OrderPlaced: lambda e: TimelineStep(units=units(e.lines), amount=e.total),
    OrderConfirmed: lambda _: TimelineStep(),
    OrderRejected: lambda e: TimelineStep(units=e.units, amount=e.total, text=e.reason),
    OrderExpired: lambda e: TimelineStep(units=e.units, amount=e.total),
    OrderCancelled: lambda e: TimelineStep(units=e.units, amount=e.total, text=e.reason),
    OrderCompleted: lambda _: TimelineStep(),
    OrderHeld: lambda e: TimelineStep(text=e.reason),
    HoldReleased: lambda _: TimelineStep(),
    LineQuantityCancelled: lambda e: TimelineStep(e.line_id, e.quantity, e.amount, e.reason),
    ShipmentCreated: lambda e: TimelineStep(e.shipment_id, units(e.lines)),
    ShipmentDispatched: lambda e: TimelineStep(e.shipment_id, text=f"{e.carrier} {e.tracking_number}".strip()),
    ShipmentDelivered: lambda e: TimelineStep(e.shipment_id),
    ShipmentCancelled: lambda e: TimelineStep(e.shipment_id),
    ShipmentLost: lambda e: TimelineStep(e.shipment_id, text=e.reason),
    DeliveryRefused: lambda e: TimelineStep(e.shipment_id, text=e.reason),
    ShipmentReturned: lambda e: TimelineStep(e.shipment_id, units(e.lines)),
    ReturnRequested: lambda e: TimelineStep(e.return_id, units(e.lines), text=e.reason),
    ReturnApproved: lambda e: TimelineStep(e.return_id),
    ReturnRejected: lambda e: TimelineStep(e.return_id, text=e.reason),
    ReturnReceived: lambda e: TimelineStep(e.return_id, units(e.lines), e.amount),
    ExcessReturned: lambda e: TimelineStep(e.return_id, units(e.lines)),
    PaymentAuthorised: lambda e: TimelineStep(e.authorisation_id, amount=e.amount),
    PaymentFailed: lambda e: TimelineStep(e.authorisation_id, text=e.reason),
    PaymentVoided: lambda e: TimelineStep(e.authorisation_id, amount=e.amount),
    AuthorisationLapsed: lambda e: TimelineStep(e.authorisation_id, amount=e.amount, text=e.reason),
    PaymentCaptured: lambda e: TimelineStep(e.capture_id, amount=e.amount),
    RefundRequested: lambda e: TimelineStep(e.refund_id, amount=e.amount, text=e.reason),
    PaymentRefunded: lambda e: TimelineStep(e.refund_id, amount=e.amount),
    RefundFailed: lambda e: TimelineStep(e.refund_id, amount=e.amount, text=e.reason),
    NoteAdded: lambda e: TimelineStep(e.note_id, text=e.text),
}


def row(_: TimelineRow | None, e: Recorded[Any]) -> TimelineRow:
    step = STEPS[type(e.data)](e.data)
    return {
        "revision": e.revision,
        "at": to_micros(e.data.at),
        "step": type(e.data).__name__,
        "subject": step.subject,
        "units": step.units,
        "amount_minor": None if step.amount is None else step.amount.amount_minor,
        "currency": "" if step.amount is None else step.amount.currency,
        "text": step.text,
    }


for event in STEPS:
    order_timeline.on(event)(row)
