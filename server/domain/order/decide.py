"""The rulebook of an order: (state, command) → events."""

from collections import Counter
from collections.abc import Sequence

from server.domain.address import require_address
from server.domain.money import LARGEST_AMOUNT, require_currency
from server.domain.order.commands import (
    AddLine,
    CancelOrder,
    ChangeLineQuantity,
    ChangeShippingAddress,
    ConfirmDelivery,
    ConfirmOrder,
    CreateOrder,
    CreateShipment,
    Customer,
    DispatchShipment,
    HoldOrder,
    Listing,
    NewLine,
    OrderCommand,
    PlaceOrder,
    ReleaseHold,
    RemoveLine,
)
from server.domain.order.events import (
    HoldReleased,
    LineAdded,
    LineQuantity,
    LineQuantityChanged,
    LineRemoved,
    OrderCancelled,
    OrderConfirmed,
    OrderCreated,
    OrderEvent,
    OrderHeld,
    OrderPlaced,
    ShipmentCreated,
    ShipmentDelivered,
    ShipmentDispatched,
    ShippingAddressChanged,
)
from server.domain.order.state import (
    Cancelled,
    Confirmed,
    Draft,
    NoOrder,
    Order,
    Placed,
    Shipment,
    ShipmentStage,
    open_quantities,
    order_total,
    units,
)
from server.domain.rejection import Reason, Rejected

MOST_LINES = 200
MOST_UNITS = 9_999


def decide(state: Order, command: OrderCommand) -> Sequence[OrderEvent]:  # noqa: C901, PLR0912  # the rulebook: a row a rule
    match state, command:
        case NoOrder(), CreateOrder():
            return _create(command)
        case _, CreateOrder():
            raise Rejected(Reason.ORDER_EXISTS, order_id=command.order_id)
        case NoOrder(), _:
            raise Rejected(Reason.ORDER_NOT_FOUND, order_id=command.order_id)

        case Draft(), AddLine():
            return _add_line(state, command)
        case Draft(), ChangeLineQuantity():
            return _change_quantity(state, command)
        case Draft(), RemoveLine():
            known = any(line.line_id == command.line_id for line in state.lines)
            return [LineRemoved(order_id=state.order_id, line_id=command.line_id, at=command.at)] if known else []
        case _, (AddLine() | ChangeLineQuantity() | RemoveLine()):
            raise Rejected(Reason.ORDER_NOT_EDITABLE, order_id=command.order_id, status=status(state))

        case ((Draft() | Placed() | Confirmed()), ChangeShippingAddress()):
            return _change_address(state, command)

        case Draft(), PlaceOrder():
            return _place(state, command)
        case ((Placed() | Confirmed()), PlaceOrder()):
            return []

        case ((Placed() | Confirmed()), HoldOrder()):
            held = OrderHeld(order_id=state.order_id, reason=command.reason, at=command.at)
            return [] if state.held else [held]
        case ((Placed() | Confirmed()), ReleaseHold()):
            return [HoldReleased(order_id=state.order_id, at=command.at)] if state.held else []
        case Placed(held=True), ConfirmOrder():
            raise Rejected(Reason.ORDER_ON_HOLD, order_id=state.order_id)
        case Confirmed(held=True), (CreateShipment() | DispatchShipment()) if not _is_done(state, command):
            raise Rejected(Reason.ORDER_ON_HOLD, order_id=state.order_id)

        case Placed(), ConfirmOrder():
            return [OrderConfirmed(order_id=state.order_id, at=command.at)]
        case Confirmed(), ConfirmOrder():
            return []

        case Confirmed(), CancelOrder() if state.shipments:
            raise Rejected(Reason.CANCEL_HAS_SHIPMENTS, order_id=state.order_id, shipments=len(state.shipments))
        case ((Draft() | Placed() | Confirmed()), CancelOrder()):
            return _cancel(state, command)
        case Cancelled(), CancelOrder():
            return []

        case Confirmed(), CreateShipment():
            return _create_shipment(state, command)
        case Confirmed(), DispatchShipment():
            return _dispatch(state, command)
        case Confirmed(), ConfirmDelivery():
            return _deliver(state, command)
        case _:
            raise Rejected(
                Reason.ORDER_STATE, order_id=command.order_id, status=status(state), command=type(command).__name__
            )


def status(state: Order) -> str:
    """The stage's name as clients know it."""
    return type(state).__name__.upper()


# ------------------------------------------------------------------ editing


