"""What is next for an order, as sentences: after(what has happened).comes(a step), and the rules of operators."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.domain.checkout import CHECKOUT
from core.domain.checkout.commands import (
    CompensateProcess,
    EndCheckout,
    NoteFailure,
    NotePaymentVoided,
    NoteReshipmentDropped,
    NoteReturnRestocked,
    NoteShipmentRestocked,
    NoteStockCommitted,
    NoteStockReleased,
    NoteStockReserved,
    NoteStockReservedAgain,
    NoteStockTrimmed,
    RetryProcess,
    SkipStep,
    StartCheckout,
)
from core.domain.checkout.events import (
    CheckoutEnded,
    CheckoutGivenUp,
    CheckoutLine,
    CheckoutPaymentVoided,
    CheckoutReshipmentDropped,
    CheckoutRetried,
    CheckoutReturnRestocked,
    CheckoutShipmentRestocked,
    CheckoutStarted,
    CheckoutStepFailed,
    CheckoutStepSkipped,
    CheckoutStockCommitted,
    CheckoutStockReleased,
    CheckoutStockReserved,
    CheckoutStockReservedAgain,
    CheckoutStockTrimmed,
)
from core.domain.checkout.next_step import after_refusal, next_step
from core.domain.checkout.state import StepName
from core.domain.checkout.steps import (
    AuthorisePayment,
    Cancel,
    CapturePayment,
    CommitStock,
    Complete,
    Confirm,
    DropReshipment,
    End,
    Expire,
    FurtherReservation,
    GiveUpRefund,
    Reject,
    ReleaseStock,
    RequestRefund,
    ReserveAgain,
    ReserveStock,
    RestockReturn,
    RestockShipment,
    SettleRefund,
    Start,
    TrimStock,
    VoidPayment,
    Wait,
)
from core.domain.order import ORDER
from core.domain.order.events import Condition
from core.domain.rejection import CommandRejected, Reason
from tests.support import deciding, orders
from tests.support.orders import LATER, NOON, ORDER_ID, euros

LINES = (CheckoutLine(line_id="tea", sku="tea", quantity=2), CheckoutLine(line_id="milk", sku="milk", quantity=3))
STARTED = CheckoutStarted(id_version=8, order_id=ORDER_ID, lines=LINES, deadline=LATER, at=NOON)
RESERVED = CheckoutStockReserved(order_id=ORDER_ID, at=NOON)
RELEASED = CheckoutStockReleased(order_id=ORDER_ID, at=NOON)
VOIDED = CheckoutPaymentVoided(order_id=ORDER_ID, at=NOON)
ENDED = CheckoutEnded(order_id=ORDER_ID, outcome="CANCELLED", at=NOON)
GIVEN_UP = CheckoutGivenUp(order_id=ORDER_ID, reason="fraud", at=NOON)
TOTAL = 2 * 350 + 3 * 101
DAMAGED = Condition.DAMAGED

PLACED = (
    orders.created(),
    orders.line_added("tea", 2, 350),
    orders.line_added("milk", 3, 101),
    orders.placed(orders.order_line("tea", 2, 350), orders.order_line("milk", 3, 101)),
)
AUTHORISED = orders.authorised("checkout", TOTAL)
CONFIRMED = (*PLACED, AUTHORISED, orders.confirmed())
BEGUN = (STARTED, RESERVED)


def committed(shipment_id: str) -> CheckoutStockCommitted:
    return CheckoutStockCommitted(order_id=ORDER_ID, shipment_id=shipment_id, at=NOON)


def failed(step: str, subject: str = "", **changes: Any) -> CheckoutStepFailed:
    fields: dict[str, Any] = {"reason": "no answer", "attempt": 1, "retry_at": NOON + timedelta(seconds=1), "at": NOON}
    return CheckoutStepFailed(order_id=ORDER_ID, step=step, subject=subject, **fields | changes)


def skipped(step: str, subject: str = "") -> CheckoutStepSkipped:
    return CheckoutStepSkipped(order_id=ORDER_ID, step=step, subject=subject, reason="by hand", at=NOON)


def line(line_id: str, quantity: int) -> CheckoutLine:
    return CheckoutLine(line_id=line_id, sku=line_id, quantity=quantity)


class After:
    """What has happened to the order, and in its process."""

    def __init__(self, history: tuple[Any, ...], process: tuple[Any, ...]) -> None:
        self.order, self.process = ORDER.fold(history), CHECKOUT.fold(process)

    def comes(self, step: Any, at: Any = NOON) -> None:
        assert next_step(self.order, self.process, at) == step

    def waits(self, at: Any = NOON) -> str:
        step = next_step(self.order, self.process, at)
        assert isinstance(step, Wait), f"it does not wait but wants {step}"
        return step.what


def after(history: tuple[Any, ...], *process: Any) -> After:
    return After(history, process)


class TestCheckout:
    def test_a_draft_has_no_process(self) -> None:
        after(PLACED[:3]).waits()

    def test_a_placed_order_is_started_reserved_authorised_and_confirmed(self) -> None:
        after(PLACED).comes(Start(lines=LINES, deadline=LATER))
        after(PLACED, STARTED).comes(ReserveStock(lines=LINES))
        after(PLACED, *BEGUN).comes(AuthorisePayment(amount=euros(TOTAL)))
        after((*PLACED, AUTHORISED), *BEGUN).comes(Confirm())
        assert after(CONFIRMED, *BEGUN).waits() == "shipments"

    def test_an_order_that_costs_nothing_needs_no_payment(self) -> None:
        free = (orders.created(), orders.line_added("tea", 2, 0), orders.placed(orders.order_line("tea", 2, 0)))
        after(free, *BEGUN).comes(Confirm())

    def test_only_what_is_lacking_is_authorised(self) -> None:
        after((*PLACED, orders.authorised("by hand", 1_000)), *BEGUN).comes(
            AuthorisePayment(amount=euros(TOTAL - 1_000))
        )

    def test_a_refused_reservation_rejects_an_order_that_is_not_confirmed(self) -> None:
        step = ReserveStock(lines=LINES)
        refusal = CommandRejected(Reason.OUT_OF_STOCK, sku="tea")
        assert after_refusal(ORDER.fold(PLACED), step, refusal) == Reject(reason="OUT_OF_STOCK: sku=tea")
        assert after_refusal(ORDER.fold(CONFIRMED), step, refusal) is None

    def test_a_confirmation_refused_for_a_blocked_user_rejects_and_for_any_other_reason_does_not(self) -> None:
        blocked, other = CommandRejected(Reason.USER_BLOCKED, user_id="ann"), CommandRejected(Reason.ORDER_STATE)
        order = ORDER.fold((*PLACED, AUTHORISED))
        assert after_refusal(order, Confirm(), blocked) == Reject(reason="USER_BLOCKED: user_id=ann")
        assert after_refusal(order, Confirm(), other) is None

    def test_a_declined_payment_rejects(self) -> None:
        after((*PLACED, orders.payment_failed("checkout")), *BEGUN).comes(Reject(reason="PAYMENT_DECLINED"))

    def test_a_held_order_is_not_confirmed_but_expires(self) -> None:
        held = after((*PLACED, AUTHORISED, orders.held()), *BEGUN)
        assert held.waits() == "the hold to be released"
        held.comes(Expire(now=LATER), at=LATER)

    @pytest.mark.parametrize("process", [(STARTED,), BEGUN, (*BEGUN, failed("AUTHORISE_PAYMENT", retry_at=None))])
    def test_the_deadline_ends_whatever_is_not_confirmed(self, process: tuple[Any, ...]) -> None:
        after(PLACED, *process).comes(Expire(now=LATER), at=LATER)

    def test_what_was_over_before_it_began_stays_so(self) -> None:
        after((*PLACED, orders.cancelled())).waits()


class TestUndoing:
    @pytest.mark.parametrize("end", [orders.cancelled(), orders.rejected(), orders.expired()])
    def test_an_order_that_ends_gives_stock_and_money_back(self, end: Any) -> None:
        ended = (*PLACED, AUTHORISED, end)
        after(ended, *BEGUN).comes(ReleaseStock(lines=LINES))
        after(ended, *BEGUN, RELEASED).comes(VoidPayment(subject="checkout", recorded=True))
        given_back = (*ended, orders.voided("checkout", TOTAL))
        after(given_back, *BEGUN, RELEASED).comes(End(outcome=ORDER.fold(ended).status))
        after(given_back, *BEGUN, RELEASED, ENDED).waits()

    def test_an_answer_that_never_came_is_voided_too(self) -> None:
        after((*PLACED, orders.cancelled()), *BEGUN, RELEASED).comes(VoidPayment(subject="checkout", recorded=False))
        after((*PLACED, orders.cancelled()), *BEGUN, RELEASED, VOIDED).comes(End(outcome="CANCELLED"))

    def test_nothing_is_voided_that_was_never_asked_for(self) -> None:
        after((*PLACED, orders.cancelled()), STARTED, RELEASED).comes(End(outcome="CANCELLED"))

    def test_a_refusal_is_not_the_last_word_of_a_provider(self) -> None:
        declined = (*PLACED, orders.payment_failed("checkout"), orders.rejected())
        after(declined, *BEGUN, RELEASED).comes(VoidPayment(subject="checkout", recorded=False))

    def test_a_late_authorisation_of_an_order_that_has_ended_is_voided(self) -> None:
        late = (*PLACED, orders.expired(), AUTHORISED)
        after(late, *BEGUN, RELEASED, VOIDED, ENDED).comes(VoidPayment(subject="checkout", recorded=True))

    def test_what_was_drawn_before_the_end_goes_back(self) -> None:
        drawn = (*CONFIRMED, orders.captured("c", 400, "checkout"), orders.cancelled())
        asked = RequestRefund(subject="all", amount=euros(400), reason="the order has ended")
        after(drawn, *BEGUN, RELEASED).comes(VoidPayment(subject="checkout", recorded=True, drawn=True))
        released = (*drawn, orders.lapsed("checkout", TOTAL - 400))
        after(released, *BEGUN, RELEASED).comes(VoidPayment(subject="checkout~2", recorded=False))
        after(released, *BEGUN, RELEASED, VOIDED).comes(asked)
        requested = (*released, orders.refund_requested("all", 400))
        after(requested, *BEGUN, RELEASED, VOIDED).comes(SettleRefund(subject="all", amount=euros(400)))
        settled = (*requested, orders.refunded("all", 400))
        after(settled, *BEGUN, RELEASED, VOIDED).comes(End(outcome="CANCELLED"))


class TestFulfilment:
    SENT = (*CONFIRMED, orders.shipment_created("s1", ("tea", 2), ("milk", 1)), orders.dispatched("s1"))
    WORTH = 2 * 350 + 101

    def test_an_order_confirmed_by_hand_is_served_like_any_other(self) -> None:
        after((*PLACED, orders.confirmed()), STARTED).comes(ReserveStock(lines=LINES))
        after((*PLACED, orders.confirmed()), *BEGUN).comes(AuthorisePayment(amount=euros(TOTAL)))

    def test_a_packed_parcel_waits_until_it_is_sent(self) -> None:
        assert after(self.SENT[:-1], *BEGUN).waits() == "shipments"

    def test_what_is_sent_leaves_the_stock_and_is_paid_for(self) -> None:
        gone = (
            CheckoutLine(line_id="tea", sku="tea", quantity=2),
            CheckoutLine(line_id="milk", sku="milk", quantity=1),
        )
        after(self.SENT, *BEGUN).comes(CommitStock(subject="s1", lines=gone))
        capture = CapturePayment(subject="s1", authorisation_id="checkout", amount=euros(self.WORTH))
        after(self.SENT, *BEGUN, committed("s1")).comes(capture)

    def test_the_rest_of_a_line_is_counted_from_its_beginning_and_paid_with_its_parcel(self) -> None:
        paid = (*self.SENT, orders.captured("s1", self.WORTH, "checkout"))
        both = (*paid, orders.shipment_created("s2", ("milk", 2)), orders.dispatched("s2"))
        gone = (CheckoutLine(line_id="milk", sku="milk", quantity=3),)
        after(both, *BEGUN, committed("s1")).comes(CommitStock(subject="s2", lines=gone))
        capture = CapturePayment(subject="s2", authorisation_id="checkout", amount=euros(202))
        after(both, *BEGUN, committed("s1"), committed("s2")).comes(capture)

    def test_parcels_sent_in_another_order_than_packed_add_up_all_the_same(self) -> None:
        packed = (orders.shipment_created("s1", ("milk", 1)), orders.shipment_created("s2", ("milk", 2), ("tea", 2)))
        second_first = (*CONFIRMED, *packed, orders.dispatched("s2"))
        worth = 2 * 350 + 202
        capture = CapturePayment(subject="s2", authorisation_id="checkout", amount=euros(worth))
        after(second_first, *BEGUN, committed("s2")).comes(capture)
        then = (*second_first, orders.captured("s2", worth, "checkout"), orders.dispatched("s1"))
        gone = (CheckoutLine(line_id="milk", sku="milk", quantity=3),)
        after(then, *BEGUN, committed("s2")).comes(CommitStock(subject="s1", lines=gone))
        rest = CapturePayment(subject="s1", authorisation_id="checkout", amount=euros(101))
        after(then, *BEGUN, committed("s2"), committed("s1")).comes(rest)

    def test_shipping_is_paid_with_the_first_parcel_and_discounts_are_shared(self) -> None:
        lines = (orders.order_line("tea", 3, 100, discount=50),)
        placed = orders.placed(*lines, shipping=orders.by(price=500), total=euros(750))
        history = (
            orders.created(),
            orders.line_added("tea", 3, 100),
            placed,
            orders.authorised("checkout", 750),
            orders.confirmed(),
        )
        first = (*history, orders.shipment_created("s1", ("tea", 1)), orders.dispatched("s1"))
        process = (replace(STARTED, lines=(CheckoutLine(line_id="tea", sku="tea", quantity=3),)), RESERVED)
        capture = CapturePayment(subject="s1", authorisation_id="checkout", amount=euros(84 + 500))
        after(first, *process, committed("s1")).comes(capture)
        second = (*first, orders.captured("s1", 584, "checkout"), orders.shipment_created("s2", ("tea", 2)))
        last = CapturePayment(subject="s2", authorisation_id="checkout", amount=euros(750 - 584))
        after((*second, orders.dispatched("s2")), *process, committed("s1"), committed("s2")).comes(last)

    def test_cancelled_units_are_not_reserved_any_more(self) -> None:
        off = (*CONFIRMED, orders.quantity_cancelled("x1", "milk", 2))
        stays = CheckoutLine(line_id="milk", sku="milk", quantity=1)
        after(off, *BEGUN).comes(TrimStock(subject="x1", line=stays))
        trimmed = CheckoutStockTrimmed(order_id=ORDER_ID, cancellation_id="x1", at=NOON)
        assert after(off, *BEGUN, trimmed).waits() == "shipments"

    def test_what_has_all_arrived_and_is_paid_is_complete_and_ends(self) -> None:
        all_of_it = orders.shipment_created("s1", ("tea", 2), ("milk", 3))
        sent = (*CONFIRMED, all_of_it, orders.dispatched("s1"), orders.captured("s1", TOTAL, "checkout"))
        process = (*BEGUN, committed("s1"))
        assert after(sent, *process).waits() == "shipments"
        arrived = (*sent, orders.delivered("s1"))
        after(arrived, *process).comes(Complete())
        assert after((*arrived, orders.held()), *process).waits() == "the hold to be released"
        after((*arrived, orders.completed()), *process).comes(End(outcome="COMPLETED"))

    def test_units_cancelled_after_they_were_paid_for_are_paid_back(self) -> None:
        paid = (
            *CONFIRMED,
            orders.captured("by hand", TOTAL, "checkout"),
            orders.quantity_cancelled("x1", "milk", 2, 202),
        )
        trimmed = CheckoutStockTrimmed(order_id=ORDER_ID, cancellation_id="x1", at=NOON)
        back = RequestRefund(subject="surplus-1", amount=euros(202), reason="more was paid than the order costs")
        after(paid, *BEGUN, trimmed).comes(back)
        asked = (*paid, orders.refund_requested("surplus-1", 202))
        after(asked, *BEGUN, trimmed).comes(SettleRefund(subject="surplus-1", amount=euros(202)))
        settled = (*asked, orders.refunded("surplus-1", 202))
        assert after(settled, *BEGUN, trimmed).waits() == "shipments"
        more = (*settled, orders.quantity_cancelled("x2", "tea", 1, 350))
        also = CheckoutStockTrimmed(order_id=ORDER_ID, cancellation_id="x2", at=NOON)
        after(more, *BEGUN, trimmed, also).comes(replace(back, subject="surplus-2", amount=euros(350)))

    def test_a_surplus_is_paid_back_beside_what_has_come_back_and_then_the_order_is_complete(self) -> None:
        arrived = (
            *CONFIRMED,
            orders.captured("by hand", TOTAL, "checkout"),
            orders.quantity_cancelled("x1", "milk", 2, 202),
            orders.shipment_created("s1", ("tea", 2), ("milk", 1)),
            orders.dispatched("s1"),
            orders.delivered("s1"),
            orders.return_requested("r1", ("tea", 1)),
            orders.return_approved("r1"),
            orders.returned("r1", orders.received_line("tea", 1, amount=350)),
            orders.refund_requested("r1", 350, return_id="r1"),
            orders.refunded("r1", 350),
        )
        trimmed = CheckoutStockTrimmed(order_id=ORDER_ID, cancellation_id="x1", at=NOON)
        restocked = CheckoutReturnRestocked(order_id=ORDER_ID, return_id="r1", at=NOON)
        process = (*BEGUN, trimmed, committed("s1"), restocked)
        back = RequestRefund(subject="surplus-2", amount=euros(202), reason="more was paid than the order costs")
        after(arrived, *process).comes(back)
        settled = (*arrived, orders.refund_requested("surplus-2", 202), orders.refunded("surplus-2", 202))
        after(settled, *process).comes(Complete())

    def test_what_is_held_for_an_order_of_which_nothing_is_left_is_let_go(self) -> None:
        off = (
            *CONFIRMED,
            orders.quantity_cancelled("x1", "milk", 3, 303),
            orders.quantity_cancelled("x2", "tea", 2, 700),
        )
        trimmed = (CheckoutStockTrimmed(order_id=ORDER_ID, cancellation_id=x, at=NOON) for x in ("x1", "x2"))
        process = (*BEGUN, *trimmed)
        after(off, *process).comes(VoidPayment(subject="checkout", recorded=True))
        after((*off, orders.voided("checkout", TOTAL)), *process).comes(Complete())

    def test_what_an_order_still_costs_stays_held(self) -> None:
        arrived = (
            *CONFIRMED,
            orders.shipment_created("s1", ("tea", 2), ("milk", 3)),
            orders.dispatched("s1"),
            orders.delivered("s1"),
        )
        after(arrived, *BEGUN, committed("s1"), skipped("CAPTURE_PAYMENT", "s1")).comes(Complete())

    def test_an_open_return_is_waited_for(self) -> None:
        all_of_it = orders.shipment_created("s1", ("tea", 2), ("milk", 3))
        arrived = (
            *CONFIRMED,
            all_of_it,
            orders.dispatched("s1"),
            orders.captured("s1", TOTAL, "checkout"),
            orders.delivered("s1"),
            orders.return_requested("r1", ("milk", 1)),
        )
        assert after(arrived, *BEGUN, committed("s1")).waits() == "returns"

    def test_what_has_come_back_is_restocked_and_refunded_also_after_the_end(self) -> None:
        all_of_it = orders.shipment_created("s1", ("tea", 2), ("milk", 3))
        history = (
            *CONFIRMED,
            all_of_it,
            orders.dispatched("s1"),
            orders.captured("s1", TOTAL, "checkout"),
            orders.delivered("s1"),
            orders.completed(),
            orders.return_requested("r1", ("tea", 1)),
            orders.return_approved("r1"),
            orders.returned("r1", orders.received_line("tea", 1, amount=350)),
        )
        process = (*BEGUN, committed("s1"), ENDED)
        back = RestockReturn(subject="r1", lines=(CheckoutLine(line_id="tea", sku="tea", quantity=1),))
        after(history, *process).comes(back)
        restocked = (*process, CheckoutReturnRestocked(order_id=ORDER_ID, return_id="r1", at=NOON))
        refund = RequestRefund(subject="r1", amount=euros(350), reason="goods have come back", return_id="r1")
        after(history, *restocked).comes(refund)
        asked = (*history, orders.refund_requested("r1", 350, return_id="r1"))
        after(asked, *restocked).comes(SettleRefund(subject="r1", amount=euros(350)))
        after((*asked, orders.refunded("r1", 350)), *restocked).waits()


class TestRefunds:
    DRAWN = (
        *CONFIRMED,
        orders.captured("c", 400, "checkout"),
        orders.lapsed("checkout", TOTAL - 400),
        orders.cancelled(),
    )
    FAILED = (*DRAWN, orders.refund_requested("all", 400), orders.refund_failed("all", 400))
    PROCESS = (*BEGUN, RELEASED, VOIDED)
    AGAIN = RequestRefund(subject="all~2", amount=euros(400), reason="the order has ended", follows="all")

    def test_a_refund_that_failed_is_asked_for_again_under_a_new_number(self) -> None:
        after(self.FAILED, *self.PROCESS).comes(self.AGAIN)

    def test_the_next_try_waits_for_its_time_after_the_failure_of_the_one_before(self) -> None:
        process = after(self.FAILED, *self.PROCESS, failed("REFUND_PAYMENT", "all"))
        assert process.waits() == "the next attempt"
        process.comes(self.AGAIN, at=NOON + timedelta(seconds=1))

    def test_the_failure_of_another_refund_does_not_hold_it_up(self) -> None:
        after(self.FAILED, *self.PROCESS, failed("REFUND_PAYMENT", "sorry", retry_at=None)).comes(self.AGAIN)

    def test_each_try_knows_how_many_have_failed(self) -> None:
        asked = (*self.FAILED, orders.refund_requested("all~2", 400))
        after(asked, *self.PROCESS).comes(SettleRefund(subject="all~2", amount=euros(400), tries=2))

    def test_after_five_tries_it_is_given_up_and_an_operator_may_let_it_be_tried_once_more(self) -> None:
        tries = [("all", 400), *((f"all~{n}", 400) for n in range(2, 6))]
        all_failed = (*self.DRAWN, *(e for x in tries for e in (orders.refund_requested(*x), orders.refund_failed(*x))))
        given_up = GiveUpRefund(subject="all~5", amount=euros(400), tries=5, reason="card closed")
        after(all_failed, *self.PROCESS).comes(given_up)
        noted = (*self.PROCESS, failed("REFUND_PAYMENT", "all~5", attempt=5, retry_at=None))
        assert after(all_failed, *noted).waits() == "an operator"
        once_more = replace(self.AGAIN, subject="all~6", follows="all~5")
        after(all_failed, *noted, CheckoutRetried(order_id=ORDER_ID, at=NOON)).comes(once_more)

    def test_a_skipped_one_is_recorded_as_settled_without_the_provider(self) -> None:
        settled = SettleRefund(subject="all", amount=euros(400), outside=True)
        after(self.FAILED, *self.PROCESS, skipped("REFUND_PAYMENT", "all")).comes(settled)
        after(self.FAILED[:-1], *self.PROCESS, skipped("REFUND_PAYMENT", "all")).comes(settled)

    def test_the_first_number_that_is_not_taken_is_used(self) -> None:
        first = (orders.refund_requested("all", 100), orders.refunded("all", 100))
        third = (orders.refund_requested("all~3", 100), orders.refunded("all~3", 100))
        after((*self.DRAWN, *first, *third), *self.PROCESS).comes(replace(self.AGAIN, amount=euros(200), follows=""))


class TestParcelsThatDoNotArrive:
    SENT = (*CONFIRMED, orders.shipment_created("s1", ("tea", 2), ("milk", 2)), orders.dispatched("s1"))
    PAID = (*SENT, orders.captured("s1", 902, "checkout"))
    LOST = (*PAID, orders.lost("s1"))
    DRAWN = (*BEGUN, committed("s1"))
    AGAIN = CheckoutStockReservedAgain(order_id=ORDER_ID, shipment_id="s1", at=NOON)

    def test_what_is_lost_is_reserved_again(self) -> None:
        lines = (line("tea", 2), line("milk", 2))
        after(self.LOST, *self.DRAWN).comes(ReserveAgain(subject="s1", lines=lines, trims=0))
        assert after(self.LOST, *self.DRAWN, self.AGAIN).waits() == "shipments"

    def test_what_is_refused_is_waited_for(self) -> None:
        assert after((*self.PAID, orders.refused("s1")), *self.DRAWN).waits() == "shipments"

    def test_what_was_not_drawn_or_paid_before_it_was_lost_is_all_the_same(self) -> None:
        unpaid = (*self.SENT, orders.lost("s1"))
        after(unpaid, *BEGUN).comes(CommitStock(subject="s1", lines=(line("tea", 2), line("milk", 2))))
        after(unpaid, *self.DRAWN).comes(CapturePayment(subject="s1", authorisation_id="checkout", amount=euros(902)))

    def test_what_is_sent_again_is_drawn_from_what_was_reserved_again_and_not_paid_again(self) -> None:
        again = (*self.LOST, orders.shipment_created("s2", ("milk", 3)), orders.dispatched("s2"))
        further = (FurtherReservation(shipment_id="s1", line=line("milk", 2)),)
        after(again, *self.DRAWN, self.AGAIN).comes(
            CommitStock(subject="s2", lines=(line("milk", 3),), further=further)
        )
        assert after(again, *self.DRAWN, self.AGAIN, committed("s2")).waits() == "shipments"

    def test_what_is_sent_before_it_is_reserved_again_is_reserved_first(self) -> None:
        again = (*self.LOST, orders.shipment_created("s2", ("milk", 3)), orders.dispatched("s2"))
        lines = (line("tea", 2), line("milk", 2))
        after(again, *self.DRAWN).comes(ReserveAgain(subject="s1", lines=lines, trims=0))

    def test_stock_that_is_not_to_be_had_again_rejects_nothing(self) -> None:
        step = ReserveAgain(subject="s1", lines=(line("tea", 2),), trims=0)
        assert after_refusal(ORDER.fold(self.LOST), step, CommandRejected(Reason.OUT_OF_STOCK)) is None

    def test_cancelled_units_are_reserved_again_no_more_and_a_failure_is_forgotten(self) -> None:
        off = (*self.LOST, orders.quantity_cancelled("x1", "milk", 2, 202), orders.refund_requested("surplus-1", 202))
        paid_back = (*off, orders.refunded("surplus-1", 202))
        trimmed = CheckoutStockTrimmed(order_id=ORDER_ID, cancellation_id="x1", at=NOON)
        stuck = failed("RESERVE_STOCK", "s1", retry_at=None)
        after(paid_back, *self.DRAWN, stuck).comes(TrimStock(subject="x1", line=None))
        lines = (line("tea", 2), line("milk", 0))
        after(paid_back, *self.DRAWN, stuck, trimmed).comes(ReserveAgain(subject="s1", lines=lines, trims=1))
        further = (FurtherReservation(shipment_id="s1", line=line("milk", 0)),)
        after(paid_back, *self.DRAWN, self.AGAIN).comes(TrimStock(subject="x1", line=None, further=further))

    def test_what_arrives_after_all_is_reserved_no_more(self) -> None:
        arrived = (*self.LOST, orders.delivered("s1"))
        further = (
            FurtherReservation(shipment_id="s1", line=line("tea", 0)),
            FurtherReservation(shipment_id="s1", line=line("milk", 0)),
        )
        drop = DropReshipment(subject="shipment s1", shipment_id="s1", lines=(), further=further)
        after(arrived, *self.DRAWN, self.AGAIN).comes(drop)
        dropped = CheckoutReshipmentDropped(order_id=ORDER_ID, shipment_id="s1", at=NOON)
        assert after(arrived, *self.DRAWN, self.AGAIN, dropped).waits() == "shipments"

    def test_what_comes_back_is_restocked_before_it_is_reserved_again(self) -> None:
        back = (*self.PAID, orders.came_back("s1", orders.back_line("tea", 1), orders.back_line("milk", 2, DAMAGED)))
        after(back, *self.DRAWN).comes(RestockShipment(subject="s1", lines=(line("tea", 1),)))
        restocked = CheckoutShipmentRestocked(order_id=ORDER_ID, shipment_id="s1", at=NOON)
        lines = (line("tea", 2), line("milk", 2))
        after(back, *self.DRAWN, restocked).comes(ReserveAgain(subject="s1", lines=lines, trims=0))

    def test_an_order_cancelled_after_a_loss_releases_what_has_not_left(self) -> None:
        over = (*self.LOST, orders.cancelled(), orders.lapsed("checkout", TOTAL - 902))
        further = (
            FurtherReservation(shipment_id="s1", line=line("tea", 2)),
            FurtherReservation(shipment_id="s1", line=line("milk", 2)),
        )
        after(over, *self.DRAWN, self.AGAIN).comes(ReleaseStock(lines=(line("milk", 3),), further=further))
        refund = RequestRefund(subject="all", amount=euros(902), reason="the order has ended")
        after(over, *self.DRAWN, self.AGAIN, RELEASED, VOIDED).comes(refund)

    def test_money_that_may_have_been_drawn_for_a_lost_parcel_is_asked_for_before_it_goes_back(self) -> None:
        over = (*self.SENT, orders.lost("s1"), orders.cancelled())
        after(over, *self.DRAWN).comes(CapturePayment(subject="s1", authorisation_id="checkout", amount=euros(902)))
        skip = skipped("CAPTURE_PAYMENT", "s1")
        further = tuple(FurtherReservation(shipment_id="s1", line=x) for x in (line("tea", 2), line("milk", 2)))
        after(over, *self.DRAWN, skip).comes(ReleaseStock(lines=(line("milk", 3),), further=further))

    def test_a_lost_parcel_that_comes_back_after_the_end_is_restocked(self) -> None:
        over = (
            *(*self.LOST, orders.cancelled(), orders.lapsed("checkout", TOTAL - 902)),
            *(orders.refund_requested("all", 902), orders.refunded("all", 902)),
            orders.came_back("s1", orders.back_line("milk", 2)),
        )
        process = (*self.DRAWN, self.AGAIN, RELEASED, VOIDED, ENDED)
        after(over, *process).comes(RestockShipment(subject="s1", lines=(line("milk", 2),)))
        restocked = CheckoutShipmentRestocked(order_id=ORDER_ID, shipment_id="s1", at=NOON)
        assert after(over, *process, restocked).waits() == "nothing"

    def test_an_operator_may_give_up_an_order_whose_only_parcel_was_lost(self) -> None:
        after(self.LOST, *self.DRAWN, GIVEN_UP).comes(Cancel(reason="fraud"))
        assert after(self.PAID, *self.DRAWN, GIVEN_UP).waits() == "shipments"

    def test_a_skipped_reservation_counts_as_made_so_that_what_was_made_of_it_is_released(self) -> None:
        skip = (failed("RESERVE_STOCK", "s1", retry_at=None), skipped("RESERVE_STOCK", "s1"))
        assert after(self.LOST, *self.DRAWN, *skip).waits() == "shipments"
        off = (*self.LOST, orders.quantity_cancelled("x1", "milk", 1, 101))
        further = (FurtherReservation(shipment_id="s1", line=line("milk", 1)),)
        after(off, *self.DRAWN, *skip).comes(TrimStock(subject="x1", line=None, further=further))


class TestFailures:
    def test_a_failed_step_waits_for_its_time_and_is_tried_again(self) -> None:
        process = after(PLACED, *BEGUN, failed("AUTHORISE_PAYMENT"))
        assert process.waits() == "the next attempt"
        process.comes(AuthorisePayment(amount=euros(TOTAL)), at=NOON + timedelta(seconds=1))

    def test_what_has_failed_for_good_waits_for_an_operator(self) -> None:
        stuck = after(PLACED, *BEGUN, failed("AUTHORISE_PAYMENT", retry_at=None))
        assert stuck.waits(NOON + timedelta(days=1)) == "an operator"

    def test_another_step_is_not_held_up(self) -> None:
        after((*PLACED, AUTHORISED), *BEGUN, failed("AUTHORISE_PAYMENT", retry_at=None)).comes(Confirm())

    def test_a_skipped_step_counts_as_done(self) -> None:
        after(PLACED, STARTED, skipped("RESERVE_STOCK")).comes(AuthorisePayment(amount=euros(TOTAL)))
        after(PLACED, *BEGUN, skipped("AUTHORISE_PAYMENT")).comes(Confirm())

    def test_what_is_given_up_is_rejected_or_cancelled(self) -> None:
        after(PLACED, *BEGUN, GIVEN_UP).comes(Reject(reason="fraud"))
        after(CONFIRMED, *BEGUN, GIVEN_UP).comes(Cancel(reason="fraud"))


def given(*history: Any) -> deciding.Given[Any, Any, Any]:
    return deciding.given(CHECKOUT, *history)


FAILURE = NoteFailure(
    order_id=ORDER_ID,
    step="AUTHORISE_PAYMENT",
    subject="",
    reason="no answer",
    pauses=(timedelta(seconds=1), timedelta(seconds=2)),
    at=NOON,
)
RETRY = RetryProcess(order_id=ORDER_ID, at=NOON)
SKIP = SkipStep(order_id=ORDER_ID, step="AUTHORISE_PAYMENT", reason="by hand", at=NOON)
COMPENSATE = CompensateProcess(order_id=ORDER_ID, reason="fraud", shipped=False, at=NOON)


class TestDeciding:
    @pytest.mark.parametrize(
        ("command", "event"),
        [
            (NoteStockReserved(order_id=ORDER_ID, at=NOON), RESERVED),
            (NoteStockReleased(order_id=ORDER_ID, at=NOON), RELEASED),
            (NotePaymentVoided(order_id=ORDER_ID, at=NOON), VOIDED),
            (NoteStockCommitted(order_id=ORDER_ID, shipment_id="s1", at=NOON), committed("s1")),
            (
                NoteStockTrimmed(order_id=ORDER_ID, cancellation_id="x1", at=NOON),
                CheckoutStockTrimmed(order_id=ORDER_ID, cancellation_id="x1", at=NOON),
            ),
            (
                NoteReturnRestocked(order_id=ORDER_ID, return_id="r1", at=NOON),
                CheckoutReturnRestocked(order_id=ORDER_ID, return_id="r1", at=NOON),
            ),
            (
                NoteStockReservedAgain(order_id=ORDER_ID, shipment_id="s1", trims=0, at=NOON),
                CheckoutStockReservedAgain(order_id=ORDER_ID, shipment_id="s1", at=NOON),
            ),
            (
                NoteReshipmentDropped(order_id=ORDER_ID, shipment_id="s1", at=NOON),
                CheckoutReshipmentDropped(order_id=ORDER_ID, shipment_id="s1", at=NOON),
            ),
            (
                NoteShipmentRestocked(order_id=ORDER_ID, shipment_id="s1", at=NOON),
                CheckoutShipmentRestocked(order_id=ORDER_ID, shipment_id="s1", at=NOON),
            ),
            (EndCheckout(order_id=ORDER_ID, outcome="CANCELLED", at=NOON), ENDED),
            (StartCheckout(order_id=ORDER_ID, lines=LINES, deadline=LATER, at=NOON), None),
        ],
    )
    def test_what_is_known_is_not_written_twice(self, command: Any, event: Any) -> None:
        if event is not None:
            given(STARTED).when(command).then(event)
            given(STARTED, event).when(command).nothing()
        else:
            given().when(command).then(STARTED)
            given(STARTED).when(command).nothing()

    def test_a_reservation_that_was_computed_before_units_were_released_is_not_noted(self) -> None:
        note = NoteStockReservedAgain(order_id=ORDER_ID, shipment_id="s1", trims=0, at=NOON)
        trimmed = CheckoutStockTrimmed(order_id=ORDER_ID, cancellation_id="x1", at=NOON)
        again = CheckoutStockReservedAgain(order_id=ORDER_ID, shipment_id="s1", at=NOON)
        given(STARTED, trimmed).when(note).nothing()
        given(STARTED, trimmed).when(replace(note, trims=1)).then(again)

    def test_each_attempt_is_counted_and_the_last_waits_for_an_operator(self) -> None:
        first = failed("AUTHORISE_PAYMENT")
        second = failed("AUTHORISE_PAYMENT", attempt=2, retry_at=NOON + timedelta(seconds=2))
        third = failed("AUTHORISE_PAYMENT", attempt=3, retry_at=None)
        given(STARTED).when(FAILURE).then(first)
        given(STARTED, first).when(FAILURE).then(second)
        given(STARTED, first, second).when(FAILURE).then(third)

    def test_an_attempt_that_is_counted_elsewhere_has_that_number(self) -> None:
        second = failed("AUTHORISE_PAYMENT", attempt=2, retry_at=NOON + timedelta(seconds=2))
        given(STARTED).when(replace(FAILURE, attempt=2)).then(second)
        given(STARTED, second).when(replace(FAILURE, attempt=3)).then(
            failed("AUTHORISE_PAYMENT", attempt=3, retry_at=None)
        )

    def test_another_step_begins_to_count_again(self) -> None:
        given(STARTED, failed("RESERVE_STOCK", attempt=2)).when(FAILURE).then(failed("AUTHORISE_PAYMENT"))

    def test_a_retry_clears_the_failure(self) -> None:
        retried = CheckoutRetried(order_id=ORDER_ID, at=NOON)
        given(STARTED, failed("AUTHORISE_PAYMENT", attempt=2)).when(RETRY).then(retried)
        given(STARTED, failed("AUTHORISE_PAYMENT", attempt=2), retried).when(FAILURE).then(failed("AUTHORISE_PAYMENT"))
        given(STARTED).when(RETRY).nothing()

    def test_only_the_step_that_has_failed_is_skipped(self) -> None:
        given(STARTED, failed("AUTHORISE_PAYMENT")).when(SKIP).then(skipped("AUTHORISE_PAYMENT"))
        given(STARTED, failed("AUTHORISE_PAYMENT"), skipped("AUTHORISE_PAYMENT")).when(SKIP).nothing()
        given(STARTED).when(SKIP).rejected(Reason.PROCESS_STEP_NOT_FAILED, waits_for="nothing")
        given(STARTED, failed("RESERVE_STOCK")).when(SKIP).rejected(
            Reason.PROCESS_STEP_NOT_FAILED, waits_for="RESERVE_STOCK"
        )

    def test_what_has_not_been_sent_is_given_up_once(self) -> None:
        given(STARTED).when(COMPENSATE).then(GIVEN_UP)
        given(STARTED, GIVEN_UP).when(COMPENSATE).nothing()

    def test_what_was_sent_or_has_ended_is_not_given_up(self) -> None:
        given(STARTED).when(replace(COMPENSATE, shipped=True)).rejected(Reason.PROCESS_HAS_SHIPPED)
        given(STARTED, ENDED).when(COMPENSATE).rejected(Reason.PROCESS_ENDED, outcome="CANCELLED")

    @pytest.mark.parametrize("command", [RETRY, SKIP, COMPENSATE, FAILURE])
    def test_an_order_that_was_never_placed_has_none(self, command: Any) -> None:
        given().when(command).rejected(Reason.PROCESS_NOT_FOUND, order_id=ORDER_ID)

    def test_steps_have_the_names_that_are_reported(self) -> None:
        assert {step.name for step in (Start, ReserveStock, AuthorisePayment, Confirm, Reject, Expire, Cancel)} | {
            step.name
            for step in (ReleaseStock, VoidPayment, CommitStock, CapturePayment, RestockReturn, RestockShipment)
        } | {step.name for step in (RequestRefund, Complete, End)} == set(StepName)
