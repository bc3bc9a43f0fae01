"""What an order owes its customer: computed from money that was captured and refunded, never from ids.

A refund that failed has paid nothing. Nothing more is owed than was captured and is neither refunded nor about to be.
"""

from collections import Counter
from collections.abc import Mapping

from server.domain.money import of_units
from server.domain.order.events import OrderLine
from server.domain.order.ledger import Ledger, RefundStage
from server.domain.order.state import (
    Completed,
    Confirmed,
    Return,
    ReturnStage,
    ShipmentStage,
    cancelled_quantities,
    net_of,
)

Sold = Confirmed | Completed


def refundable(ledger: Ledger) -> int:
    """What was captured and is neither refunded nor asked to be. It is what an ended order owes."""
    return ledger.captured - ledger.refunded - ledger.refunding


def for_returns(order: Sold) -> dict[str, int]:
    """return_id → what is owed for it; only received returns, the first requested first.

    What came back before it was paid for is not owed: the customer has paid for no more than was kept.
    """
    received = [x for x in order.returns if x.stage == ReturnStage.RECEIVED]
    lacking = {x.return_id: max(0, _worth(x) - _paid(order, x)) for x in received}
    overpaid = order.payments.captured - sent(order) + sum(lacking.values())
    left = max(0, min(refundable(order.payments), overpaid))
    owed = {}
    for return_id, minor in lacking.items():
        owed[return_id] = min(left, minor)
        left -= owed[return_id]
    return owed


def surplus(order: Sold) -> int:
    """What was captured beyond what the order costs, less what was refunded for other reasons than a return."""
    ledger = order.payments
    others = sum(
        x.amount_minor
        for x in ledger.refunds
        if x.stage != RefundStage.FAILED and not any(x.pays(back.return_id) for back in order.returns)
    )
    left = refundable(ledger) - sum(for_returns(order).values())
    return max(0, min(left, ledger.captured - order.total.amount_minor - others))


def cost_of(order: Sold, gone: Mapping[str, int]) -> int:
    """What so many units of each line cost, line_id → units, and what is not for goods.

    The units of a line are counted from its beginning, so that all of them together cost what the line does.
    """
    off = cancelled_quantities(order)
    goods = sum(_first_units(line, gone.get(line.line_id, 0)) for line in order.lines)
    kept = sum(_first_units(line, line.quantity - off[line.line_id]) for line in order.lines)
    return goods + order.total.amount_minor - kept


def sent(order: Sold) -> int:
    """What all costs that has left the house; the price of shipping is part of it from the first parcel on."""
    gone: Counter[str] = Counter()
    for shipment in order.shipments:
        if shipment.stage in (ShipmentStage.DISPATCHED, ShipmentStage.DELIVERED):
            for part in shipment.lines:
                gone[part.line_id] += part.quantity
    return cost_of(order, gone) if gone else 0


def in_all(order: Sold) -> int:
    return sum(for_returns(order).values()) + surplus(order)


def _first_units(line: OrderLine, count: int) -> int:
    return of_units(net_of(line), line.quantity, 0, count)


def _worth(back: Return) -> int:
    return sum(part.amount.amount_minor for part in back.received)


def _paid(order: Sold, back: Return) -> int:
    """Refunded for it, or asked to be."""
    ledger = order.payments
    return sum(x.amount_minor for x in ledger.refunds if x.pays(back.return_id) and x.stage != RefundStage.FAILED)
