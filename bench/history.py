"""The log of a shop: five events an order, interleaved over forty orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from uuid_utils import uuid7

from bench.appending import append_all, request
from core.domain.address import Address
from core.domain.money import Money
from core.domain.order import ORDER, commands
from core.domain.order import events as order
from core.eventstore import codec

EVENTS_OF_AN_ORDER = 5  # which is the fold factor of the views by order: events per document written
BETWEEN_EACH_OTHER = 40  # orders under way at the same time
CUSTOMERS = 100
AT_ONCE = 10_000  # requests made beforehand, so that making them is not measured
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOME = Address(name="Ann", line1="1 High Street", line2="", city="Ghent", postal_code="9000", country="BE")
LISTINGS = tuple(
    commands.Listing(sku=sku, name=sku.title(), price=Money(amount_minor=350, currency="EUR"), sellable=True)
    for sku in ("tea", "coffee")
)
METADATA = b'{"requestId":"0198c0de-0000-7000-8000-000000000001","payloadHash":"%s","schemaVersion":1}' % (b"0" * 300)


@dataclass(frozen=True, slots=True)
class History:
    """The orders by id, their events, and the position of the last one."""

    order_ids: Sequence[str]
    events: int
    head: int


async def write_orders(uri: str, orders: int, in_one_append: int = 1) -> History:
    """Placed orders of two lines, so many events of an order to an append: all five where only the size matters."""
    ids: list[str] = []
    head = 0
    pending: list[Any] = []
    for first in range(0, orders, BETWEEN_EACH_OTHER):
        group = [str(uuid7()) for _ in range(min(BETWEEN_EACH_OTHER, orders - first))]
        histories = [events_of(order_id, first + number) for number, order_id in enumerate(group)]
        for first_event in range(0, EVENTS_OF_AN_ORDER, in_one_append):
            for order_id, history in zip(group, histories, strict=True):
                new = [codec.encode(event) for event in history[first_event : first_event + in_one_append]]
                pending.append(request(f"order-{order_id}", first_event - 1, new, METADATA))
        ids += group
        if len(pending) >= AT_ONCE or len(ids) == orders:
            _, head = await append_all(uri, pending)
            pending = []
    return History(ids, orders * EVENTS_OF_AN_ORDER, head)


def events_of(order_id: str, number: int) -> Sequence[order.OrderEvent]:
    """The five events of the order with this number, as the domain decides them."""
    at = NOON + timedelta(seconds=number)
    customer = commands.Customer(user_id=_customer(number), known=True, blocked=False)
    create = commands.CreateOrder(
        order_id=order_id,
        customer=customer,
        currency="EUR",
        lines=tuple(commands.NewLine(line_id=x.sku, listing=x, quantity=2) for x in LISTINGS),
        address=HOME,
        at=at,
    )
    place = commands.PlaceOrder(
        order_id=order_id, customer=customer, listings=LISTINGS, expires_at=at + timedelta(days=3), at=at
    )
    created = ORDER.decide(ORDER.initial, create)
    return (*created, *ORDER.decide(ORDER.fold(created), place))


def _customer(number: int) -> str:
    return f"0198c0de-0000-7000-8000-{number % CUSTOMERS:012d}"
