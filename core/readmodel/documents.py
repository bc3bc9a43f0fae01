"""The documents of each view: shape and indexes.

A stored document is `{"_id": key, "position": p, **body}`: `position` is the commit position of the last event in it.
Times are integers, microseconds since the Unix epoch (UTC): exact, and in order. Amounts are minor units.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NotRequired, TypedDict

from core.domain.order.events import DiscountApplied, OrderPlaced
from core.domain.order.pricing import Discount, amounts_off

Index = tuple[tuple[str, int], ...]


class Line(TypedDict):
    line_id: str
    sku: str
    name: str
    quantity: int
    price_minor: int
    discount_minor: NotRequired[int]  # its share of the discounts, if there were any when it was placed


class DiscountRow(TypedDict):
    """What is off: an amount, or basis points of what earlier ones have left. Once placed, all are amounts."""

    discount_id: str
    name: str
    amount_minor: int | None
    basis_points: int


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
    returned: NotRequired[list[ReturnedRow]]  # once it has come back


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
    return_id: NotRequired[str]  # "" if it pays none, or if that was never said
    pays: NotRequired[str]  # the id of the return that it may pay, only if that was never said


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
    shipping: NotRequired[ShippingRow]  # once it was said
    cancellations: NotRequired[list[CancellationRow]]  # from the first on, like the lists that follow
    returns: NotRequired[list[ReturnRow]]
    notes: NotRequired[list[NoteRow]]
    revision: int


class RowLine(TypedDict):
    line_id: str
    quantity: int
    price_minor: int


class RowParcel(TypedDict):
    shipment_id: str
    units: int
    status: str


class PaymentSums(TypedDict):
    """`voided`, `failed` and `lapsed` count authorisations, the rest are minor units."""

    authorised_minor: int
    captured_minor: int
    refunded_minor: int
    voided: int
    failed: int
    lapsed: NotRequired[int]  # from the first on


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
    shipping_minor: NotRequired[int]  # once it was said
    cancelled_minor: NotRequired[int]  # from the first cancelled part on, like the units
    cancelled_units: NotRequired[int]
    returns: NotRequired[list[RowReturn]]  # from the first on
    returned_units: NotRequired[int]


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


class CurrencySum(TypedDict):
    currency: str
    amount_minor: int


class CustomerOrders(TypedDict):
    created: int
    placed: int
    cancelled: int
    rejected: NotRequired[int]  # from the first on, like `expired`
    expired: NotRequired[int]
    returned: NotRequired[list[CurrencySum]]  # of what came back, from the first on
    totals: list[CurrencySum]  # of orders placed and neither cancelled, rejected nor expired


class ProductRow(TypedDict):
    name: str
    price_minor: int
    currency: str
    status: str
    updated_at: int
    revision: int


class StockLevel(TypedDict):
    on_hand: int
    reserved: int
    available: int
    open_reservations: int
    updated_at: int
    revision: int


class ProcessRow(TypedDict):
    """`status` is a ProcessStatus without its prefix; `revision` counts in the process's own stream."""

    status: str
    step: str
    subject: str
    reason: str
    attempt: int
    retry_at: int | None
    deadline: int
    confirmed: bool
    outcome: str
    failures: int
    started_at: int | None
    updated_at: int
    revision: int


class UserAddress(TypedDict):
    address_id: str
    address: dict[str, str]


class UserDetail(TypedDict):
    email: str
    name: str
    blocked: bool
    block_reason: str
    registered_at: int
    updated_at: int
    revision: int
    addresses: NotRequired[list[UserAddress]]  # once there was one
    default_address: NotRequired[str]
    email_change_required: NotRequired[bool]  # once it was


class SalesDay(TypedDict):
    day: str
    currency: str
    orders_placed: int
    orders_cancelled: int
    units: int
    placed_minor: int
    cancelled_minor: int
    orders_rejected: NotRequired[int]  # from the first on, like those that follow
    rejected_minor: NotRequired[int]
    orders_expired: NotRequired[int]
    expired_minor: NotRequired[int]
    returned_units: NotRequired[int]
    returned_minor: NotRequired[int]


