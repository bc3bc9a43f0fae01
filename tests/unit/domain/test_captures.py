"""What is drawn for parcels: all of them together cost what the order does, under whatever ids it is drawn."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain.checkout.captures import bills, next_capture, waived
from core.domain.checkout.state import Running
from core.domain.checkout.steps import CapturePayment
from core.domain.order import ORDER, owed
from core.domain.order.state import Confirmed, Placed
from core.domain.rejection import CommandRejected
from tests.support import orders
from tests.support.orders import HOME, LATER, ORDER_ID, euros, listing, new_line

PROCESS = Running(order_id=ORDER_ID, lines=(), deadline=LATER)
# three for 100 each less 1, which are 100, 100 and 99; and shipping
SOLD = (
    orders.created(),
    orders.line_added("tea", 3, 100),
    orders.placed(orders.order_line("tea", 3, 100, discount=1), shipping=orders.by(price=500)),
    orders.authorised("checkout", 799),
    orders.confirmed(),
)


def sent(shipment_id: str, units: int) -> tuple[Any, ...]:
    return (orders.shipment_created(shipment_id, ("tea", units)), orders.dispatched(shipment_id))


def after(*history: Any) -> Confirmed:
    order = ORDER.fold((*SOLD, *history))
    assert isinstance(order, Confirmed)
    return order


def due(*history: Any, process: Running = PROCESS) -> tuple[str, int] | None:
    """The id and the amount of the next capture."""
    step = next_capture(after(*history), process)
    return None if step is None else (step.capture_id or step.subject, step.amount.amount_minor)


class TestOneParcelAfterTheOther:
    def test_each_is_drawn_under_its_own_id(self) -> None:
        assert due(*sent("p1", 1)) == ("p1", 600)
        assert due(*sent("p1", 1), orders.captured("p1", 600, "checkout"), *sent("p2", 2)) == ("p2", 199)

    def test_a_capture_by_hand_pays_whatever_its_id(self) -> None:
        assert due(*sent("p1", 1), orders.captured("by hand", 600, "checkout")) is None
        assert due(*sent("p1", 1), orders.captured("by hand", 400, "checkout")) == ("p1", 200)

    def test_a_capture_with_the_id_of_a_parcel_pays_no_more_than_its_amount(self) -> None:
        part = (*sent("p1", 1), orders.captured("p1", 1, "checkout"))
        assert due(*part) == ("p1~2", 599)
        assert due(*part, orders.captured("p1~2", 500, "checkout")) == ("p1~3", 99)

    def test_what_is_more_than_one_costs_pays_for_the_next(self) -> None:
        assert due(*sent("p1", 1), orders.captured("p1", 650, "checkout"), *sent("p2", 2)) == ("p2", 149)

    def test_also_if_it_has_the_id_of_a_later_one(self) -> None:
        assert due(*sent("p1", 1), orders.captured("p2", 599, "checkout")) == ("p1", 1)
        all_by_hand = orders.captured("p2", 799, "checkout")
        assert due(*sent("p1", 1), all_by_hand, *sent("p2", 2)) is None

    def test_parcels_that_were_paid_in_another_order_than_packed_cost_the_same_to_the_cent(self) -> None:
        packed = (orders.shipment_created("p1", ("tea", 1)), orders.shipment_created("p2", ("tea", 2)))
        second = (*packed, orders.dispatched("p2"), orders.captured("p2", 700, "checkout"))
        assert due(*second, orders.dispatched("p1")) == ("p1", 99)
        assert due(*second, orders.dispatched("p1"), orders.captured("p1", 99, "checkout")) is None


class TestAParcelThatAnOperatorTookForPaid:
    PROCESS = Running(order_id=ORDER_ID, lines=(), deadline=LATER, skipped=(("CAPTURE_PAYMENT", "p1"),))
    BOTH = (*sent("p1", 1), *sent("p2", 1))

    def test_is_not_drawn_and_the_next_costs_what_it_costs(self) -> None:
        assert due(*self.BOTH, process=self.PROCESS) == ("p2", 100)
        assert waived(after(*self.BOTH), self.PROCESS) == 600

    def test_nor_does_the_price_of_shipping_move_to_the_next_when_that_is_paid(self) -> None:
        assert due(*self.BOTH, orders.captured("p2", 100, "checkout"), process=self.PROCESS) is None

    def test_nor_to_one_that_was_packed_before_it_and_left_after_it(self) -> None:
        process = replace(self.PROCESS, skipped=(("CAPTURE_PAYMENT", "p2"),), committed=("p2", "p1"))
        packed = (orders.shipment_created("p1", ("tea", 1)), orders.shipment_created("p2", ("tea", 1)))
        both = (*packed, orders.dispatched("p2"), orders.dispatched("p1"))
        assert due(*both, process=process) == ("p1", 100)

    def test_nor_is_the_next_cheaper_when_the_money_is_recorded_by_hand(self) -> None:
        assert due(*self.BOTH, orders.captured("cash", 600, "checkout"), process=self.PROCESS) == ("p2", 100)
        assert waived(after(*self.BOTH, orders.captured("cash", 600, "checkout")), self.PROCESS) == 0


class TestAuthorisations:
    def test_it_is_drawn_from_one_that_holds_enough(self) -> None:
        more = (orders.authorised("other", 600),)
        step = next_capture(self.after(199, *more, *sent("p1", 1)), PROCESS)
        assert step == CapturePayment(subject="p1", authorisation_id="other", amount=euros(600))

    def test_or_from_several_under_a_number_each(self) -> None:
        split = (orders.authorised("other", 500), *sent("p1", 1))
        first = CapturePayment(subject="p1", authorisation_id="checkout", amount=euros(299))
        assert next_capture(self.after(299, *split), PROCESS) == first
        rest = CapturePayment(subject="p1", authorisation_id="other", amount=euros(301), capture_id="p1~2")
        assert next_capture(self.after(299, *split, orders.captured("p1", 299, "checkout")), PROCESS) == rest

    @staticmethod
    def after(authorised: int, *history: Any) -> Confirmed:
        order = ORDER.fold((*SOLD[:3], orders.authorised("checkout", authorised), orders.confirmed(), *history))
        assert isinstance(order, Confirmed)
        return order


# ------------------------------------------------------------------ of any order


class Life:
    """An order whose parcels leave, whose units are cancelled and whose money is drawn by hand, in any sequence."""

    def __init__(self, lines: Sequence[tuple[int, int]], basis_points: int, shipping: int) -> None:
        self.names = [f"l{n}" for n in range(len(lines))]
        listings = [listing(name, price) for name, (_, price) in zip(self.names, lines, strict=True)]
        new = [new_line(x.sku, units, x) for x, (units, _) in zip(listings, lines, strict=True)]
        self.order: Any = ORDER.initial
        self.does(orders.create(*new, address=HOME))
        self.does(orders.discount("d1", basis_points=basis_points))
        self.does(orders.set_shipping(shipping))
        self.does(orders.place(*listings))
        placed = self.order
        assert isinstance(placed, Placed)
        self.does(orders.authorise("checkout", max(1, placed.total.amount_minor)))
        self.does(orders.confirm())

    def does(self, command: Any) -> None:
        try:
            self.order = ORDER.fold(ORDER.decide(self.order, command), self.order)
        except CommandRejected:
            return

    def run_process(self) -> None:
        while (step := next_capture(self.order, PROCESS)) is not None:
            before = self.order.payments.captured
            self.does(orders.capture(step.capture_id or step.subject, step.amount.amount_minor, step.authorisation_id))
            assert before < self.order.payments.captured <= owed.sent(self.order), "never more than what has left costs"

    def send_the_rest(self) -> None:
        self.does(orders.create_shipment("rest"))
        for shipment in self.order.shipments:
            self.does(orders.dispatch(shipment.shipment_id))


PARCELS = ("p1", "p2", "p3")
acts = st.one_of(
    st.tuples(st.just("pack"), st.sampled_from(PARCELS), st.integers(0, 2), st.integers(1, 4)),
    st.tuples(st.just("send"), st.sampled_from(PARCELS)),
    st.tuples(st.just("cancel"), st.integers(0, 2), st.integers(1, 3)),
    st.tuples(st.just("draw"), st.sampled_from((*PARCELS, "p1~2", "by hand")), st.integers(1, 900)),
    st.just(("run",)),
)


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 333)), min_size=1, max_size=3),
    st.sampled_from((1, 3_333, 1_014)),
    st.sampled_from((0, 499)),
    st.lists(acts, max_size=20),
)
@settings(max_examples=300)
def test_when_all_has_left_all_is_drawn_to_the_cent(
    lines: list[tuple[int, int]], basis_points: int, shipping: int, history: list[tuple[Any, ...]]
) -> None:
    life = Life(lines, basis_points, shipping)
    for number, (act, *how) in enumerate(history):
        match act:
            case "pack":
                line = life.names[how[1] % len(life.names)]
                life.does(orders.create_shipment(how[0], (line, how[2])))
            case "send":
                life.does(orders.dispatch(how[0]))
            case "cancel":
                line = life.names[how[0] % len(life.names)]
                life.does(orders.cancel_quantity(f"x{number}", line, how[1]))
            case "draw":
                life.does(orders.capture(how[0], how[1], "checkout"))
            case _:
                life.run_process()
        if not isinstance(life.order, Confirmed):  # its last unit was cancelled
            return
    life.run_process()
    life.send_the_rest()
    life.run_process()
    order = life.order
    assert order.payments.captured - owed.surplus(order) == order.total.amount_minor
    assert not any(bill.lacking for bill in bills(order, PROCESS))


@pytest.mark.timeout(30)
def test_an_order_of_the_largest_size_is_looked_at_quickly() -> None:
    """A look comes before each step, so it may not grow with the square of parcels."""
    events: list[Any] = [orders.created(), orders.placed(orders.order_line("tea", 2_000, 100)), orders.confirmed()]
    events[1:1] = [orders.line_added("tea", 2_000, 100)]
    events += [e for n in range(1_000) for e in sent(f"p{n}", 1)]
    events += [orders.captured(f"p{n}", 100) for n in range(999)]
    order = ORDER.fold(events)
    assert isinstance(order, Confirmed)
    for _ in range(100):
        step = next_capture(order, PROCESS)
        assert step is not None
        assert (step.subject, step.amount.amount_minor) == ("p999", 100)
