"""The reservations of an order's lines, and their sizes in units: a pure function of the order.

Each line has its own reservation, made at checkout. The units of a parcel that was lost or returned have left the stock
already, so sending them again needs a further reservation, named by that parcel. It is not needed, or less of it, if a
lost parcel has arrived instead. Together they hold every unit that ever left and every unit that is still to be sent.

Units leave the stock from the first reservation on; unneeded units are released from the last. So neither step affects
the result of the other, whenever the process runs it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from core.domain.checkout.events import CheckoutLine
from core.domain.order.events import LineQuantity
from core.domain.order.state import Cancelled, Committed, Placed, Reopening

OWN = ""  # the reservation that was made at checkout; the others go by the id of their parcel


@dataclass(frozen=True, slots=True)
class Reserved:
    """`sizes` has line_id → reservation → units, in the order in which they are drawn from.

    `cuts` has what has lowered a size: a cancellation by its id, or `arrival(shipment_id)`, which is the parcel that
    arrived, or was unpacked since another one had; → (line_id, reservation).
    """

    sizes: dict[str, dict[str, int]]
    cuts: dict[str, set[tuple[str, str]]] = field(default_factory=dict)

    def size(self, line_id: str, reservation: str) -> int:
        return self.sizes[line_id][reservation]

    def drawn(self, line_id: str, left: int) -> Iterator[tuple[str, int]]:
        """Reservation → units of it that have left the stock when `left` of the line have in all."""
        reservations = self.sizes[line_id]
        last = next(reversed(reservations))
        for reservation, size in reservations.items():
            units = left if reservation == last else min(left, size)  # what is too much is refused, and so is seen
            yield reservation, units
            left -= units


def arrival(shipment_id: str) -> str:
    """Distinguishes the arrival of a lost parcel, and what it made needless, from a cancellation with the same id."""
    return f"shipment {shipment_id}"


def reserved(order: Committed | Cancelled, lines: Sequence[CheckoutLine]) -> Reserved:
    state = Reserved({line.line_id: {OWN: line.quantity} for line in lines})
    done = 0
    for reopening in reopenings(order):
        _cancel(state, order, done, reopening.cancellations)
        done = reopening.cancellations
        for part in reopening.lines:
            if reopening.undone:
                _take_off(state, arrival(reopening.shipment_id), part)
            else:
                state.sizes[part.line_id][reopening.shipment_id] = part.quantity
    _cancel(state, order, done, len(order.cancellations))
    return state


def reopenings(order: Committed | Cancelled) -> tuple[Reopening, ...]:
    return () if isinstance(order, Placed) else order.reopenings


def drawn_by_hand(order: Committed | Cancelled, lines: Sequence[CheckoutLine]) -> Counter[str]:
    """line_id → units that had left the stock by hand when the process was started: it has reserved so many less."""
    ordered = {line.line_id: line.quantity for line in order.lines}
    return Counter({line.line_id: ordered.get(line.line_id, line.quantity) - line.quantity for line in lines})


def left_in_all(order: Committed | Cancelled, shipments: Sequence[str]) -> Counter[str]:
    """line_id → units of these parcels."""
    units: Counter[str] = Counter()
    for shipment_id in shipments:
        for part in _contents(order, shipment_id):
            units[part.line_id] += part.quantity
    return units


def _contents(order: Committed | Cancelled, shipment_id: str) -> tuple[LineQuantity, ...]:
    shipments = () if isinstance(order, Placed) else order.shipments
    return next((x.lines for x in shipments if x.shipment_id == shipment_id), ())


def _cancel(state: Reserved, order: Committed | Cancelled, first: int, end: int) -> None:
    for cancellation in order.cancellations[first:end]:
        part = LineQuantity(line_id=cancellation.line_id, quantity=cancellation.quantity)
        _take_off(state, cancellation.cancellation_id, part)


def _take_off(state: Reserved, cause: str, part: LineQuantity) -> None:
    """From the last reservation on: its units have not left yet. One that began after the end reserves nothing."""
    reservations, left = state.sizes.get(part.line_id, {}), part.quantity
    for reservation in reversed(list(reservations)):
        less = min(reservations[reservation], left)
        if less:
            reservations[reservation] -= less
            state.cuts.setdefault(cause, set()).add((part.line_id, reservation))
        left -= less
