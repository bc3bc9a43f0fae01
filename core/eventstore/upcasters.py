"""Upcasters: the former shapes of events, and the function from each to the next one.

A stored event is never changed, and a released shape is never edited. So the log has former shapes for ever, under the
names with which they were written. They are upcast when they are read, one version at a time: only this module knows
that they exist.

A new version of an event: its message and name `…V2` in `events.proto`, the new shape as the domain's class, the
former one here as a dataclass, a row in `UPCASTERS`, and in `registry.py` the new name with the next version. What the
former shape did not say stays unknown: an upcaster invents nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_type_hints

from core.domain.address import Address
from core.domain.checkout.events import CheckoutLine, CheckoutStarted
from core.domain.checkout.state import FORMER_IDS
from core.domain.money import Money
from core.domain.order.events import OrderLine, OrderPlaced, RefundRequested
from core.domain.product.events import PriceChanged
from core.domain.user.events import EmailChanged
from core.eventstore.registry import BY_EVENT, ROWS, DomainEvent, Row


@dataclass(frozen=True, slots=True)
class Upcaster:
    """`name` is the event type in the store; the result has the event type `into`.

    `upcast` is annotated with the shape it takes and the class it returns: stored bytes are decoded as the first; the
    second is checked against `into`.
    """

    name: str
    into: str
    upcast: Callable[[Any], Any]
    version: int = 1

    @property
    def shape(self) -> type:
        """The shape that is stored under `name`."""
        hints = get_type_hints(self.upcast)
        result = hints.pop("return")
        [shape] = hints.values()
        assert isinstance(shape, type), f"{self.name}: what {result} is made of has no class"
        return shape

    @property
    def result(self) -> type:
        result: type = get_type_hints(self.upcast)["return"]
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceChangedV1:
    sku: str
    price: Money
    at: datetime


def price_changed(old: PriceChangedV1) -> PriceChanged:
    return PriceChanged(sku=old.sku, price=old.price, previous=None, at=old.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailChangedV1:
    user_id: str
    email: str
    at: datetime


def email_changed(old: EmailChangedV1) -> EmailChanged:
    return EmailChanged(user_id=old.user_id, email=old.email, previous_email="", at=old.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLineV1:
    line_id: str
    sku: str
    name: str
    quantity: int
    unit_price: Money
    line_total: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPlacedV1:
    order_id: str
    customer_id: str
    lines: tuple[OrderLineV1, ...]
    total: Money
    address: Address
    expires_at: datetime
    at: datetime


def order_placed(old: OrderPlacedV1) -> OrderPlaced:
    """There were no discounts then, and no price of shipping: both are known to be zero."""
    nothing = Money(amount_minor=0, currency=old.total.currency)
    lines = tuple(
        OrderLine(
            line_id=line.line_id,
            sku=line.sku,
            name=line.name,
            quantity=line.quantity,
            unit_price=line.unit_price,
            line_total=line.line_total,
            discount=nothing,
        )
        for line in old.lines
    )
    return OrderPlaced(
        order_id=old.order_id,
        customer_id=old.customer_id,
        lines=lines,
        discounts=(),
        shipping=None,
        goods_total=old.total,
        discount_total=nothing,
        total=old.total,
        address=old.address,
        expires_at=old.expires_at,
        at=old.at,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequestedV1:
    order_id: str
    refund_id: str
    amount: Money
    reason: str
    at: datetime


FOR_A_RETURN = "goods have come back"  # the reason that the process gave, and only for a return, under the return's id


def refund_requested(old: RefundRequestedV1) -> RefundRequested:
    """For refunds that others requested, it was not recorded whether they pay a return."""
    return RefundRequested(
        order_id=old.order_id,
        refund_id=old.refund_id,
        amount=old.amount,
        reason=old.reason,
        return_id=old.refund_id if old.reason == FOR_A_RETURN else None,
        at=old.at,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutStartedV1:
    order_id: str
    lines: tuple[CheckoutLine, ...]
    deadline: datetime
    at: datetime


def checkout_started(old: CheckoutStartedV1) -> CheckoutStarted:
    """Its ids were UUIDs of version 5, which any caller may use too."""
    return CheckoutStarted(
        order_id=old.order_id, lines=old.lines, deadline=old.deadline, id_version=FORMER_IDS, at=old.at
    )


UPCASTERS = (
    Upcaster("OrderPlaced", "OrderPlacedV2", order_placed),
    Upcaster("RefundRequested", "RefundRequestedV2", refund_requested),
    Upcaster("PriceChanged", "PriceChangedV2", price_changed),
    Upcaster("EmailChanged", "EmailChangedV2", email_changed),
    Upcaster("CheckoutStarted", "CheckoutStartedV2", checkout_started),
)


def chains(rows: Sequence[Row], upcasters: Sequence[Upcaster]) -> Mapping[str, tuple[Upcaster, ...]]:
    """The steps from each former name to a current one. Raises `RuntimeError` if there are none."""
    current = {row.name: row for row in rows}
    former = {upcaster.name: upcaster for upcaster in upcasters}
    if len(former) < len(upcasters) or former.keys() & current.keys():
        raise RuntimeError("an event name has two upcasters, or is a current one and has one")
    return {name: _way(name, former, current) for name in former}


def _way(name: str, former: Mapping[str, Upcaster], current: Mapping[str, Row]) -> tuple[Upcaster, ...]:
    steps = [former[name]]
    while steps[-1].into in former:
        _check(steps[-1], former[steps[-1].into].shape, former[steps[-1].into].version)
        steps.append(former[steps[-1].into])  # terminates: each step's version is higher
    last = steps[-1]
    if last.into not in current:
        raise RuntimeError(f"{last.name} becomes {last.into}, which is unknown")
    _check(last, current[last.into].event, current[last.into].version)
    return tuple(steps)


def _check(step: Upcaster, shape: type, version: int) -> None:
    if step.result is not shape:
        raise RuntimeError(f"{step.name} becomes a {step.result.__name__}, but {step.into} is a {shape.__name__}")
    if version != step.version + 1:
        raise RuntimeError(f"{step.name} is version {step.version}, so {step.into} must be the next, not {version}")


CHAINS = chains(ROWS, UPCASTERS)  # at start: an unreadable former shape must stop the process, not one stream


def former_names(name: str) -> list[str]:
    """The former names under which an event of today may be stored."""
    return [former for former, chain in CHAINS.items() if chain[-1].into == name]


def stored_names(*events: type[DomainEvent]) -> tuple[str, ...]:
    """The event types under which the log has such events: the current names and the former ones."""
    today = [BY_EVENT[event].name for event in events]
    return tuple(name for newest in today for name in (newest, *former_names(newest)))
