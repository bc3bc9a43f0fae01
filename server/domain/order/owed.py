"""What an order owes its customer: computed from money that was captured and refunded, never from ids.

A refund that failed has paid nothing. Nothing more is owed than was captured and is neither refunded nor about to be.
"""

from collections import Counter

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
    ledger = order.payments
    paid = _by_purpose(ledger)
    received = {x.return_id: _worth(x) for x in order.returns if x.stage == ReturnStage.RECEIVED}
    lacking = {return_id: max(0, worth - paid[return_id]) for return_id, worth in received.items()}
    overpaid = ledger.captured - sent(order) + sum(lacking.values())
    left = max(0, min(refundable(ledger), overpaid))
    owed = {}
    for return_id, minor in lacking.items():
        owed[return_id] = min(left, minor)
        left -= owed[return_id]
    return owed


def surplus(order: Sold) -> int:
    """What was captured beyond what the order costs, less what was refunded for other reasons than a return."""
    ledger = order.payments
    returns = {x.return_id for x in order.returns}
    others = sum(minor for return_id, minor in _by_purpose(ledger).items() if return_id not in returns)
    left = refundable(ledger) - sum(for_returns(order).values())
    return max(0, min(left, ledger.captured - order.total.amount_minor - others))


def in_all(order: Sold) -> int:
    return sum(for_returns(order).values()) + surplus(order)


def sent(order: Sold) -> int:
    """What all costs that has left the house; the price of shipping is part of it from the first parcel on."""
    gone: Counter[str] = Counter()
    for shipment in order.shipments:
        if shipment.stage in (ShipmentStage.DISPATCHED, ShipmentStage.DELIVERED):
            for part in shipment.lines:
                gone[part.line_id] += part.quantity
    if not gone:
        return 0
    return beside_goods(order) + sum(first_units(line, gone[line.line_id]) for line in order.lines)


def first_units(line: OrderLine, count: int) -> int:
    """What so many units of a line cost.

    They are counted from its beginning, so that all of them together cost what the line does.
    """
    return of_units(net_of(line), line.quantity, 0, count)


def beside_goods(order: Sold) -> int:
    """What of the total is not for goods."""
    off = cancelled_quantities(order)
    return order.total.amount_minor - sum(first_units(line, line.quantity - off[line.line_id]) for line in order.lines)


def _worth(back: Return) -> int:
    return sum(part.amount.amount_minor for part in back.received)


def _by_purpose(ledger: Ledger) -> Counter[str]:
    """What was refunded, or asked to be, by the return that it is for."""
    paid: Counter[str] = Counter()
    for refund in ledger.refunds:
        if refund.stage != RefundStage.FAILED:
            paid[refund.pays] += refund.amount_minor
    return paid
