"""What is to be drawn for the parcels that have left: computed from money, whatever the ids of the captures are.

A capture that has the id of a parcel, also with a number, is for that parcel: it is the first to be paid. What is drawn
under other ids, and what is more than its parcel costs, pays for the others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from server.domain.checkout.numbering import first_unused, name_of
from server.domain.checkout.state import Running, StepName
from server.domain.checkout.steps import AUTHORISATION, CapturePayment
from server.domain.money import Money
from server.domain.order import owed
from server.domain.order.ledger import Capture, Ledger
from server.domain.order.state import ENDED_UNDELIVERED, Cancelled, Completed, Confirmed, Shipment, left_shipments


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


def may_be_drawn(order: Cancelled, shipment: Shipment) -> CapturePayment | None:
    """For a parcel of an order that was cancelled after its loss: the money may have been drawn, and the answer lost.

    The same key gets the provider's first answer; what is drawn goes back with the rest.
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
    """What is not drawn and will not be: an operator took it for paid."""
    return sum(x.lacking for x in bills(order, checkout) if x.waived)


def bills(order: Confirmed | Completed, checkout: Running) -> Iterator[Bill]:
    """Of all parcels that have left. All that was drawn pays for them one after the other, those with a capture first.

    Units of a parcel that was lost or came back do not count beside those of another: they are open again, and what was
    drawn for them pays for what is sent again.
    """
    cost, covered = owed.Cost(order), order.payments.captured
    for parcel in _in_order_of_payment(left_shipments(order), order.payments.captures):
        with_it = cost.minor + cost.of_more(parcel.lines)
        lacking = max(0, with_it - covered)
        covered += lacking
        if parcel.stage not in ENDED_UNDELIVERED:
            cost.add(parcel.lines)
        waived_ = (StepName.CAPTURE_PAYMENT, parcel.shipment_id) in checkout.skipped
        yield Bill(parcel.shipment_id, lacking, waived_)


def _in_order_of_payment(parcels: Sequence[Shipment], captures: Sequence[Capture]) -> Sequence[Shipment]:
    """So that what lacks is attributed to the parcels for which nothing was drawn."""
    numbers: dict[str, int] = {}
    for number, capture in enumerate(captures):
        for name in (capture.capture_id, name_of(capture.capture_id)):
            numbers.setdefault(name, number)
    return sorted(parcels, key=lambda parcel: numbers.get(parcel.shipment_id, len(captures)))


def _source(ledger: Ledger, minor: int) -> tuple[str, int]:
    """Which authorisation to draw from, and how much: one that holds enough, else what the first that holds any has.

    If nothing is held the order refuses the capture.
    """
    held = [(x.authorisation_id, ledger.held_of(x)) for x in ledger.authorisations if ledger.held_of(x) > 0]
    enough = [(authorisation_id, minor) for authorisation_id, most in held if most >= minor]
    return next(iter([*enough, *held]), (AUTHORISATION, minor))
