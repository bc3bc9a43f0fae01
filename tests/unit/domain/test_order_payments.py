"""The rules of an order's money, one sentence each, and the ends that hang on it."""

from datetime import timedelta
from typing import Any

import pytest

from core.domain.money import MAX_AMOUNT
from core.domain.order import ORDER
from core.domain.rejection import Reason
from tests.support import deciding
from tests.support.orders import (
    LATER,
    address_changed,
    authorise,
    authorised,
    cancelled,
    capture,
    captured,
    complete,
    completed,
    confirm,
    confirmed,
    create_shipment,
    created,
    deliver,
    delivered,
    dispatch,
    dispatched,
    expire,
    expired,
    fail_payment,
    fail_refund,
    lapse,
    lapsed,
    line_added,
    payment_failed,
    place,
    placed,
    refund,
    refund_failed,
    refund_requested,
    refunded,
    reject,
    rejected,
    settle,
    shipment_created,
    void,
    voided,
)


def given(*history: Any) -> deciding.Given[Any, Any, Any]:
    return deciding.given(ORDER, *history)


DRAFT = (created(), line_added(), address_changed())
PLACED = (*DRAFT, placed())
CONFIRMED = (*PLACED, confirmed())
PAID = (*CONFIRMED, authorised(), captured())
DELIVERED = (*PAID, shipment_created(), dispatched(), delivered())
ENDS = {
    "cancelled": (*PLACED, cancelled()),
    "rejected": (*PLACED, rejected()),
    "expired": (*PLACED, expired()),
    "completed": (*DELIVERED, completed()),
}
ENDED = pytest.mark.parametrize(
    "ended", [ENDS["cancelled"], ENDS["rejected"], ENDS["expired"]], ids=["cancelled", "rejected", "expired"]
)
MONEY = [authorise(), fail_payment(), void(), capture(), refund(), settle(), fail_refund()]


class TestAuthorising:
    @pytest.mark.parametrize("history", [PLACED, CONFIRMED])
    def test_an_order_can_be_authorised_once_it_is_placed(self, history: tuple[Any, ...]) -> None:
        given(*history).when(authorise()).then(authorised())

    @pytest.mark.parametrize("command", MONEY, ids=lambda x: type(x).__name__)
    def test_a_draft_has_no_money(self, command: Any) -> None:
        given(*DRAFT).when(command).rejected(Reason.ORDER_STATE, status="DRAFT")

    def test_a_cancelled_draft_was_worth_nothing(self) -> None:
        given(*DRAFT, cancelled(placed_at=None)).when(authorise()).rejected(
            Reason.AUTHORISATION_EXCEEDS_TOTAL, total_minor=0
        )

    def test_parts_may_add_up_to_the_total_and_no_further(self) -> None:
        given(*PLACED, authorised("a1", 300)).when(authorise("a2", 400)).then(authorised("a2", 400))
        given(*PLACED, authorised("a1", 300)).when(authorise("a2", 401)).rejected(
            Reason.AUTHORISATION_EXCEEDS_TOTAL, amount_minor=401, authorised_minor=300, total_minor=700
        )

    def test_what_was_voided_or_failed_makes_room(self) -> None:
        given(*PLACED, authorised("a1"), voided("a1")).when(authorise("a2")).then(authorised("a2"))
        given(*PLACED, payment_failed("a1")).when(authorise("a2")).then(authorised("a2"))

    @pytest.mark.parametrize("more", [(), (voided(),)])
    def test_the_same_answer_twice_changes_nothing(self, more: tuple[Any, ...]) -> None:
        given(*PLACED, authorised(), *more).when(authorise()).nothing()

    def test_an_authorisation_id_cannot_stand_for_two_amounts(self) -> None:
        given(*PLACED, authorised("a1", 300)).when(authorise("a1", 400)).rejected(
            Reason.AUTHORISATION_EXISTS, authorisation_id="a1", stage="AUTHORISED"
        )

    @ENDED
    def test_an_answer_that_comes_after_the_end_is_written_down_and_can_be_voided(self, ended: tuple[Any, ...]) -> None:
        given(*ended).when(authorise()).then(authorised())
        given(*ended, authorised()).when(void()).then(voided())

    def test_an_answer_that_comes_after_its_failure_is_written_down_and_can_be_voided(self) -> None:
        given(*PLACED, payment_failed()).when(authorise()).then(authorised())
        given(*PLACED, payment_failed(), authorised()).when(void()).then(voided())

    @pytest.mark.parametrize("amount", [-1, 0, MAX_AMOUNT + 1])
    @pytest.mark.parametrize("command", [authorise, capture, refund])
    def test_an_amount_is_at_least_1_and_exact(self, command: Any, amount: int) -> None:
        given(*PAID).when(command("x", amount)).rejected(Reason.AMOUNT_INVALID, field="amount", amount_minor=amount)

    @pytest.mark.parametrize("command", [authorise, capture, refund])
    def test_an_amount_is_in_the_currency_of_the_order(self, command: Any) -> None:
        given(*PAID).when(command("x", 1, currency="USD")).rejected(
            Reason.CURRENCY_MISMATCH, order_currency="EUR", amount_currency="USD"
        )
        given(*PAID).when(command("x", 1, currency="???")).rejected(Reason.CURRENCY_UNKNOWN)


