"""The rules of parcels: packed, sent, arrived."""

from collections import Counter
from collections.abc import Sequence

from server.domain.order.commands import CancelShipment, ConfirmDelivery, CreateShipment, DispatchShipment
from server.domain.order.events import (
    LineQuantity,
    OrderEvent,
    ShipmentCancelled,
    ShipmentCreated,
    ShipmentDelivered,
    ShipmentDispatched,
)
from server.domain.order.limits import require_quantity, require_room
from server.domain.order.state import Completed, Confirmed, Shipment, ShipmentStage, open_quantities
from server.domain.rejection import Reason, Rejected

Shipping = Confirmed | Completed
"""Every stage that has parcels. A completed order has nothing left to send, and repeats are still answered."""


def create_shipment(order: Shipping, command: CreateShipment) -> Sequence[OrderEvent]:
    wanted: Counter[str] = Counter()
    for part in command.lines:
        require_quantity(part.quantity)
        wanted[part.line_id] += part.quantity

    existing = _find(order, command.shipment_id)
    if existing is not None:
        if not wanted or wanted == Counter({x.line_id: x.quantity for x in existing.lines}):
            return []
        raise Rejected(Reason.SHIPMENT_EXISTS, order_id=order.order_id, shipment_id=command.shipment_id)

    require_room(order.order_id, "shipments", len(order.shipments))
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


def dispatch(order: Shipping, command: DispatchShipment) -> Sequence[OrderEvent]:
    shipment = _require_shipment(order, command.shipment_id)
    if shipment.stage == ShipmentStage.CANCELLED:
        raise Rejected(Reason.SHIPMENT_CANCELLED, order_id=order.order_id, shipment_id=command.shipment_id)
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


def deliver(order: Shipping, command: ConfirmDelivery) -> Sequence[OrderEvent]:
    match _require_shipment(order, command.shipment_id).stage:
        case ShipmentStage.CREATED:
            raise Rejected(Reason.SHIPMENT_NOT_DISPATCHED, order_id=order.order_id, shipment_id=command.shipment_id)
        case ShipmentStage.DISPATCHED:
            return [ShipmentDelivered(order_id=order.order_id, shipment_id=command.shipment_id, at=command.at)]
        case ShipmentStage.DELIVERED:
            return []
        case ShipmentStage.CANCELLED:
            raise Rejected(Reason.SHIPMENT_CANCELLED, order_id=order.order_id, shipment_id=command.shipment_id)


def cancel(order: Shipping, command: CancelShipment) -> Sequence[OrderEvent]:
    match _require_shipment(order, command.shipment_id).stage:
        case ShipmentStage.CREATED:
            return [ShipmentCancelled(order_id=order.order_id, shipment_id=command.shipment_id, at=command.at)]
        case ShipmentStage.CANCELLED:
            return []
        case ShipmentStage.DISPATCHED | ShipmentStage.DELIVERED:
            raise Rejected(Reason.SHIPMENT_DISPATCHED, order_id=order.order_id, shipment_id=command.shipment_id)


def is_done(order: Shipping, command: CreateShipment | DispatchShipment) -> bool:
    """Whether that parcel is there already, or on its way: then a repeat is answered as ever."""
    shipment = _find(order, command.shipment_id)
    if isinstance(command, CreateShipment):
        return shipment is not None
    return shipment is not None and shipment.stage != ShipmentStage.CREATED


def _find(order: Shipping, shipment_id: str) -> Shipment | None:
    return next((x for x in order.shipments if x.shipment_id == shipment_id), None)


def _require_shipment(order: Shipping, shipment_id: str) -> Shipment:
    shipment = _find(order, shipment_id)
    if shipment is None:
        raise Rejected(Reason.SHIPMENT_NOT_FOUND, order_id=order.order_id, shipment_id=shipment_id)
    return shipment
