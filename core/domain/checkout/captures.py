"""The captures for dispatched parcels: computed from money, whatever the ids of the captures are.

A capture that has the id of a parcel, also with a number, is for that parcel. Captures under other ids, and the surplus
of a parcel's capture, pay for the parcels that are not paid yet, one after the other.
"""

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass

from core.domain.checkout.numbering import first_unused, name_of
from core.domain.checkout.state import Running, StepName
from core.domain.checkout.steps import AUTHORISATION, CapturePayment
from core.domain.money import Money
from core.domain.order import owed
from core.domain.order.ledger import Capture, Ledger
from core.domain.order.state import ENDED_UNDELIVERED, Cancelled, Completed, Confirmed, Shipment, left_shipments


@dataclass(frozen=True, slots=True)
class Bill:
    """The cost of a parcel and the part that is not drawn, in minor units; `waived`: an operator marked it as paid."""

    shipment_id: str
    lacking: int
    waived: bool


def next_capture(order: Confirmed | Completed, checkout: Running) -> CapturePayment | None:
    """For the first parcel that is not paid completely."""
    due = next((x for x in bills(order, checkout) if x.lacking and not x.waived), None)
    if due is None:
        return None
    ledger = order.payments
    authorisation_id, minor = _source(ledger, due.lacking)
    capture_id = first_unused(due.shipment_id, {x.capture_id for x in ledger.captures})
    return CapturePayment(
        subject=due.shipment_id,
        authorisation_id=authorisation_id,
        amount=Money(amount_minor=minor, currency=order.currency),
        capture_id="" if capture_id == due.shipment_id else capture_id,
    )


def may_be_drawn(order: Cancelled, shipment: Shipment) -> CapturePayment | None:
    """For a parcel of an order that was cancelled after its loss: the money may have been drawn, and the answer lost.

    The same key gets the provider's first answer; the drawn money is refunded with the rest.
    """
    ledger, lines = order.payments, {line.line_id: line for line in order.lines}
    cost = sum(owed.first_units(lines[part.line_id], part.quantity) for part in shipment.lines)
    minor = min(cost, sum(ledger.held_of(x) for x in ledger.authorisations))
    if minor <= 0 or ledger.capture(shipment.shipment_id) is not None:
        return None
    authorisation_id, minor = _source(ledger, minor)
    amount = Money(amount_minor=minor, currency=order.currency)
    return CapturePayment(subject=shipment.shipment_id, authorisation_id=authorisation_id, amount=amount)


def waived(order: Confirmed | Completed, checkout: Running) -> int:
    """The amount that is not drawn and will not be: an operator marked it as paid."""
    return sum(x.lacking for x in bills(order, checkout) if x.waived)


def bills(order: Confirmed | Completed, checkout: Running) -> Sequence[Bill]:
    """The bills of all dispatched parcels, in the order of their dispatch, as far as it is known.

    What a unit costs depends on how many of its line left before it, and shipping is paid with the first: so the bill
    of a parcel must not change when another one leaves. Units of a parcel that was lost or returned do not count
    beside those of another: they are open again, and their capture pays for the goods sent again.
    """
    sequence = {shipment_id: number for number, shipment_id in enumerate(checkout.committed)}
    left = sorted(left_shipments(order), key=lambda x: sequence.get(x.shipment_id, len(sequence)))
    costs, own = _costs(order, left), _captured_for({x.shipment_id for x in left}, order.payments.captures)
    spare = own[""] + sum(_spare(x, own[x.shipment_id], costs[x.shipment_id]) for x in left)
    ended = {x.shipment_id: max(0, costs[x.shipment_id] - spare) for x in left if x.stage in ENDED_UNDELIVERED}
    waived_ = {x for step, x in checkout.skipped if step == StepName.CAPTURE_PAYMENT}
    spare += sum(minor for shipment_id, minor in ended.items() if shipment_id in waived_)
    lacking = {}
    for parcel in left:
        if parcel.shipment_id not in ended:
            open_ = max(0, costs[parcel.shipment_id] - own[parcel.shipment_id])
            lacking[parcel.shipment_id] = max(0, open_ - spare)
            spare -= open_ - lacking[parcel.shipment_id]
    most = owed.cost_of(order, left) - order.payments.captured - sum(lacking.values())
    for shipment_id, minor in ended.items():
        lacking[shipment_id] = minor if shipment_id in waived_ else max(0, min(minor, most))
        most -= lacking[shipment_id]
    return [Bill(x.shipment_id, lacking[x.shipment_id], x.shipment_id in waived_) for x in left]


def _spare(parcel: Shipment, captured: int, cost: int) -> int:
    """The part of the captures for a parcel that can pay for others."""
    return captured if parcel.stage in ENDED_UNDELIVERED else max(0, captured - cost)


def _captured_for(left: Container[str], captures: Sequence[Capture]) -> Counter[str]:
    """The captured amounts by parcel, "" for none that has left."""
    own: Counter[str] = Counter()
    for capture in captures:
        ids = (capture.capture_id, name_of(capture.capture_id))
        own[next((x for x in ids if x in left), "")] += capture.amount_minor
    return own


def _costs(order: Confirmed | Completed, left: Sequence[Shipment]) -> dict[str, int]:
    """The cost of each parcel if they leave in this order. Costs other than goods are paid with the first."""
    cost, paid, costs = owed.Cost(order), 0, dict[str, int]()
    for parcel in left:
        costs[parcel.shipment_id] = cost.minor + cost.of_more(parcel.lines) - paid
        if parcel.stage not in ENDED_UNDELIVERED:
            cost.add(parcel.lines)
            paid = cost.minor
    return costs


def _source(ledger: Ledger, minor: int) -> tuple[str, int]:
    """The authorisation to draw from, and the amount: one that holds enough, else all of the first that holds any.

    If nothing is held the order refuses the capture.
    """
    held = [(x.authorisation_id, ledger.held_of(x)) for x in ledger.authorisations if ledger.held_of(x) > 0]
    enough = [(authorisation_id, minor) for authorisation_id, most in held if most >= minor]
    return next(iter([*enough, *held]), (AUTHORISATION, minor))