class TestFailing:
    def test_a_decline_is_written_down_once(self) -> None:
        given(*PLACED).when(fail_payment()).then(payment_failed())
        given(*PLACED, payment_failed()).when(fail_payment()).nothing()

    @pytest.mark.parametrize("more", [(), (voided(),)])
    def test_what_was_authorised_did_not_fail(self, more: tuple[Any, ...]) -> None:
        given(*PLACED, authorised(), *more).when(fail_payment()).rejected(Reason.AUTHORISATION_EXISTS)


class TestVoiding:
    def test_an_authorisation_can_be_let_go(self) -> None:
        given(*PLACED, authorised()).when(void()).then(voided())

    def test_what_holds_no_money_needs_no_voiding(self) -> None:
        given(*PLACED, authorised(), voided()).when(void()).nothing()
        given(*PLACED, payment_failed()).when(void()).nothing()

    def test_what_was_captured_cannot_be_voided(self) -> None:
        given(*CONFIRMED, authorised(), captured(amount=1)).when(void()).rejected(
            Reason.ALREADY_CAPTURED, captured_minor=1
        )

    def test_another_authorisation_of_the_order_can(self) -> None:
        history = (*CONFIRMED, authorised("a1", 300), captured("c1", 300, "a1"), authorised("a2", 400))
        given(*history).when(void("a2")).then(voided("a2", 400))

    def test_what_nobody_authorised_is_not_found(self) -> None:
        given(*PLACED).when(void()).rejected(Reason.AUTHORISATION_NOT_FOUND, authorisation_id="a1")
        given(*PLACED).when(capture()).rejected(Reason.AUTHORISATION_NOT_FOUND, authorisation_id="a1")


class TestLapsing:
    @pytest.mark.parametrize("history", [PLACED, CONFIRMED, *ENDS.values()], ids=lambda x: type(x[-1]).__name__)
    def test_an_authorisation_may_lapse_in_every_stage_that_has_money(self, history: tuple[Any, ...]) -> None:
        given(*history, authorised("a9")).when(lapse("a9")).then(lapsed("a9"))

    def test_a_draft_has_none(self) -> None:
        given(*DRAFT).when(lapse()).rejected(Reason.ORDER_STATE, status="DRAFT")

    def test_of_one_that_was_captured_in_part_the_rest_lapses(self) -> None:
        given(*CONFIRMED, authorised(), captured(amount=300)).when(lapse()).then(lapsed(amount=400))

    @pytest.mark.parametrize("history", [(authorised(), lapsed()), (authorised(), voided()), (payment_failed(),)])
    def test_what_holds_no_money_does_not_lapse_again(self, history: tuple[Any, ...]) -> None:
        given(*CONFIRMED, *history).when(lapse()).nothing()
        given(*PAID).when(lapse()).nothing()

    def test_what_was_never_authorised_is_not_found(self) -> None:
        given(*PLACED).when(lapse()).rejected(Reason.AUTHORISATION_NOT_FOUND, authorisation_id="a1")

    def test_what_has_lapsed_makes_room_for_another_up_to_the_total(self) -> None:
        history = (*CONFIRMED, authorised(), captured(amount=300), lapsed(amount=400))
        given(*history).when(authorise("a2", 400)).then(authorised("a2", 400))
        given(*history).when(authorise("a2", 401)).rejected(
            Reason.AUTHORISATION_EXCEEDS_TOTAL, authorised_minor=300, total_minor=700
        )

    def test_it_is_not_voided_any_more_and_the_same_answer_changes_nothing(self) -> None:
        given(*CONFIRMED, authorised(), lapsed()).when(void()).nothing()
        given(*CONFIRMED, authorised(), lapsed()).when(authorise()).nothing()
        given(*CONFIRMED, authorised(), lapsed()).when(authorise(amount=1)).rejected(
            Reason.AUTHORISATION_EXISTS, stage="LAPSED"
        )

    def test_a_capture_that_was_on_its_way_is_written_down(self) -> None:
        history = (*CONFIRMED, authorised(), lapsed())
        given(*history).when(capture("c1", 300)).then(captured("c1", 300))
        given(*history, captured("c1", 300)).when(capture("c2", 401)).rejected(
            Reason.CAPTURE_EXCEEDS_AUTHORISED, captured_minor=300, authorised_minor=700
        )
        given(*history, authorised("a2")).when(capture("c1", 300)).then(captured("c1", 300))