def _create(command: CreateOrder) -> Sequence[OrderEvent]:
    require_currency(command.currency)
    require_line_count(command.order_id, len(command.lines))
    for line in command.lines:
        _require_quantity(line.quantity)
    _require_customer(command.customer)
    draft = Draft(order_id=command.order_id, customer_id=command.customer.user_id, currency=command.currency)
    events: list[OrderEvent] = [
        OrderCreated(
            order_id=command.order_id, customer_id=command.customer.user_id, currency=command.currency, at=command.at
        )
    ]
    twice = [line_id for line_id, n in Counter(line.line_id for line in command.lines).items() if n > 1]
    if twice:
        raise Rejected(Reason.LINE_EXISTS, order_id=command.order_id, line_id=twice[0])
    events.extend(_line_added(draft, line, command) for line in command.lines)
    if command.address is not None:
        require_address(command.address)
        events.append(ShippingAddressChanged(order_id=command.order_id, address=command.address, at=command.at))
    return events


def _add_line(draft: Draft, command: AddLine) -> Sequence[OrderEvent]:
    new = command.line
    for line in draft.lines:
        if line.line_id == new.line_id:
            if (line.sku, line.quantity) == (new.listing.sku, new.quantity):
                return []
            raise Rejected(Reason.LINE_EXISTS, order_id=draft.order_id, line_id=new.line_id)
    require_line_count(draft.order_id, len(draft.lines) + 1)
    return [_line_added(draft, new, command)]


def _line_added(draft: Draft, line: NewLine, command: CreateOrder | AddLine) -> LineAdded:
    _require_quantity(line.quantity)
    listing = line.listing
    if listing.price is None or not listing.sellable:
        raise Rejected(Reason.PRODUCT_NOT_SELLABLE, sku=listing.sku)
    if listing.price.currency != draft.currency:
        raise Rejected(
            Reason.CURRENCY_MISMATCH,
            sku=listing.sku,
            order_currency=draft.currency,
            product_currency=listing.price.currency,
        )
    return LineAdded(
        order_id=draft.order_id,
        line_id=line.line_id,
        sku=listing.sku,
        name=listing.name,
        quantity=line.quantity,
        unit_price=listing.price,
        at=command.at,
    )


def _change_quantity(draft: Draft, command: ChangeLineQuantity) -> Sequence[OrderEvent]:
    _require_quantity(command.quantity)
    for line in draft.lines:
        if line.line_id == command.line_id:
            if line.quantity == command.quantity:
                return []
            return [
                LineQuantityChanged(
                    order_id=draft.order_id, line_id=line.line_id, quantity=command.quantity, at=command.at
                )
            ]
    raise Rejected(Reason.LINE_NOT_FOUND, order_id=draft.order_id, line_id=command.line_id)


def _change_address(order: Draft | Placed | Confirmed, command: ChangeShippingAddress) -> Sequence[OrderEvent]:
    require_address(command.address)
    if order.address == command.address:
        return []
    if isinstance(order, Confirmed) and any(x.stage != ShipmentStage.CREATED for x in order.shipments):
        raise Rejected(Reason.ALREADY_SHIPPED, order_id=order.order_id)
    return [ShippingAddressChanged(order_id=order.order_id, address=command.address, at=command.at)]


# ------------------------------------------------------------------ placing and calling off


def _place(draft: Draft, command: PlaceOrder) -> Sequence[OrderEvent]:
    if not draft.lines:
        raise Rejected(Reason.ORDER_EMPTY, order_id=draft.order_id)
    if draft.address is None:
        raise Rejected(Reason.ADDRESS_MISSING, order_id=draft.order_id)
    _require_unchanged_prices(draft, {listing.sku: listing for listing in command.listings})
    total = order_total(draft.lines, draft.currency)
    if total.amount_minor > LARGEST_AMOUNT:
        raise Rejected(Reason.TOTAL_TOO_LARGE, order_id=draft.order_id)
    return [
        OrderPlaced(
            order_id=draft.order_id,
            customer_id=draft.customer_id,
            lines=draft.lines,
            total=total,
            address=draft.address,
            expires_at=command.expires_at,
            at=command.at,
        )
    ]


def _require_unchanged_prices(draft: Draft, listings: dict[str, Listing]) -> None:
    for line in draft.lines:
        listing = listings.get(line.sku)
        if listing is None or listing.price is None or not listing.sellable:
            raise Rejected(Reason.PRODUCT_NOT_SELLABLE, sku=line.sku)
        if listing.price != line.unit_price:
            raise Rejected(
                Reason.PRICE_CHANGED,
                sku=line.sku,
                order_price_minor=line.unit_price.amount_minor,
                current_price_minor=listing.price.amount_minor,
            )


