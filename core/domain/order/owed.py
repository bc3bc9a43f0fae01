"""What an order owes its customer: computed from money that was captured and refunded, never from ids.

A refund that failed has paid nothing. Nothing more is owed than was captured and is neither refunded nor about to be.
"""

from collections import Counter
from collections.abc import Iterable

from core.domain.money import prorate
from core.domain.order.events import LineQuantity, OrderLine
from core.domain.order.ledger import Ledger, RefundStage
from core.domain.order.state import (
    ENDED_UNDELIVERED,
    Completed,
    Confirmed,
    Return,
    ReturnStage,
    Shipment,
    kept_quantities,
    left_shipments,
    net_minor,
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
    """What all costs that is with the customer or on its way; 0 if nothing is."""
    parcels = [x for x in left_shipments(order) if x.stage not in ENDED_UNDELIVERED]
    return cost_of(order, parcels) if parcels else 0


def cost_of(order: Sold, parcels: Iterable[Shipment]) -> int:
    """What the units of some parcels cost together, none of them twice; with it what of the total is not for goods."""
    cost = Cost(order)
    for parcel in parcels:
        cost.add(parcel.lines)
    return cost.minor


class Cost:
    """What some units of an order cost together, none of them twice. What is not for goods is part of it.

    `minor` is in the order's currency.
    """

    def __init__(self, order: Sold) -> None:
        self._lines, self._kept = {line.line_id: line for line in order.lines}, kept_quantities(order)
        self._units: Counter[str] = Counter()
        self.minor = beside_goods(order)

    def of_more(self, parts: Iterable[LineQuantity]) -> int:
        """What would be added to it."""
        return sum(self._of_part(part) for part in parts)

    def add(self, parts: Iterable[LineQuantity]) -> None:
        for part in parts:
            self.minor += self._of_part(part)
            self._units[part.line_id] += part.quantity

    def _of_part(self, part: LineQuantity) -> int:
        line, before, most = self._lines[part.line_id], self._units[part.line_id], self._kept[part.line_id]
        after = before + part.quantity
        return first_units(line, min(after, most)) - first_units(line, min(before, most))


def first_units(line: OrderLine, count: int) -> int:
    """What so many units of a line cost.

    They are counted from its beginning, so that all of them together cost what the line does.
    """
    return prorate(net_minor(line), line.quantity, 0, count)


def beside_goods(order: Sold) -> int:
    """What of the total is not for goods."""
    kept = kept_quantities(order)
    return order.total.amount_minor - sum(first_units(line, kept[line.line_id]) for line in order.lines)


def _worth(back: Return) -> int:
    return sum(part.amount.amount_minor for part in back.received)


def _by_purpose(ledger: Ledger) -> Counter[str]:
    """What was refunded, or asked to be, by the return that it is for."""
    paid: Counter[str] = Counter()
    for refund in ledger.refunds:
        if refund.stage != RefundStage.FAILED:
            paid[refund.pays] += refund.amount_minor
    return paid