INDEXES: Mapping[str, tuple[Index, ...]] = {
    "order_detail": (),
    "order_list": (
        (("created_at", 1), ("_id", 1)),
        (("customer_id", 1), ("created_at", 1), ("_id", 1)),
        (("status", 1), ("created_at", 1), ("_id", 1)),
    ),
    "order_timeline": (),
    "customer_orders": (),
    "product_list": ((("status", 1), ("_id", 1)),),
    "stock_levels": ((("available", 1), ("_id", 1)),),
    "user_detail": (),
    "process_status": ((("status", 1), ("_id", 1)),),
    "sales_daily": (),
}

_EPOCH = datetime.fromtimestamp(0, UTC)


def to_micros(at: datetime) -> int:
    """Microseconds since the epoch, exactly."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def entries(stored: Any, key: str, value: str) -> list[Any]:
    """A list of entries as it is stored; or as former releases stored it: a mapping from `key` to `value`.

    What callers name is never a key of a document: MongoDB gives some keys a meaning of its own.
    """
    return [{key: name, value: what} for name, what in stored.items()] if isinstance(stored, dict) else list(stored)


def row_returns(row: Mapping[str, Any]) -> list[RowReturn]:
    return entries(row.get("returns", ()), "return_id", "stage")


def currency_sums(stored: Any) -> list[CurrencySum]:
    return entries(stored, "currency", "amount_minor")


def fulfilment(units: int, dispatched: int, delivered: int) -> str:
    """The derived status; the names are those of FulfilmentStatus without its prefix."""
    if not units or not dispatched:
        return "UNFULFILLED"
    if delivered == units:
        return "DELIVERED"
    return "SHIPPED" if dispatched == units else "PARTIALLY_SHIPPED"


def payment(total: int, sums: PaymentSums | None, *, placed: bool) -> str:
    """The derived status; the names are those of PaymentStatus without its prefix. What a draft costs is not fixed."""
    nothing = "NOT_REQUIRED" if placed and not total else "UNPAID"
    if sums is None:
        return nothing
    if sums["refunded_minor"]:
        return "REFUNDED" if sums["refunded_minor"] == sums["captured_minor"] else "PARTIALLY_REFUNDED"
    if sums["captured_minor"]:
        return "PAID" if sums["captured_minor"] >= total else "PARTIALLY_PAID"
    if sums["authorised_minor"]:
        return "AUTHORISED" if sums["authorised_minor"] >= total else "PARTIALLY_AUTHORISED"
    ended = (("VOIDED", sums["voided"]), ("LAPSED", sums.get("lapsed", 0)), ("FAILED", sums["failed"] if total else 0))
    return next((status for status, times in ended if times), nothing)


def timeline_key(order_id: str, revision: int) -> str:
    """In the order of the revisions, of which there are fewer than 10^12."""
    return f"{order_id}:{revision:012d}"


def timeline_revision(key: str) -> int:
    """Which `timeline_key` was given."""
    return int(key.rpartition(":")[2])


def discount_row(e: DiscountApplied) -> DiscountRow:
    amount = None if e.amount is None else e.amount.amount_minor
    return {"discount_id": e.discount_id, "name": e.name, "amount_minor": amount, "basis_points": e.basis_points}


def fixed_discounts(e: OrderPlaced) -> list[DiscountRow]:
    """From placing on a discount is the amount it came to."""
    return [
        {"discount_id": x.discount_id, "name": x.name, "amount_minor": x.amount.amount_minor, "basis_points": 0}
        for x in e.discounts
    ]


def taken_off(goods_minor: int, discounts: list[DiscountRow]) -> list[int]:
    """What each discount comes to."""
    return amounts_off(goods_minor, [Discount(**row) for row in discounts])


def returned(units: int, back: int, stages: Iterable[str]) -> str:
    """The derived status; the names are those of ReturnStatus without its prefix."""
    if any(stage in ("REQUESTED", "APPROVED") for stage in stages):
        return "OPEN"
    if not back:
        return "NONE"
    return "RETURNED" if back == units else "PARTIALLY_RETURNED"
