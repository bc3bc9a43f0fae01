"""The state of an order, one type per stage: a field that has no meaning in a stage does not exist there."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from core.domain.address import Address
from core.domain.money import Money, total_of
from core.domain.order.events import LineQuantity, OrderLine, ReceivedLine, ReturnedLine, ShippingMethod
from core.domain.order.ledger import Ledger
from core.domain.order.pricing import Discount, amounts_off


class ShipmentStage(StrEnum):
    """REFUSED is on its way back, RETURNED is back in the house without having been delivered."""

    CREATED = "CREATED"
    DISPATCHED = "DISPATCHED"
    DELIVERED = "DELIVERED"
    CANCELLED = "CANCELLED"
    LOST = "LOST"
    REFUSED = "REFUSED"
    RETURNED = "RETURNED"


# the units of such a parcel are not under way any more: they are open, unless they were cancelled or sent again
ENDED_UNDELIVERED = (ShipmentStage.CANCELLED, ShipmentStage.LOST, ShipmentStage.RETURNED)
# such a parcel has not left the house
NEVER_LEFT = (ShipmentStage.CREATED, ShipmentStage.CANCELLED)


class ReturnStage(StrEnum):
    REQUESTED = "REQUESTED"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    RECEIVED = "RECEIVED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """`returned` is its content when it was returned; empty otherwise."""

    shipment_id: str
    lines: tuple[LineQuantity, ...]
    stage: ShipmentStage = ShipmentStage.CREATED
    carrier: str = ""
    tracking_number: str = ""
    returned: tuple[ReturnedLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopening:
    """Units are to be sent again since a parcel has not arrived, or (`undone`) are not, since a lost one has.

    `lines` are fewer than the parcel had if a lost parcel has arrived beside it. `shipment_id` is the parcel whose
    event changed what is to be sent: the lost or returned one; for `undone`, the one that arrived or was unpacked.
    `cancellations` is the number of earlier cancellations of the order: the units that a cancellation concerns
    depend on what had been sent by then.
    """

    shipment_id: str
    lines: tuple[LineQuantity, ...]
    cancellations: int
    undone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    cancellation_id: str
    line_id: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """`received` and `excess` are empty until the return is received. `excess` are the units beyond the order."""

    return_id: str
    requested: tuple[LineQuantity, ...]
    stage: ReturnStage = ReturnStage.REQUESTED
    received: tuple[ReceivedLine, ...] = ()
    excess: tuple[ReturnedLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    note_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoOrder:
    """Before the first event."""

    status: ClassVar[str] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    status: ClassVar[str] = "DRAFT"

    order_id: str
    customer_id: str
    currency: str
    lines: tuple[OrderLine, ...] = ()
    address: Address | None = None
    discounts: tuple[Discount, ...] = ()
    shipping: ShippingMethod | None = None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    status: ClassVar[str] = "PLACED"

    order_id: str
    customer_id: str
    currency: str
    lines: tuple[OrderLine, ...]
    total: Money
    address: Address
    placed_at: datetime
    expires_at: datetime
    payments: Ledger
    held: bool = False
    notes: tuple[Note, ...] = ()
    cancellations: tuple[Cancellation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    status: ClassVar[str] = "CONFIRMED"

    order_id: str
    customer_id: str
    currency: str
    lines: tuple[OrderLine, ...]
    total: Money
    address: Address
    placed_at: datetime
    expires_at: datetime
    payments: Ledger
    held: bool = False
    shipments: tuple[Shipment, ...] = ()
    reopenings: tuple[Reopening, ...] = ()
    notes: tuple[Note, ...] = ()
    cancellations: tuple[Cancellation, ...] = ()
    returns: tuple[Return, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """Everything has arrived and is paid. Goods can still be returned, and money refunded."""

    status: ClassVar[str] = "COMPLETED"

    order_id: str
    customer_id: str
    currency: str
    lines: tuple[OrderLine, ...]
    total: Money
    placed_at: datetime
    expires_at: datetime
    payments: Ledger
    shipments: tuple[Shipment, ...] = ()
    reopenings: tuple[Reopening, ...] = ()
    notes: tuple[Note, ...] = ()
    cancellations: tuple[Cancellation, ...] = ()
    returns: tuple[Return, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """It may have parcels that were lost or returned. A lost one may still arrive, or be returned by its carrier or by
    the customer, so its content is kept.
    """

    status: ClassVar[str] = "CANCELLED"

    order_id: str
    customer_id: str
    currency: str
    payments: Ledger
    placed_at: datetime | None = None  # None: it was never placed
    expires_at: datetime | None = None
    notes: tuple[Note, ...] = ()
    lines: tuple[OrderLine, ...] = ()
    shipments: tuple[Shipment, ...] = ()
    reopenings: tuple[Reopening, ...] = ()
    cancellations: tuple[Cancellation, ...] = ()
    returns: tuple[Return, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The shop did not accept it."""

    status: ClassVar[str] = "REJECTED"

    order_id: str
    customer_id: str
    currency: str
    payments: Ledger
    expires_at: datetime | None = None  # None: it was never placed
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """It was not confirmed in time."""

    status: ClassVar[str] = "EXPIRED"

    order_id: str
    customer_id: str
    currency: str
    payments: Ledger
    expires_at: datetime | None = None  # None: it was never placed
    notes: tuple[Note, ...] = ()


Shipped = Confirmed | Completed | Cancelled
"""Every stage that may have parcels which have left the house."""
Committed = Placed | Confirmed | Completed
"""The customer has committed, and the order was not cancelled, rejected or expired: lines and total are fixed."""
Order = NoOrder | Draft | Placed | Confirmed | Completed | Cancelled | Rejected | Expired


