"""Which reservations hold the stock of an order: every unit that ever left, and every one that is still to be sent."""

from collections import Counter
from typing import Any

from hypothesis import given, settings

from core.domain.checkout.events import CheckoutLine
from core.domain.checkout.reservations import OWN, Reserved, arrival, left_in_all, reserved
from core.domain.order import ORDER
from core.domain.order.state import (
    Completed,
    Confirmed,
    Order,
    Placed,
    left_shipments,
    open_quantities,
)
from tests.support import orders
from tests.support.sequences import lived, sequences

PLACED = (
    orders.created(),
    orders.line_added("tea", 5),
    orders.placed(orders.order_line("tea", 5)),
    orders.confirmed(),
)


def sent(shipment_id: str, units: int) -> tuple[Any, ...]:
    return orders.shipment_created(shipment_id, ("tea", units)), orders.dispatched(shipment_id)


def of(*history: Any) -> Reserved:
    state = ORDER.fold((*PLACED, *history))
    assert isinstance(state, Confirmed)
    return reserved(state, (CheckoutLine(line_id="tea", sku="tea", quantity=5),))


def sizes(*history: Any) -> dict[str, int]:
    return of(*history).sizes["tea"]


class TestSizes:
    def test_a_line_has_one_reservation_of_its_own_and_cancelled_units_are_taken_off_it(self) -> None:
        assert sizes() == {OWN: 5}
        assert sizes(*sent("s1", 3)) == {OWN: 5}
        assert sizes(*sent("s1", 3), orders.quantity_cancelled("x1", "tea", 2)) == {OWN: 3}

    def test_a_lost_or_returned_parcel_needs_a_further_one_of_its_size(self) -> None:
        assert sizes(*sent("s1", 3), orders.lost("s1")) == {OWN: 5, "s1": 3}
        assert sizes(*sent("s1", 3), orders.lost("s1"), orders.came_back("s1")) == {OWN: 5, "s1": 3}
        assert sizes(*sent("s1", 3), orders.refused("s1")) == {OWN: 5}
        assert sizes(*sent("s1", 3), orders.refused("s1"), orders.came_back("s1")) == {OWN: 5, "s1": 3}

    def test_they_stand_in_the_order_in_which_the_parcels_were_lost(self) -> None:
        both = (*sent("s1", 3), *sent("s2", 2))
        assert list(sizes(*both, orders.lost("s2"), orders.lost("s1"))) == [OWN, "s2", "s1"]

    def test_units_cancelled_afterwards_are_taken_off_the_last(self) -> None:
        lost = (*sent("s1", 3), orders.lost("s1"))
        assert sizes(*lost, orders.quantity_cancelled("x1", "tea", 2)) == {OWN: 5, "s1": 1}
        assert sizes(*lost, orders.quantity_cancelled("x1", "tea", 4)) == {OWN: 4, "s1": 0}

    def test_units_cancelled_before_stay_off_the_lines_own(self) -> None:
        history = (orders.quantity_cancelled("x1", "tea", 2), *sent("s1", 3), orders.lost("s1"))
        assert sizes(*history) == {OWN: 3, "s1": 3}

    def test_a_parcel_that_arrives_after_all_needs_none(self) -> None:
        lost = (*sent("s1", 3), orders.lost("s1"))
        assert sizes(*lost, orders.delivered("s1")) == {OWN: 5, "s1": 0}
        assert sizes(*lost, orders.quantity_cancelled("x1", "tea", 2), orders.delivered("s1")) == {OWN: 3, "s1": 0}

    def test_it_is_known_what_lowered_which(self) -> None:
        lost = (*sent("s1", 3), orders.lost("s1"), orders.quantity_cancelled("x1", "tea", 2))
        assert of(*lost).cuts == {"x1": {("tea", "s1")}}
        assert of(*lost, orders.delivered("s1")).cuts[arrival("s1")] == {("tea", "s1"), ("tea", OWN)}


class TestWhatLeaves:
    def test_is_drawn_from_the_first_reservation_on(self) -> None:
        held = of(*sent("s1", 3), orders.lost("s1"))
        assert dict(held.drawn("tea", 3)) == {OWN: 3, "s1": 0}
        assert dict(held.drawn("tea", 7)) == {OWN: 5, "s1": 2}

    def test_too_much_is_asked_of_the_last_so_that_it_is_refused(self) -> None:
        assert dict(of().drawn("tea", 6)) == {OWN: 6}


@given(sequences())
@settings(max_examples=200)
def test_reservations_hold_what_has_left_and_what_is_to_be_sent_and_what_has_left_never_moves(
    sequence: list[Any],
) -> None:
    state: Order = ORDER.initial
    before: dict[str, dict[str, int]] = {}
    for event in lived(sequence):
        state = ORDER.evolve(state, event)
        if not isinstance(state, Placed | Confirmed | Completed):
            continue
        lines = tuple(CheckoutLine(line_id=x.line_id, sku=x.sku, quantity=x.quantity) for x in state.lines)
        held = reserved(state, lines)
        gone = _left(state)
        for line in lines:
            there = dict(held.drawn(line.line_id, gone[line.line_id]))
            assert all(there[name] <= size for name, size in held.sizes[line.line_id].items()), "drawn is reserved"
            assert sum(held.sizes[line.line_id].values()) == gone[line.line_id] + _to_be_sent(state)[line.line_id]
            for name, units in before.get(line.line_id, {}).items():
                assert there[name] >= units, "what was drawn of a reservation stays drawn"
            before[line.line_id] = there


def _left(order: Placed | Confirmed | Completed) -> Counter[str]:
    if isinstance(order, Placed):
        return Counter()
    return left_in_all(order, [x.shipment_id for x in left_shipments(order)])


def _to_be_sent(order: Placed | Confirmed | Completed) -> dict[str, int]:
    """Open, or packed and not sent yet."""
    packed: Counter[str] = Counter()
    if not isinstance(order, Placed):
        for shipment in order.shipments:
            if shipment.stage == "CREATED":
                packed.update({part.line_id: part.quantity for part in shipment.lines})
    return {line_id: units + packed[line_id] for line_id, units in open_quantities(order).items()}
