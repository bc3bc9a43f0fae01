"""Which events start the process of an order: all after which it has something to do."""

from typing import Any

from hypothesis import example, given, settings

from core.domain.checkout import CHECKOUT
from core.domain.checkout.next_step import next_step
from core.domain.checkout.plan import _as_if_done
from core.domain.checkout.state import Checkout
from core.domain.checkout.steps import Step, Wait
from core.domain.order import ORDER
from core.domain.order.state import Order
from server.processes.triggers import TRIGGERS
from tests.support import orders
from tests.support.orders import NOON
from tests.support.parcels import CONFIRMED, SEEN, outside_moves
from tests.support.sequences import decided

PACKED_WHILE_LOST = [
    *(orders.create_shipment("s1"), orders.dispatch("s1"), orders.lose("s1")),
    *(orders.create_shipment("s2"), orders.deliver("s1"), orders.unpack("s2")),
]


def looked_at(order: Order, checkout: Checkout) -> tuple[Order, Checkout]:
    """When the process has done what it can."""
    while not isinstance(step := next_step(order, checkout, NOON), Wait):
        order, checkout = _as_if_done(order, checkout, step, NOON)
    return order, checkout


@given(outside_moves())
@example(PACKED_WHILE_LOST)
@settings(max_examples=60)
def test_an_event_after_which_the_process_has_a_step_to_take_starts_it(moves: list[Any]) -> None:
    order, checkout = looked_at(ORDER.fold(CONFIRMED), CHECKOUT.initial)
    for move in (move for move in moves if move != SEEN):
        events = decided(order, move)
        order = ORDER.fold(events, order)
        step = next_step(order, checkout, NOON)
        if isinstance(step, Step):
            assert any(isinstance(event, TRIGGERS) for event in events), f"{step} after {events}"
        order, checkout = looked_at(order, checkout)
