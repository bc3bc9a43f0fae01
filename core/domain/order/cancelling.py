"""The rules of cancellation: of an order, or of a part of it."""

from collections.abc import Sequence

from core.domain.money import MAX_AMOUNT, Money, prorate
from core.domain.order.commands import CancelLineQuantity, CancelOrder
from core.domain.order.events import LineQuantityCancelled, OrderCancelled, OrderEvent
from core.domain.order.limits import require_capacity, require_quantity
from core.domain.order.state import (
    Committed,
    Confirmed,
    Draft,
    Placed,
    cancelled_quantities,
    draft_total,
    live_shipments,
    net_minor,
    open_quantities,
    remaining_units,
    units,
)
from core.domain.rejection import CommandRejected, Reason


def cancel(order: Draft | Placed | Confirmed, command: CancelOrder) -> Sequence[OrderEvent]:
    if isinstance(order, Draft):
        # a draft may be worth more than can be placed, or stored
        worth = min(draft_total(order).amount_minor, MAX_AMOUNT)
        return [
            OrderCancelled(
                order_id=order.order_id,
                customer_id=order.customer_id,
                reason=command.reason,
                total=Money(amount_minor=worth, currency=order.currency),
                placed_at=None,
                units=units(order.lines),
                at=command.at,
            )
        ]
    shipments = len(live_shipments(order))
    if shipments:
        raise CommandRejected(Reason.CANCEL_HAS_SHIPMENTS, order_id=order.order_id, shipments=shipments)
    return [_cancelled(order, command, units=remaining_units(order), total=order.total)]


def cancel_quantity(order: Committed, command: CancelLineQuantity) -> Sequence[OrderEvent]:
    require_quantity(command.quantity)
    for known in order.cancellations:
        if known.cancellation_id == command.cancellation_id:
            if (known.line_id, known.quantity) == (command.line_id, command.quantity):
                return []
            raise CommandRejected(
                Reason.CANCELLATION_EXISTS, order_id=order.order_id, cancellation_id=command.cancellation_id
            )
    require_capacity(order.order_id, "cancellations", len(order.cancellations))
    line = next((x for x in order.lines if x.line_id == command.line_id), None)
    if line is None:
        raise CommandRejected(Reason.LINE_NOT_FOUND, order_id=order.order_id, line_id=command.line_id)
    still_open = open_quantities(order)[command.line_id]
    if command.quantity > still_open:
        raise CommandRejected(
            Reason.QUANTITY_EXCEEDS_OPEN, line_id=command.line_id, wanted=command.quantity, open=still_open
        )
    # the last units are cancelled first: returns are counted from the other end, so no unit is refunded twice
    first = line.quantity - cancelled_quantities(order)[line.line_id] - command.quantity
    worth = prorate(net_minor(line), line.quantity, first, command.quantity)
    off = LineQuantityCancelled(
        order_id=order.order_id,
        customer_id=order.customer_id,
        cancellation_id=command.cancellation_id,
        line_id=line.line_id,
        quantity=command.quantity,
        amount=Money(amount_minor=worth, currency=order.currency),
        reason=command.reason,
        placed_at=order.placed_at,
        at=command.at,
    )
    if command.quantity < remaining_units(order):
        return [off]
    rest = Money(amount_minor=order.total.amount_minor - worth, currency=order.currency)
    return [off, _cancelled(order, command, units=0, total=rest)]


def _cancelled(
    order: Committed, command: CancelOrder | CancelLineQuantity, *, units: int, total: Money
) -> OrderCancelled:
    return OrderCancelled(
        order_id=order.order_id,
        customer_id=order.customer_id,
        reason=command.reason,
        total=total,
        placed_at=order.placed_at,
        units=units,
        at=command.at,
    )
