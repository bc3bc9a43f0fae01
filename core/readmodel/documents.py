"""What the documents of several views share: times, discounts, derived statuses.

A stored document is `{"_id": key, "position": p, **body}`: `position` is the commit position of the last event in it.
Times are integers, microseconds since the Unix epoch (UTC): exact, and in order. Amounts are minor units.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NotRequired, TypedDict

from core.domain.order.events import DiscountApplied, OrderPlaced
from core.domain.order.pricing import Discount, amounts_off


class DiscountRow(TypedDict):
    """What is off: an amount, or basis points of what earlier ones have left. Once placed, all are amounts."""

    discount_id: str
    name: str
    amount_minor: int | None
    basis_points: int


class PaymentSums(TypedDict):
    """`voided`, `failed` and `lapsed` count authorisations, the rest are minor units."""

    authorised_minor: int
    captured_minor: int
    refunded_minor: int
    voided: int
    failed: int
    lapsed: NotRequired[int]  # from the first on


_EPOCH = datetime.fromtimestamp(0, UTC)


def to_micros(at: datetime) -> int:
    """Microseconds since the epoch, exactly."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def entries(stored: Any, key: str, value: str) -> list[Any]:
    """A stored list of entries; former releases stored a mapping from `key` to `value` instead.

    A name given by a caller is never a key of a document: some keys have a special meaning in MongoDB.
    """
    return [{key: name, value: what} for name, what in stored.items()] if isinstance(stored, dict) else list(stored)


def fulfilment(kept: Counter[str], dispatched: Counter[str], delivered: Counter[str]) -> str:
    """The derived status, from units by line; the names are those of FulfilmentStatus without its prefix.

    Units beyond those that are kept do not count: a lost parcel arrived after its units were sent again.
    """
    units = sum(kept.values())
    sent, there = (sum(min(n, of[line_id]) for line_id, n in kept.items()) for of in (dispatched, delivered))
    if not sent:
        return "UNFULFILLED"
    if there == units:
        return "DELIVERED"
    return "SHIPPED" if sent == units else "PARTIALLY_SHIPPED"


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


def discount_row(e: DiscountApplied) -> DiscountRow:
    amount = None if e.amount is None else e.amount.amount_minor
    return {"discount_id": e.discount_id, "name": e.name, "amount_minor": amount, "basis_points": e.basis_points}


def fixed_discounts(e: OrderPlaced) -> list[DiscountRow]:
    """From placing on, a discount is its amount."""
    return [
        {"discount_id": x.discount_id, "name": x.name, "amount_minor": x.amount.amount_minor, "basis_points": 0}
        for x in e.discounts
    ]


def discount_amounts(goods_minor: int, discounts: list[DiscountRow]) -> list[int]:
    """The amount of each discount."""
    return amounts_off(goods_minor, [Discount(**row) for row in discounts])


def returned(units: int, back: int, stages: Iterable[str]) -> str:
    """The derived status; the names are those of ReturnStatus without its prefix."""
    if any(stage in ("REQUESTED", "APPROVED") for stage in stages):
        return "OPEN"
    if not back:
        return "NONE"
    return "RETURNED" if back == units else "PARTIALLY_RETURNED"