class TestCapturing:
    def test_what_is_authorised_can_be_captured_in_parts(self) -> None:
        given(*CONFIRMED, authorised()).when(capture("c1", 300)).then(captured("c1", 300))
        given(*CONFIRMED, authorised(), captured("c1", 300)).when(capture("c2", 400)).then(captured("c2", 400))

    def test_more_than_is_authorised_cannot_be_captured(self) -> None:
        given(*CONFIRMED, authorised(), captured("c1", 300)).when(capture("c2", 401)).rejected(
            Reason.CAPTURE_EXCEEDS_AUTHORISED, amount_minor=401, captured_minor=300, authorised_minor=700
        )

    def test_another_authorisation_does_not_help(self) -> None:
        history = (*CONFIRMED, authorised("a1", 300), authorised("a2", 400))
        given(*history).when(capture("c1", 301, "a1")).rejected(Reason.CAPTURE_EXCEEDS_AUTHORISED)

    @pytest.mark.parametrize("known", [(payment_failed(),), (authorised(), voided())])
    def test_nothing_can_be_captured_of_what_failed_or_was_voided(self, known: tuple[Any, ...]) -> None:
        given(*CONFIRMED, *known).when(capture()).rejected(Reason.CAPTURE_EXCEEDS_AUTHORISED, authorised_minor=0)

    def test_the_same_capture_twice_changes_nothing(self) -> None:
        given(*PAID).when(capture()).nothing()

    def test_a_capture_id_cannot_stand_for_two_captures(self) -> None:
        given(*PAID).when(capture(amount=1)).rejected(Reason.CAPTURE_EXISTS, capture_id="c1")
        given(*PAID).when(capture(authorisation_id="a2")).rejected(Reason.CAPTURE_EXISTS, capture_id="c1")

    @ENDED
    def test_a_capture_on_its_way_when_the_order_ended_is_written_down(self, ended: tuple[Any, ...]) -> None:
        given(*ended, authorised()).when(capture()).then(captured())


class TestRefunding:
    def test_a_refund_is_asked_for_and_answered(self) -> None:
        given(*PAID).when(refund(amount=300)).then(refund_requested(amount=300))
        given(*PAID, refund_requested(amount=300)).when(settle()).then(refunded(amount=300))
        given(*PAID, refund_requested(amount=300)).when(fail_refund()).then(refund_failed(amount=300))

    @pytest.mark.parametrize("name", ["cancelled", "rejected", "expired"])
    def test_an_order_that_has_ended_can_be_refunded(self, name: str) -> None:
        given(*ENDS[name], authorised(), captured()).when(refund()).then(refund_requested())

    def test_a_completed_order_can_be_refunded(self) -> None:
        given(*ENDS["completed"]).when(refund()).then(refund_requested())

    @pytest.mark.parametrize("answer", [(), (refunded("r1", 300),)])
    def test_no_more_goes_back_than_was_captured_in_the_whole_order(self, answer: tuple[Any, ...]) -> None:
        before = (*PAID, refund_requested("r1", 300), *answer)
        given(*before).when(refund("r2", 400)).then(refund_requested("r2", 400))
        given(*before).when(refund("r2", 401)).rejected(
            Reason.REFUND_EXCEEDS_CAPTURED, amount_minor=401, refunded_minor=300, captured_minor=700
        )

    def test_what_is_only_authorised_cannot_be_refunded(self) -> None:
        given(*CONFIRMED, authorised()).when(refund(amount=1)).rejected(Reason.REFUND_EXCEEDS_CAPTURED)

    def test_a_refund_that_failed_makes_room_for_another(self) -> None:
        given(*PAID, refund_requested("r1"), refund_failed("r1")).when(refund("r2")).then(refund_requested("r2"))

    @pytest.mark.parametrize("answer", [(), (refunded(),), (refund_failed(),)])
    def test_asking_twice_changes_nothing(self, answer: tuple[Any, ...]) -> None:
        given(*PAID, refund_requested(), *answer).when(refund()).nothing()

    def test_a_refund_id_cannot_stand_for_two_amounts(self) -> None:
        given(*PAID, refund_requested()).when(refund(amount=1)).rejected(Reason.REFUND_EXISTS, refund_id="r1")

    def test_answering_twice_changes_nothing(self) -> None:
        given(*PAID, refund_requested(), refunded()).when(settle()).nothing()
        given(*PAID, refund_requested(), refund_failed()).when(fail_refund()).nothing()

    def test_a_refund_that_failed_may_still_arrive(self) -> None:
        given(*PAID, refund_requested(), refund_failed()).when(settle()).then(refunded())

    def test_unless_another_has_taken_its_place(self) -> None:
        history = (*PAID, refund_requested("r1"), refund_failed("r1"), refund_requested("r2"))
        given(*history).when(settle("r1")).rejected(Reason.REFUND_EXCEEDS_CAPTURED)

    def test_what_was_paid_out_cannot_fail(self) -> None:
        given(*PAID, refund_requested(), refunded()).when(fail_refund()).rejected(Reason.REFUND_SETTLED)

    @pytest.mark.parametrize("command", [settle(), fail_refund()])
    def test_what_nobody_asked_for_is_not_found(self, command: Any) -> None:
        given(*PAID).when(command).rejected(Reason.REFUND_NOT_FOUND, refund_id="r1")


