"""The rules of a draft: its lines and its address."""

from collections import Counter
from collections.abc import Sequence

from core.domain.address import require_address
from core.domain.money import require_currency
from core.domain.order.commands import (
    AddLine,
    ChangeLineQuantity,
    ChangeShippingAddress,
    CreateOrder,
    NewLine,
    RefreshPrices,
    RemoveLine,
)
from core.domain.order.customers import require_customer, require_not_blocked
from core.domain.order.events import (
    LineAdded,
    LineQuantityChanged,
    LineRemoved,
    LineRepriced,
    OrderCreated,
    OrderEvent,
    ShippingAddressChanged,
)
from core.domain.order.limits import require_line_count, require_quantities, require_quantity
from core.domain.order.listings import current_prices, price_in
from core.domain.order.state import Confirmed, Draft, Placed, ShipmentStage, live_shipments
from core.domain.rejection import CommandRejected, Reason


def create(command: CreateOrder) -> Sequence[OrderEvent]:
    require_currency(command.currency)
    require_line_count(command.order_id, len(command.lines))
    require_quantities(command.lines)
    require_customer(command.customer)
    draft = Draft(order_id=command.order_id, customer_id=command.customer.user_id, currency=command.currency)
    events: list[OrderEvent] = [
        OrderCreated(
            order_id=command.order_id, customer_id=command.customer.user_id, currency=command.currency, at=command.at
        )
    ]
    twice = [line_id for line_id, n in Counter(line.line_id for line in command.lines).items() if n > 1]
    if twice:
        raise CommandRejected(Reason.LINE_EXISTS, order_id=command.order_id, line_id=twice[0])
    events.extend(_line_added(draft, line, command) for line in command.lines)
    if command.address is not None:
        require_address(command.address, "shipping_address")
        events.append(ShippingAddressChanged(order_id=command.order_id, address=command.address, at=command.at))
    return events


def add_line(draft: Draft, command: AddLine) -> Sequence[OrderEvent]:
    new = command.line
    for line in draft.lines:
        if line.line_id == new.line_id:
            if (line.sku, line.quantity) == (new.listing.sku, new.quantity):
                return []
            raise CommandRejected(Reason.LINE_EXISTS, order_id=draft.order_id, line_id=new.line_id)
    require_not_blocked(command.customer)
    require_line_count(draft.order_id, len(draft.lines) + 1)
    require_quantity(new.quantity, "line.quantity")
    return [_line_added(draft, new, command)]


def _line_added(draft: Draft, line: NewLine, command: CreateOrder | AddLine) -> LineAdded:
    listing = line.listing
    return LineAdded(
        order_id=draft.order_id,
        line_id=line.line_id,
        sku=listing.sku,
        name=listing.name,
        quantity=line.quantity,
        unit_price=price_in(draft.currency, listing),
        at=command.at,
    )


def refresh_prices(draft: Draft, command: RefreshPrices) -> Sequence[OrderEvent]:
    prices = current_prices(draft, command.listings)
    return [
        LineRepriced(
            order_id=draft.order_id,
            line_id=line.line_id,
            unit_price=prices[line.line_id],
            previous=line.unit_price,
            at=command.at,
        )
        for line in draft.lines
        if prices[line.line_id] != line.unit_price
    ]


def change_quantity(draft: Draft, command: ChangeLineQuantity) -> Sequence[OrderEvent]:
    require_quantity(command.quantity)
    for line in draft.lines:
        if line.line_id == command.line_id:
            if line.quantity == command.quantity:
                return []
            require_not_blocked(command.customer)
            return [
                LineQuantityChanged(
                    order_id=draft.order_id, line_id=line.line_id, quantity=command.quantity, at=command.at
                )
            ]
    raise CommandRejected(Reason.LINE_NOT_FOUND, order_id=draft.order_id, line_id=command.line_id)


def change_address(order: Draft | Placed | Confirmed, command: ChangeShippingAddress) -> Sequence[OrderEvent]:
    require_address(command.address, "shipping_address")
    if order.address == command.address:
        return []
    if isinstance(order, Confirmed) and any(x.stage != ShipmentStage.CREATED for x in live_shipments(order)):
        raise CommandRejected(Reason.ALREADY_SHIPPED, order_id=order.order_id)
    return [ShippingAddressChanged(order_id=order.order_id, address=command.address, at=command.at)]


def remove_line(draft: Draft, command: RemoveLine) -> Sequence[OrderEvent]:
    known = any(line.line_id == command.line_id for line in draft.lines)
    return [LineRemoved(order_id=draft.order_id, line_id=command.line_id, at=command.at)] if known else []