def _cancel(order: Draft | Placed | Confirmed, command: CancelOrder) -> Sequence[OrderEvent]:
    return [
        OrderCancelled(
            order_id=order.order_id,
            customer_id=order.customer_id,
            reason=command.reason,
            total=order_total(order.lines, order.currency),
            placed_at=None if isinstance(order, Draft) else order.placed_at,
            units=units(order.lines),
            at=command.at,
        )
    ]


# ------------------------------------------------------------------ shipping


def _create_shipment(order: Confirmed, command: CreateShipment) -> Sequence[OrderEvent]:
    wanted: Counter[str] = Counter()
    for part in command.lines:
        _require_quantity(part.quantity)
        wanted[part.line_id] += part.quantity

    existing = _find(order, command.shipment_id)
    if existing is not None:
        if not wanted or wanted == Counter({x.line_id: x.quantity for x in existing.lines}):
            return []
        raise Rejected(Reason.SHIPMENT_EXISTS, order_id=order.order_id, shipment_id=command.shipment_id)

    left = open_quantities(order)
    if not wanted:
        wanted.update({line_id: quantity for line_id, quantity in left.items() if quantity > 0})
        if not wanted:
            raise Rejected(Reason.QUANTITY_EXCEEDS_OPEN, line_id="", wanted=1, open=0)
    for line_id, quantity in wanted.items():
        if line_id not in left:
            raise Rejected(Reason.LINE_NOT_FOUND, order_id=order.order_id, line_id=line_id)
        if quantity > left[line_id]:
            raise Rejected(Reason.QUANTITY_EXCEEDS_OPEN, line_id=line_id, wanted=quantity, open=left[line_id])
    lines = tuple(LineQuantity(line_id=line_id, quantity=quantity) for line_id, quantity in wanted.items())
    return [ShipmentCreated(order_id=order.order_id, shipment_id=command.shipment_id, lines=lines, at=command.at)]


def _dispatch(order: Confirmed, command: DispatchShipment) -> Sequence[OrderEvent]:
    shipment = _require_shipment(order, command.shipment_id)
    if shipment.stage != ShipmentStage.CREATED:
        if (shipment.carrier, shipment.tracking_number) == (command.carrier, command.tracking_number):
            return []
        raise Rejected(Reason.SHIPMENT_DISPATCHED, order_id=order.order_id, shipment_id=command.shipment_id)
    return [
        ShipmentDispatched(
            order_id=order.order_id,
            shipment_id=command.shipment_id,
            carrier=command.carrier,
            tracking_number=command.tracking_number,
            at=command.at,
        )
    ]


def _deliver(order: Confirmed, command: ConfirmDelivery) -> Sequence[OrderEvent]:
    match _require_shipment(order, command.shipment_id).stage:
        case ShipmentStage.CREATED:
            raise Rejected(Reason.SHIPMENT_NOT_DISPATCHED, order_id=order.order_id, shipment_id=command.shipment_id)
        case ShipmentStage.DISPATCHED:
            return [ShipmentDelivered(order_id=order.order_id, shipment_id=command.shipment_id, at=command.at)]
        case ShipmentStage.DELIVERED:
            return []


def _is_done(order: Confirmed, command: CreateShipment | DispatchShipment) -> bool:
    """Whether that parcel is there already, or on its way: then a repeat is answered as ever."""
    shipment = _find(order, command.shipment_id)
    if isinstance(command, CreateShipment):
        return shipment is not None
    return shipment is not None and shipment.stage != ShipmentStage.CREATED


def _find(order: Confirmed, shipment_id: str) -> Shipment | None:
    return next((x for x in order.shipments if x.shipment_id == shipment_id), None)


def _require_shipment(order: Confirmed, shipment_id: str) -> Shipment:
    shipment = _find(order, shipment_id)
    if shipment is None:
        raise Rejected(Reason.SHIPMENT_NOT_FOUND, order_id=order.order_id, shipment_id=shipment_id)
    return shipment


# ------------------------------------------------------------------ rules on single values


def require_line_count(order_id: str, lines: int) -> None:
    if lines > MOST_LINES:
        raise Rejected(Reason.TOO_MANY_LINES, order_id=order_id, lines=lines)


def _require_customer(customer: Customer) -> None:
    if not customer.known:
        raise Rejected(Reason.USER_NOT_FOUND, user_id=customer.user_id)
    if customer.blocked:
        raise Rejected(Reason.USER_BLOCKED, user_id=customer.user_id)


def _require_quantity(quantity: int) -> None:
    if not 1 <= quantity <= MOST_UNITS:
        raise Rejected(Reason.QUANTITY_INVALID, quantity=quantity)
