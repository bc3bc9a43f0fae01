"""The rules of parcels: packed, sent, arrived; or lost, refused, returned.

Events of a parcel outside the house are recorded in every stage of the order, also on hold and after its end.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from core.domain.order.commands import (
    CancelShipment,
    ConfirmDelivery,
    CreateShipment,
    DispatchShipment,
    ReceivedQuantity,
    ReceiveReturnedShipment,
    RecordDeliveryRefusal,
    RecordShipmentLoss,
)
from core.domain.order.events import (
    Condition,
    DeliveryRefused,
    LineQuantity,
    OrderEvent,
    ReturnedLine,
    ShipmentCancelled,
    ShipmentCreated,
    ShipmentDelivered,
    ShipmentDispatched,
    ShipmentLost,
    ShipmentReturned,
)
from core.domain.order.limits import require_capacity, require_lines, require_quantities
from core.domain.order.state import Completed, Confirmed, Shipment, ShipmentStage, Shipped, open_quantities
from core.domain.rejection import CommandRejected, Reason

Shipping = Confirmed | Completed
"""Every stage that has parcels. A completed order has nothing left to send, and repeats are still answered."""


def create_shipment(order: Shipping, command: CreateShipment) -> Sequence[OrderEvent]:
    require_quantities(command.lines)
    wanted: Counter[str] = Counter()
    for part in command.lines:
        wanted[part.line_id] += part.quantity

    existing = _find(order, command.shipment_id)
    if existing is not None:
        if not wanted or wanted == Counter({x.line_id: x.quantity for x in existing.lines}):
            return []
        raise CommandRejected(Reason.SHIPMENT_EXISTS, order_id=order.order_id, shipment_id=command.shipment_id)

    require_capacity(order.order_id, "shipments", len(order.shipments))
    left = open_quantities(order)
    if not wanted:
        wanted.update({line_id: quantity for line_id, quantity in left.items() if quantity > 0})
        if not wanted:
            raise CommandRejected(Reason.QUANTITY_EXCEEDS_OPEN, line_id="", wanted=1, open=0)
    for line_id, quantity in wanted.items():
        if line_id not in left:
            raise CommandRejected(Reason.LINE_NOT_FOUND, order_id=order.order_id, line_id=line_id)
        if quantity > left[line_id]:
            raise CommandRejected(Reason.QUANTITY_EXCEEDS_OPEN, line_id=line_id, wanted=quantity, open=left[line_id])
    require_capacity(order.order_id, "lines_of_shipments", sum(len(x.lines) for x in order.shipments), len(wanted))
    lines = tuple(LineQuantity(line_id=line_id, quantity=quantity) for line_id, quantity in wanted.items())
    return [ShipmentCreated(order_id=order.order_id, shipment_id=command.shipment_id, lines=lines, at=command.at)]


def dispatch(order: Shipping, command: DispatchShipment) -> Sequence[OrderEvent]:
    shipment = _require_shipment(order, command.shipment_id)
    if shipment.stage == ShipmentStage.CANCELLED:
        raise CommandRejected(Reason.SHIPMENT_CANCELLED, order_id=order.order_id, shipment_id=command.shipment_id)
    if shipment.stage != ShipmentStage.CREATED:
        if (shipment.carrier, shipment.tracking_number) == (command.carrier, command.tracking_number):
            return []
        raise CommandRejected(Reason.SHIPMENT_DISPATCHED, order_id=order.order_id, shipment_id=command.shipment_id)
    return [
        ShipmentDispatched(
            order_id=order.order_id,
            shipment_id=command.shipment_id,
            carrier=command.carrier,
            tracking_number=command.tracking_number,
            at=command.at,
        )
    ]


def deliver(order: Shipped, command: ConfirmDelivery) -> Sequence[OrderEvent]:
    """Also of a lost parcel whose units were sent again or cancelled: then the customer has more than was ordered."""
    shipment = _require_sent(order, command.shipment_id)
    if shipment.stage == ShipmentStage.DELIVERED:
        return []
    if shipment.stage == ShipmentStage.RETURNED:
        raise _does_not_follow(order, shipment)
    return [ShipmentDelivered(order_id=order.order_id, shipment_id=command.shipment_id, at=command.at)]


def lose(order: Shipped, command: RecordShipmentLoss) -> Sequence[OrderEvent]:
    shipment = _require_sent(order, command.shipment_id)
    if shipment.stage == ShipmentStage.LOST:
        return []
    if shipment.stage not in (ShipmentStage.DISPATCHED, ShipmentStage.REFUSED):
        raise _does_not_follow(order, shipment)
    return [
        ShipmentLost(order_id=order.order_id, shipment_id=shipment.shipment_id, reason=command.reason, at=command.at)
    ]


def refuse(order: Shipped, command: RecordDeliveryRefusal) -> Sequence[OrderEvent]:
    shipment = _require_sent(order, command.shipment_id)
    if shipment.stage in (ShipmentStage.REFUSED, ShipmentStage.RETURNED):
        return []  # a returned parcel was not delivered
    if shipment.stage != ShipmentStage.DISPATCHED:
        raise _does_not_follow(order, shipment)
    return [
        DeliveryRefused(order_id=order.order_id, shipment_id=shipment.shipment_id, reason=command.reason, at=command.at)
    ]


def take_back(order: Shipped, command: ReceiveReturnedShipment) -> Sequence[OrderEvent]:
    shipment = _require_sent(order, command.shipment_id)
    require_lines(command.lines)
    received: Counter[str] = Counter()
    for part in command.lines:
        received[part.line_id] += part.quantity
    if shipment.stage == ShipmentStage.RETURNED and _by_condition(command.lines) == _by_condition(shipment.returned):
        return []
    if shipment.stage in (ShipmentStage.DELIVERED, ShipmentStage.RETURNED):
        raise _does_not_follow(order, shipment)

    sent = {part.line_id: part.quantity for part in shipment.lines}
    for line_id, quantity in received.items():
        if quantity > sent.get(line_id, 0):
            raise CommandRejected(
                Reason.RECEIVED_EXCEEDS_SENT, line_id=line_id, received=quantity, sent=sent.get(line_id, 0)
            )
    skus = {line.line_id: line.sku for line in order.lines}
    lines = tuple(
        ReturnedLine(line_id=line_id, sku=skus[line_id], quantity=quantity, condition=condition)
        for (line_id, condition), quantity in _by_condition(command.lines).items()
    )
    return [ShipmentReturned(order_id=order.order_id, shipment_id=shipment.shipment_id, lines=lines, at=command.at)]


def cancel(order: Shipping, command: CancelShipment) -> Sequence[OrderEvent]:
    match _require_shipment(order, command.shipment_id).stage:
        case ShipmentStage.CREATED:
            return [ShipmentCancelled(order_id=order.order_id, shipment_id=command.shipment_id, at=command.at)]
        case ShipmentStage.CANCELLED:
            return []
        case _:
            raise CommandRejected(Reason.SHIPMENT_DISPATCHED, order_id=order.order_id, shipment_id=command.shipment_id)


def is_done(order: Shipping, command: CreateShipment | DispatchShipment) -> bool:
    """Whether the parcel was packed, or dispatched, already: then a repeat is answered as before."""
    shipment = _find(order, command.shipment_id)
    if isinstance(command, CreateShipment):
        return shipment is not None
    return shipment is not None and shipment.stage != ShipmentStage.CREATED


def _find(order: Shipped, shipment_id: str) -> Shipment | None:
    return next((x for x in order.shipments if x.shipment_id == shipment_id), None)


def _require_shipment(order: Shipped, shipment_id: str) -> Shipment:
    shipment = _find(order, shipment_id)
    if shipment is None:
        raise CommandRejected(Reason.SHIPMENT_NOT_FOUND, order_id=order.order_id, shipment_id=shipment_id)
    return shipment


def _require_sent(order: Shipped, shipment_id: str) -> Shipment:
    """A parcel that has left the house."""
    shipment = _require_shipment(order, shipment_id)
    if shipment.stage == ShipmentStage.CREATED:
        raise CommandRejected(Reason.SHIPMENT_NOT_DISPATCHED, order_id=order.order_id, shipment_id=shipment_id)
    if shipment.stage == ShipmentStage.CANCELLED:
        raise CommandRejected(Reason.SHIPMENT_CANCELLED, order_id=order.order_id, shipment_id=shipment_id)
    return shipment


def _by_condition(parts: Iterable[ReceivedQuantity | ReturnedLine]) -> Counter[tuple[str, Condition]]:
    quantities: Counter[tuple[str, Condition]] = Counter()
    for part in parts:
        quantities[part.line_id, part.condition] += part.quantity
    return quantities


def _does_not_follow(order: Shipped, shipment: Shipment) -> CommandRejected:
    return CommandRejected(
        Reason.SHIPMENT_STATE, order_id=order.order_id, shipment_id=shipment.shipment_id, stage=shipment.stage
    )
