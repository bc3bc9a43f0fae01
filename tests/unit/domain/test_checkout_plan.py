"""A plan says what the process will do: the same steps, in the same order."""

from datetime import timedelta
from typing import Any

import pytest

from core.domain.checkout import CHECKOUT
from core.domain.checkout.commands import StartAsPlanned
from core.domain.checkout.events import CheckoutStarted
from core.domain.checkout.plan import Plan, plan
from core.domain.checkout.state import NotStarted
from core.domain.order import ORDER
from core.domain.rejection import CommandRejected, Reason
from tests.support import orders
from tests.support.deciding import given
from tests.support.orders import LATER, NOON, euros

PLACED = (
    orders.created(),
    orders.line_added("tea", 2, 350),
    orders.line_added("milk", 3, 101),
    orders.placed(orders.order_line("tea", 2, 350), orders.order_line("milk", 3, 101)),
)
TOTAL = 2 * 350 + 3 * 101
BY_HAND = (*PLACED, orders.confirmed(), orders.shipment_created("p1", ("tea", 2)), orders.dispatched("p1"))


def planned(*history: Any, **how: Any) -> Plan:
    return plan(ORDER.fold(history), NotStarted(), how.pop("at", NOON), **how)


def shown(found: Plan) -> list[tuple[str, str, dict[str, int], int]]:
    return [
        (x.name, x.subject, {line.sku: line.quantity for line in x.lines}, x.amount.amount_minor if x.amount else 0)
        for x in found.steps
    ]


def test_a_placed_order_is_reserved_charged_and_confirmed() -> None:
    found = planned(*PLACED)
    assert shown(found) == [
        ("START", "", {"tea": 2, "milk": 3}, 0),
        ("RESERVE_STOCK", "", {"tea": 2, "milk": 3}, 0),
        ("AUTHORISE_PAYMENT", "", {}, TOTAL),
        ("CONFIRM_ORDER", "", {}, 0),
    ]
    assert found.waits_for == "shipments"


def test_of_one_confirmed_by_hand_what_has_left_is_drawn_and_charged() -> None:
    assert shown(planned(*BY_HAND))[2:] == [
        ("AUTHORISE_PAYMENT", "", {}, TOTAL),
        ("COMMIT_STOCK", "p1", {"tea": 2}, 0),
        ("CAPTURE_PAYMENT", "p1", {}, 700),
    ]


class TestUnitsThatWereDrawnByHand:
    def test_are_neither_reserved_nor_drawn_again(self) -> None:
        steps = shown(planned(*BY_HAND, drawn={"tea": 2}))
        assert ("RESERVE_STOCK", "", {"milk": 3}, 0) in steps
        assert ("COMMIT_STOCK", "p1", {}, 0) in steps

    def test_are_counted_before_those_that_are_reserved(self) -> None:
        again = (*BY_HAND, orders.shipment_created("p2", ("milk", 3)), orders.dispatched("p2"))
        steps = shown(planned(*again, drawn={"milk": 1}))
        assert ("RESERVE_STOCK", "", {"tea": 2, "milk": 2}, 0) in steps
        assert ("COMMIT_STOCK", "p2", {"milk": 2}, 0) in steps

    @pytest.mark.parametrize(
        ("drawn", "reason"), [({"coffee": 1}, Reason.LINE_NOT_FOUND), ({"tea": 3}, Reason.QUANTITY_INVALID)]
    )
    def test_are_units_of_the_order(self, drawn: dict[str, int], reason: Reason) -> None:
        with pytest.raises(CommandRejected) as refused:
            planned(*BY_HAND, drawn=drawn)
        assert refused.value.reason is reason


def test_money_of_an_order_that_has_ended_goes_back() -> None:
    ended = (*PLACED, orders.authorised("a1", TOTAL), orders.captured("c1", 500, "a1"), orders.cancelled())
    assert ("REFUND_PAYMENT", "all", {}, 500) in shown(planned(*ended))
    assert planned(*PLACED, orders.cancelled()).start is None


def test_an_order_past_its_time_expires_unless_it_gets_more() -> None:
    late = LATER + timedelta(days=1)
    assert "EXPIRE_ORDER" in [x.name for x in planned(*PLACED, at=late).steps]
    more = planned(*PLACED, at=late, deadline=late + timedelta(hours=1))
    assert "EXPIRE_ORDER" not in [x.name for x in more.steps]
    assert more.start is not None
    assert more.start.deadline == late + timedelta(hours=1)


class TestTheId:
    def test_is_that_of_the_same_plan(self) -> None:
        assert planned(*BY_HAND).plan_id == planned(*BY_HAND).plan_id

    @pytest.mark.parametrize(
        "other",
        [
            planned(*PLACED),
            planned(*BY_HAND, drawn={"tea": 1}),
            planned(*BY_HAND, orders.delivered("p1"), orders.captured("c1", 1, "a1")),
            planned(*BY_HAND, deadline=LATER + timedelta(hours=1)),
        ],
    )
    def test_of_another_is_another(self, other: Plan) -> None:
        assert planned(*BY_HAND).plan_id != other.plan_id


def test_what_the_order_refuses_is_where_the_plan_ends() -> None:
    held = (*PLACED, orders.held())
    assert planned(*held).waits_for == "the hold to be released"
    no_money = (*BY_HAND, orders.authorised("a1", TOTAL), orders.lapsed("a1", TOTAL))
    assert planned(*no_money).steps[-1].amount == euros(700)


def test_a_process_that_is_started_is_planned_from_where_it_is() -> None:
    start = planned(*PLACED).start
    assert start is not None
    started = CheckoutStarted(
        id_version=8, order_id=orders.ORDER_ID, lines=start.lines, deadline=start.deadline, at=NOON
    )
    running = CHECKOUT.fold([started])
    assert plan(ORDER.fold(PLACED), running, NOON).start is None


class TestStartingAsPlanned:
    def start(self, plan_id: str) -> StartAsPlanned:
        found = planned(*PLACED)
        assert found.start is not None
        return StartAsPlanned(
            order_id=orders.ORDER_ID,
            lines=found.start.lines,
            deadline=LATER,
            plan_id=plan_id,
            current_plan_id=found.plan_id,
            at=NOON,
        )

    def test_begins_the_process_that_was_planned(self) -> None:
        command = self.start(planned(*PLACED).plan_id)
        started = CheckoutStarted(id_version=8, order_id=orders.ORDER_ID, lines=command.lines, deadline=LATER, at=NOON)
        given(CHECKOUT).when(command).then(started)

    def test_is_refused_if_something_else_would_be_done_now(self) -> None:
        given(CHECKOUT).when(self.start("another")).rejected(Reason.PROCESS_PLAN_STALE)

    def test_of_one_that_is_started_is_nothing(self) -> None:
        command = self.start("another")
        started = CheckoutStarted(id_version=8, order_id=orders.ORDER_ID, lines=command.lines, deadline=LATER, at=NOON)
        given(CHECKOUT, started).when(command).nothing()
