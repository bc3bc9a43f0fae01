"""The debt of an order to its customer: computed from captured and refunded money, never from ids. And what the
customer has beyond the order.

A failed refund has paid nothing. Nothing more is owed than was captured and is neither refunded nor about to be.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

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
    Shipped,
    excess_quantities,
    kept_quantities,
    left_shipments,
    net_minor,
)

Sold = Confirmed | Completed


def refundable(ledger: Ledger) -> int:
    """The captured money that is neither refunded nor requested as a refund. An ended order owes it."""
    return ledger.captured - ledger.refunded - ledger.refunding


def for_returns(order: Sold) -> dict[str, int]:
    """return_id → the debt for it; only received returns, the first requested first.

    Units that were returned before they were paid are not owed: the customer has paid only for kept units.
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
    """The captured money beyond the cost of the order, less refunds for other reasons than a return."""
    ledger = order.payments
    returns = {x.return_id for x in order.returns}
    others = sum(minor for return_id, minor in _by_purpose(ledger).items() if return_id not in returns)
    left = refundable(ledger) - sum(for_returns(order).values())
    return max(0, min(left, ledger.captured - order.total.amount_minor - others))


def in_all(order: Sold) -> int:
    return sum(for_returns(order).values()) + surplus(order)


def sent(order: Sold) -> int:
    """The cost of everything that is with the customer or on its way; 0 if nothing is."""
    parcels = [x for x in left_shipments(order) if x.stage not in ENDED_UNDELIVERED]
    return cost_of(order, parcels) if parcels else 0


def cost_of(order: Sold, parcels: Iterable[Shipment]) -> int:
    """The cost of the units of some parcels together, none of them twice, with the costs other than goods."""
    cost = Cost(order)
    for parcel in parcels:
        cost.add(parcel.lines)
    return cost.minor


class Cost:
    """The cost of some units of an order together, none of them twice, with the costs other than goods.

    `minor` is in the order's currency.
    """

    def __init__(self, order: Sold) -> None:
        self._lines, self._kept = {line.line_id: line for line in order.lines}, kept_quantities(order)
        self._units: Counter[str] = Counter()
        self.minor = beside_goods(order)

    def of_more(self, parts: Iterable[LineQuantity]) -> int:
        """The amount that they would add."""
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
    """The cost of so many units of a line.

    Units are counted from the beginning of the line, so that all of them together cost as much as the line.
    """
    return prorate(net_minor(line), line.quantity, 0, count)


@dataclass(frozen=True, slots=True)
class Excess:
    """What the customer has of a line beyond the order, and what it would cost as a part of the order."""

    line_id: str
    sku: str
    quantity: int
    amount_minor: int


def excess_goods(order: Shipped) -> list[Excess]:
    """Neither paid for nor claimed: a lost parcel arrived after its units were sent again or cancelled."""
    beyond = excess_quantities(order)
    return [
        Excess(line.line_id, line.sku, units, _cost_of_any(line, units))
        for line in order.lines
        if (units := beyond[line.line_id])
    ]


def _cost_of_any(line: OrderLine, units: int) -> int:
    """Also of more units than the line has: several parcels with the same ones may have arrived."""
    times, rest = divmod(units, line.quantity)
    return times * net_minor(line) + first_units(line, rest)


def beside_goods(order: Sold) -> int:
    """The part of the total that is not for goods."""
    kept = kept_quantities(order)
    return order.total.amount_minor - sum(first_units(line, kept[line.line_id]) for line in order.lines)


def _worth(back: Return) -> int:
    return sum(part.amount.amount_minor for part in back.received)


def _by_purpose(ledger: Ledger) -> Counter[str]:
    """The refunded or requested amounts, by the return that they are for."""
    paid: Counter[str] = Counter()
    for refund in ledger.refunds:
        if refund.stage != RefundStage.FAILED:
            paid[refund.pays] += refund.amount_minor
    return paid