def order_line(*, line_id: str, sku: str, name: str, quantity: int, unit_price: Money) -> OrderLine:
    return OrderLine(
        line_id=line_id,
        sku=sku,
        name=name,
        quantity=quantity,
        unit_price=unit_price,
        line_total=unit_price.times(quantity),
        discount=unit_price.times(0),  # divided when the order is placed
    )


def with_quantity(line: OrderLine, quantity: int) -> OrderLine:
    return replace(line, quantity=quantity, line_total=line.unit_price.times(quantity))


def with_price(line: OrderLine, unit_price: Money) -> OrderLine:
    return replace(line, unit_price=unit_price, line_total=unit_price.times(line.quantity))


def goods_total(lines: tuple[OrderLine, ...], currency: str) -> Money:
    return total_of((line.line_total for line in lines), currency)


def draft_total(draft: Draft) -> Money:
    """The cost if it were placed now."""
    goods = goods_total(draft.lines, draft.currency).amount_minor
    shipping = draft.shipping.price.amount_minor if draft.shipping else 0
    return Money(
        amount_minor=goods - sum(amounts_off(goods, draft.discounts)) + shipping,
        currency=draft.currency,
    )


def units(lines: tuple[OrderLine, ...]) -> int:
    return sum(line.quantity for line in lines)


def net_minor(line: OrderLine) -> int:
    """The cost of all units of a line together, in minor units."""
    return line.line_total.amount_minor - line.discount.amount_minor


def cancelled_quantities(order: Committed | Cancelled) -> Counter[str]:
    """line_id → cancelled units."""
    off: Counter[str] = Counter()
    for cancellation in order.cancellations:
        off[cancellation.line_id] += cancellation.quantity
    return off


def kept_quantities(order: Committed | Cancelled) -> dict[str, int]:
    """line_id → units that were not cancelled."""
    if isinstance(order, Cancelled):
        return {line.line_id: 0 for line in order.lines}
    off = cancelled_quantities(order)
    return {line.line_id: line.quantity - off[line.line_id] for line in order.lines}


def remaining_units(order: Committed) -> int:
    return units(order.lines) - cancelled_quantities(order).total()


def live_shipments(order: Committed | Cancelled) -> list[Shipment]:
    """Those that are packed, under way or delivered; none before the order is confirmed."""
    shipments = () if isinstance(order, Placed) else order.shipments
    return [shipment for shipment in shipments if shipment.stage not in ENDED_UNDELIVERED]


def left_shipments(order: Shipped) -> list[Shipment]:
    """The dispatched parcels, whatever their outcome."""
    return [shipment for shipment in order.shipments if shipment.stage not in NEVER_LEFT]


def open_quantities(order: Committed | Cancelled) -> dict[str, int]:
    """line_id → units that are neither cancelled nor in a parcel; those of a lost or returned parcel are open again.

    More units than were ordered are in parcels if a lost one arrived after its units were sent again, or cancelled.
    """
    packed = _quantities(part for shipment in live_shipments(order) for part in shipment.lines)
    return {line_id: max(0, kept - packed[line_id]) for line_id, kept in kept_quantities(order).items()}


def to_be_sent(order: Shipped) -> dict[str, int]:
    """line_id → units that are open, or packed and not dispatched."""
    packed = _quantities(part for x in order.shipments if x.stage == ShipmentStage.CREATED for part in x.lines)
    return {line_id: units + packed[line_id] for line_id, units in open_quantities(order).items()}


def delivered_quantities(order: Committed | Cancelled) -> Counter[str]:
    """line_id → delivered units; also those beyond the order."""
    delivered = (x for x in live_shipments(order) if x.stage == ShipmentStage.DELIVERED)
    return _quantities(part for shipment in delivered for part in shipment.lines)


def undelivered_units(order: Confirmed | Completed) -> int:
    there = delivered_quantities(order)
    return sum(max(0, kept - there[line_id]) for line_id, kept in kept_quantities(order).items())


def excess_quantities(order: Shipped) -> Counter[str]:
    """line_id → delivered units beyond the kept ones that were not returned, if there are any."""
    kept, back = kept_quantities(order), _quantities(part for x in order.returns for part in x.excess)
    there = delivered_quantities(order)
    return +Counter({line_id: max(0, n - kept[line_id]) - back[line_id] for line_id, n in there.items()})


def returned_quantities(order: Shipped) -> Counter[str]:
    """line_id → returned units of the order."""
    return _quantities(part for x in order.returns for part in x.received)


def arrived_back(back: Return) -> tuple[ReceivedLine | ReturnedLine, ...]:
    """All received units of a return, of the order and beyond it."""
    return (*back.received, *back.excess)


def returnable_quantities(order: Shipped) -> dict[str, int]:
    """line_id → units that were delivered, not returned, and are in no open return; also those beyond the order."""
    back = _quantities(part for x in order.returns for part in arrived_back(x))
    coming = _quantities(part for x in open_returns(order) for part in x.requested)
    return {line_id: n - back[line_id] - coming[line_id] for line_id, n in delivered_quantities(order).items()}


def open_returns(order: Shipped) -> list[Return]:
    return [x for x in order.returns if x.stage in (ReturnStage.REQUESTED, ReturnStage.APPROVED)]


def returned_minor(order: Confirmed | Completed) -> int:
    """The cost of the returned units, in minor units."""
    return sum(part.amount.amount_minor for x in order.returns for part in x.received)


def _quantities(parts: Iterable[LineQuantity | ReceivedLine | ReturnedLine]) -> Counter[str]:
    quantities: Counter[str] = Counter()
    for part in parts:
        quantities[part.line_id] += part.quantity
    return quantities
