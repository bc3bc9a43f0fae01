"""What is to be drawn for the parcels that have left: computed from money, whatever the ids of the captures are.

A capture that has the id of a parcel, also with a number, is for that parcel. What is drawn under other ids, and what
is more than its parcel costs, pays for the parcels that lack something, one after the other.
"""

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from server.domain.checkout.numbering import first_unused, name_of
from server.domain.checkout.state import Running, StepName
from server.domain.checkout.steps import AUTHORISATION, CapturePayment
from server.domain.money import Money
from server.domain.order import owed
from server.domain.order.ledger import Capture, Ledger
from server.domain.order.state import Completed, Confirmed, Shipment, ShipmentStage

LEFT = (ShipmentStage.DISPATCHED, ShipmentStage.DELIVERED)  # the house


@dataclass(frozen=True, slots=True)
class Bill:
    """What a parcel costs and what of it is not drawn, in minor units; `waived`: an operator took it for paid."""

    shipment_id: str
    lacking: int
    waived: bool


def next_capture(order: Confirmed | Completed, checkout: Running) -> CapturePayment | None:
    """For the first parcel that lacks something."""
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


def waived(order: Confirmed | Completed, checkout: Running) -> int:
    """What is not drawn and will not be: an operator took it for paid."""
    return sum(x.lacking for x in bills(order, checkout) if x.waived)


def bills(order: Confirmed | Completed, checkout: Running) -> list[Bill]:
    # in the order in which they left, as far as it is known: what a unit costs depends on how many of its line left
    # before it, and shipping is paid with the first, so the bill of a parcel must not change when another one leaves
    sequence = {shipment_id: number for number, shipment_id in enumerate(checkout.committed)}
    left = sorted(
        (x for x in order.shipments if x.stage in LEFT), key=lambda x: sequence.get(x.shipment_id, len(sequence))
    )
    own = _captured_for({x.shipment_id for x in left}, order.payments.captures)
    costs = dict(_costs(order, left))
    spare = own[""] + sum(max(0, own[shipment_id] - cost) for shipment_id, cost in costs.items())
    found = []
    for shipment_id, cost in costs.items():
        open_ = max(0, cost - own[shipment_id])
        lacking = max(0, open_ - spare)
        spare -= open_ - lacking
        found.append(Bill(shipment_id, lacking, (StepName.CAPTURE_PAYMENT, shipment_id) in checkout.skipped))
    return found


def _captured_for(left: Container[str], captures: Sequence[Capture]) -> Counter[str]:
    """What was captured by parcel, "" for none that has left."""
    own: Counter[str] = Counter()
    for capture in captures:
        ids = (capture.capture_id, name_of(capture.capture_id))
        own[next((x for x in ids if x in left), "")] += capture.amount_minor
    return own


def _costs(order: Confirmed | Completed, left: Sequence[Shipment]) -> Iterator[tuple[str, int]]:
    """What each parcel costs if they left in this order. What is not for goods is paid with the first."""
    lines = {line.line_id: line for line in order.lines}
    gone: Counter[str] = Counter()
    beside = owed.beside_goods(order)
    for shipment in left:
        cost, beside = beside, 0
        for part in shipment.lines:
            line, before = lines[part.line_id], gone[part.line_id]
            gone[part.line_id] += part.quantity
            cost += owed.first_units(line, gone[part.line_id]) - owed.first_units(line, before)
        yield shipment.shipment_id, cost


def _source(ledger: Ledger, minor: int) -> tuple[str, int]:
    """Which authorisation to draw from, and how much: one that holds enough, else what the first that holds any has.

    If nothing is held the order refuses the capture.
    """
    held = [(x.authorisation_id, ledger.held_of(x)) for x in ledger.authorisations if ledger.held_of(x) > 0]
    enough = [(authorisation_id, minor) for authorisation_id, most in held if most >= minor]
    return next(iter([*enough, *held]), (AUTHORISATION, minor))