class TestRejectingAndExpiring:
    def test_a_placed_order_can_be_turned_down(self) -> None:
        given(*PLACED).when(reject()).then(rejected())
        given(*PLACED, rejected()).when(reject()).nothing()

    def test_a_placed_order_lapses_when_its_time_has_come_and_not_before(self) -> None:
        given(*PLACED).when(expire(at=LATER - timedelta(microseconds=1))).rejected(
            Reason.ORDER_NOT_EXPIRED, expires_at=LATER.isoformat()
        )
        given(*PLACED).when(expire(at=LATER)).then(expired())
        given(*PLACED, expired()).when(expire()).nothing()

    @pytest.mark.parametrize("command", [reject(), expire()])
    @pytest.mark.parametrize("history", [DRAFT, CONFIRMED, ENDS["cancelled"], ENDS["completed"]])
    def test_only_a_placed_order_can_be_turned_down_or_lapse(self, history: tuple[Any, ...], command: Any) -> None:
        given(*history).when(command).rejected(Reason.ORDER_STATE)

    @pytest.mark.parametrize("command", [place(), confirm(), create_shipment(), complete()])
    @pytest.mark.parametrize("end", [rejected(), expired()])
    def test_what_was_turned_down_or_has_lapsed_does_not_go_on(self, end: Any, command: Any) -> None:
        given(*PLACED, end).when(command).rejected(Reason.ORDER_STATE)


class TestCompleting:
    def test_what_has_arrived_and_is_paid_is_complete(self) -> None:
        given(*DELIVERED).when(complete()).then(completed())
        given(*DELIVERED, completed()).when(complete()).nothing()

    def test_what_has_not_arrived_is_not(self) -> None:
        given(*PAID, shipment_created(), dispatched()).when(complete()).rejected(
            Reason.ORDER_OPEN_ITEMS, undelivered_units=2, unpaid_minor=0
        )

    def test_what_is_not_paid_is_not(self) -> None:
        history = (*CONFIRMED, authorised(), captured(amount=699), shipment_created(), dispatched(), delivered())
        given(*history).when(complete()).rejected(Reason.ORDER_OPEN_ITEMS, undelivered_units=0, unpaid_minor=1)

    def test_what_waits_for_a_refund_is_not(self) -> None:
        given(*DELIVERED, refund_requested(amount=5)).when(complete()).rejected(
            Reason.ORDER_OPEN_ITEMS, refunding_minor=5
        )
        given(*DELIVERED, refund_requested(amount=5), refunded(amount=5)).when(complete()).then(completed())

    @pytest.mark.parametrize("history", [DRAFT, PLACED, ENDS["cancelled"]])
    def test_only_a_confirmed_order_can_be_completed(self, history: tuple[Any, ...]) -> None:
        given(*history).when(complete()).rejected(Reason.ORDER_STATE)

    @pytest.mark.parametrize("command", [place(), confirm(), create_shipment(), dispatch(), deliver()])
    def test_what_was_done_on_the_way_stays_done(self, command: Any) -> None:
        given(*DELIVERED, completed()).when(command).nothing()
