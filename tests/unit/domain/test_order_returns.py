"""The rules of what comes back, one sentence each."""

from typing import Any

import pytest

from core.domain.order import ORDER
from core.domain.order.events import Condition
from core.domain.rejection import Reason
from tests.support import deciding
from tests.support.orders import (
    address_changed,
    approve_return,
    authorised,
    cancelled,
    captured,
    complete,
    completed,
    confirmed,
    created,
    delivered,
    dispatched,
    line_added,
    off,
    order_line,
    placed,
    quantity_cancelled,
    receive_return,
    received_line,
    refund_requested,
    refunded,
    reject_return,
    request_return,
    return_approved,
    return_rejected,
    return_requested,
    returned,
    shipment_created,
)

GOOD, DAMAGED = Condition.RESALEABLE, Condition.DAMAGED


def given(*history: Any) -> deciding.Given[Any, Any, Any]:
    return deciding.given(ORDER, *history)


DRAFT = (created(), line_added(), address_changed())
PLACED = (*DRAFT, placed())
CONFIRMED = (*PLACED, confirmed())
SENT = (*CONFIRMED, shipment_created(), dispatched())
DELIVERED = (*SENT, delivered())
COMPLETED = (*DELIVERED, authorised(), captured(), completed())
ASKED = (*DELIVERED, return_requested())
APPROVED = (*ASKED, return_approved())
STEPS = [request_return(), approve_return(), reject_return(), receive_return("r1", ("tea", 1, GOOD))]


class TestRequesting:
    @pytest.mark.parametrize("history", [DELIVERED, COMPLETED])
    def test_a_return_without_lines_is_all_that_was_delivered(self, history: tuple[Any, ...]) -> None:
        given(*history).when(request_return()).then(return_requested())

    def test_a_return_may_be_a_part(self) -> None:
        given(*DELIVERED).when(request_return("r1", ("tea", 1))).then(return_requested("r1", ("tea", 1)))

    def test_the_same_return_twice_changes_nothing(self) -> None:
        given(*ASKED).when(request_return()).nothing()
        given(*ASKED).when(request_return("r1", ("tea", 1), ("tea", 1))).nothing()

    def test_a_return_id_cannot_stand_for_two_returns(self) -> None:
        given(*ASKED).when(request_return("r1", ("tea", 1))).rejected(Reason.RETURN_ID_USED, return_id="r1")

    def test_what_was_not_delivered_cannot_come_back(self) -> None:
        given(*SENT).when(request_return("r1", ("tea", 1))).rejected(
            Reason.RETURN_EXCEEDS_DELIVERED, line_id="tea", wanted=1, returnable=0
        )
        given(*SENT).when(request_return()).rejected(Reason.RETURN_EXCEEDS_DELIVERED)
        given(*DELIVERED).when(request_return("r1", ("tea", 3))).rejected(
            Reason.RETURN_EXCEEDS_DELIVERED, wanted=3, returnable=2
        )

    def test_no_unit_comes_back_twice(self) -> None:
        one = (*DELIVERED, return_requested("r1", ("tea", 1)))
        given(*one).when(request_return("r2", ("tea", 2))).rejected(Reason.RETURN_EXCEEDS_DELIVERED, returnable=1)
        back = (*one, return_approved(), returned("r1", received_line(quantity=1, amount=350)))
        given(*back).when(request_return("r2", ("tea", 2))).rejected(Reason.RETURN_EXCEEDS_DELIVERED, returnable=1)
        given(*back).when(request_return("r2")).then(return_requested("r2", ("tea", 1)))

    def test_what_was_rejected_or_did_not_arrive_may_be_requested_again(self) -> None:
        given(*ASKED, return_rejected()).when(request_return("r2")).then(return_requested("r2"))
        short = (*APPROVED, returned("r1", received_line(quantity=1, amount=350)))
        given(*short).when(request_return("r2")).then(return_requested("r2", ("tea", 1)))

    def test_a_line_that_is_not_there_is_not_found(self) -> None:
        given(*DELIVERED).when(request_return("r1", ("milk", 1))).rejected(Reason.LINE_NOT_FOUND, line_id="milk")

    @pytest.mark.parametrize("quantity", [-1, 0, 10_000])
    def test_a_quantity_is_1_to_9999(self, quantity: int) -> None:
        given(*DELIVERED).when(request_return("r1", ("tea", quantity))).rejected(Reason.QUANTITY_INVALID)

    @pytest.mark.parametrize("command", STEPS, ids=lambda x: type(x).__name__)
    @pytest.mark.parametrize("history", [DRAFT, PLACED, (*PLACED, cancelled())], ids=["draft", "placed", "cancelled"])
    def test_only_what_was_confirmed_can_come_back(self, history: tuple[Any, ...], command: Any) -> None:
        given(*history).when(command).rejected(Reason.ORDER_STATE)

    @pytest.mark.parametrize("command", STEPS[1:], ids=lambda x: type(x).__name__)
    def test_what_nobody_requested_is_not_found(self, command: Any) -> None:
        given(*DELIVERED).when(command).rejected(Reason.RETURN_NOT_FOUND, return_id="r1")


class TestApprovingAndRejecting:
    def test_a_return_is_let_come(self) -> None:
        given(*ASKED).when(approve_return()).then(return_approved())

    @pytest.mark.parametrize("more", [(), (returned(),)])
    def test_approving_twice_changes_nothing(self, more: tuple[Any, ...]) -> None:
        given(*APPROVED, *more).when(approve_return()).nothing()

    def test_a_return_that_was_rejected_is_not_let_come(self) -> None:
        given(*ASKED, return_rejected()).when(approve_return()).rejected(Reason.RETURN_STATE, stage="REJECTED")

    @pytest.mark.parametrize("history", [ASKED, APPROVED])
    def test_a_return_of_which_nothing_has_come_can_be_closed(self, history: tuple[Any, ...]) -> None:
        given(*history).when(reject_return()).then(return_rejected())
        given(*history, return_rejected()).when(reject_return()).nothing()

    def test_what_has_come_cannot_be_rejected(self) -> None:
        given(*APPROVED, returned()).when(reject_return()).rejected(Reason.RETURN_STATE, stage="RECEIVED")


class TestReceiving:
    def test_what_has_come_is_reported_with_its_condition_and_what_it_cost(self) -> None:
        given(*APPROVED).when(receive_return("r1", ("tea", 1, GOOD), ("tea", 1, DAMAGED))).then(
            returned("r1", received_line("tea", 1, 350, GOOD), received_line("tea", 1, 350, DAMAGED))
        )

    def test_less_may_come_than_was_requested_and_no_more(self) -> None:
        given(*APPROVED).when(receive_return("r1", ("tea", 1, GOOD))).then(
            returned("r1", received_line(quantity=1, amount=350))
        )
        given(*APPROVED).when(receive_return("r1", ("tea", 1, GOOD), ("tea", 2, DAMAGED))).rejected(
            Reason.RECEIVED_EXCEEDS_REQUESTED, line_id="tea", received=3, requested=2
        )
        given(*APPROVED).when(receive_return("r1", ("milk", 1, GOOD))).rejected(
            Reason.RECEIVED_EXCEEDS_REQUESTED, line_id="milk", requested=0
        )

    def test_something_has_to_come(self) -> None:
        given(*APPROVED).when(receive_return()).rejected(Reason.QUANTITY_INVALID, quantity=0)
        given(*APPROVED).when(receive_return("r1", ("tea", 0, GOOD))).rejected(Reason.QUANTITY_INVALID, quantity=0)

    def test_parts_of_a_line_in_one_condition_are_one(self) -> None:
        parts = (("tea", 1, GOOD), ("tea", 1, GOOD))
        given(*APPROVED).when(receive_return("r1", *parts)).then(returned("r1", received_line(quantity=2, amount=700)))

    def test_receiving_twice_changes_nothing(self) -> None:
        given(*APPROVED, returned()).when(receive_return("r1", ("tea", 2, GOOD))).nothing()
        given(*APPROVED, returned()).when(receive_return("r1", ("tea", 1, GOOD), ("tea", 1, GOOD))).nothing()

    def test_what_has_come_has_come(self) -> None:
        given(*APPROVED, returned()).when(receive_return("r1", ("tea", 2, DAMAGED))).rejected(
            Reason.RETURN_STATE, stage="RECEIVED"
        )

    @pytest.mark.parametrize(("more", "stage"), [((), "REQUESTED"), ((return_rejected(),), "REJECTED")])
    def test_only_what_was_approved_is_received(self, more: tuple[Any, ...], stage: str) -> None:
        given(*ASKED, *more).when(receive_return("r1", ("tea", 2, GOOD))).rejected(Reason.RETURN_STATE, stage=stage)

    def test_units_are_worth_what_they_cost_with_the_discount_to_the_last_cent(self) -> None:
        # 200 for three: 67, 67 and 66. The last was cancelled, so the first two can come back
        history = (created(), line_added("tea", 3, 100), address_changed(),
                   placed(order_line("tea", 3, 100, discount=100), discounts=(off(amount=100),)), confirmed(),
                   quantity_cancelled("x1", amount=66), shipment_created("s1", ("tea", 2)), dispatched(), delivered(),
                   return_requested("r1", ("tea", 1)), return_requested("r2", ("tea", 1)),
                   return_approved("r1"), return_approved("r2"))  # fmt: skip
        first = returned("r1", received_line(quantity=1, amount=67))
        given(*history).when(receive_return("r1", ("tea", 1, GOOD))).then(first)
        given(*history, first).when(receive_return("r2", ("tea", 1, GOOD))).then(
            returned("r2", received_line(quantity=1, amount=67))
        )


class TestCompleting:
    PAID = (*DELIVERED, authorised(), captured())

    @pytest.mark.parametrize("more", [(return_requested(),), (return_requested(), return_approved())])
    def test_an_open_return_keeps_an_order_open(self, more: tuple[Any, ...]) -> None:
        given(*self.PAID, *more).when(complete()).rejected(Reason.ORDER_OPEN_ITEMS, open_returns=1)

    def test_a_rejected_one_does_not(self) -> None:
        given(*self.PAID, return_requested(), return_rejected()).when(complete()).then(completed())

    def test_nor_does_one_that_is_refunded(self) -> None:
        back = (*self.PAID, return_requested(), return_approved(), returned())
        given(*back).when(complete()).rejected(Reason.ORDER_OPEN_ITEMS, owed_minor=700)
        asked = refund_requested("r1", 700, return_id="r1")
        given(*back, asked, refunded("r1", 700)).when(complete()).then(completed())

    def test_what_came_back_before_it_was_paid_need_not_be_paid(self) -> None:
        part = returned("r1", received_line(quantity=1, amount=350))
        history = (*DELIVERED, return_requested("r1", ("tea", 1)), return_approved(), part, authorised())
        given(*history, captured(amount=350)).when(complete()).then(completed())
        given(*history, captured(amount=349)).when(complete()).rejected(Reason.ORDER_OPEN_ITEMS, unpaid_minor=1)
