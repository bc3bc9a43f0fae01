"""What an order owes its customer is computed from money: what failed has paid nothing, and ids say nothing."""

from typing import Any

import pytest

from core.domain.order import ORDER, owed
from core.domain.order.state import Completed, Confirmed
from core.domain.rejection import Reason
from tests.support import deciding
from tests.support.orders import (
    authorised,
    captured,
    complete,
    completed,
    confirmed,
    created,
    delivered,
    dispatched,
    line_added,
    order_line,
    placed,
    quantity_cancelled,
    received_line,
    refund,
    refund_failed,
    refund_requested,
    refunded,
    return_approved,
    return_requested,
    returned,
    shipment_created,
)

DELIVERED = (
    created(),
    line_added("tea", 2, 500),
    placed(order_line("tea", 2, 500)),
    confirmed(),
    authorised(amount=1_000),
    captured(amount=1_000),
    shipment_created(),
    dispatched(),
    delivered(),
)
ASKED_BACK = (return_requested("r1", ("tea", 1)), return_approved("r1"))
BACK = (*ASKED_BACK, returned("r1", received_line("tea", 1, 500)))
ALL_BACK = (return_requested(), return_approved(), returned("r1", received_line("tea", 2, 1_000)))


def given(*history: Any) -> deciding.Given[Any, Any, Any]:
    return deciding.given(ORDER, *history)


def owes(*history: Any) -> dict[str, int]:
    order = ORDER.fold(history)
    assert isinstance(order, Confirmed | Completed)
    return {name: minor for name, minor in owed.for_returns(order).items() if minor} | (
        {"surplus": owed.surplus(order)} if owed.surplus(order) else {}
    )


class TestReturns:
    def test_a_received_return_is_owed_what_it_is_worth(self) -> None:
        assert owes(*DELIVERED, *ASKED_BACK) == {}
        assert owes(*DELIVERED, *BACK) == {"r1": 500}

    @pytest.mark.parametrize("answer", [(), (refunded("money", 500),)])
    def test_a_refund_for_it_pays_it_whatever_its_id(self, answer: tuple[Any, ...]) -> None:
        assert owes(*DELIVERED, *BACK, refund_requested("money", 500, return_id="r1"), *answer) == {}

    def test_a_refund_that_failed_has_paid_nothing(self) -> None:
        asked = refund_requested("r1", 500, return_id="r1")
        assert owes(*DELIVERED, *BACK, asked, refund_failed("r1", 500)) == {"r1": 500}

    def test_a_refund_that_arrives_after_its_failure_pays_the_return_that_it_was_for(self) -> None:
        asked = refund_requested("x", 500, return_id="r1")
        assert owes(*DELIVERED, *BACK, asked, refund_failed("x", 500), refunded("x", 500)) == {}

    @pytest.mark.parametrize("amount", [50, 500])
    def test_a_goodwill_refund_named_like_a_return_pays_none_of_it(self, amount: int) -> None:
        goodwill = (refund_requested("r1", amount), refunded("r1", amount))
        assert owes(*DELIVERED, *goodwill, *BACK) == {"r1": 500}

    def test_what_was_paid_in_part_is_owed_for_the_rest(self) -> None:
        assert owes(*DELIVERED, *BACK, refund_requested("x", 200, return_id="r1")) == {"r1": 300}

    def test_a_refund_beyond_what_a_return_is_worth_takes_nothing_from_another(self) -> None:
        more = refund_requested("x", 700, return_id="r1")
        second = (
            return_requested("r2", ("tea", 1)), return_approved("r2"), returned("r2", received_line("tea", 1, 500))
        )  # fmt: skip
        assert owes(*DELIVERED, *BACK, more, *second) == {"r2": 300}, "no more than is left of the money"
        assert owes(*DELIVERED, *BACK, refund_requested("x", 500, return_id="r1"), *second) == {"r2": 500}

    def test_no_more_is_owed_than_was_captured_and_is_not_refunded(self) -> None:
        assert owes(*DELIVERED, refund_requested("sorry", 200), *ALL_BACK) == {"r1": 800}

    def test_what_came_back_before_it_was_paid_for_is_not_owed(self) -> None:
        unpaid = (*DELIVERED[:5], *DELIVERED[6:], *BACK)
        assert owes(*unpaid, captured(amount=500)) == {}
        assert owes(*unpaid, captured(amount=700)) == {"r1": 200}

    def test_what_is_not_sent_yet_does_not_keep_a_return_from_being_paid(self) -> None:
        sent_in_part = (*DELIVERED[:5], captured(amount=500), shipment_created("s1", ("tea", 1)), *DELIVERED[7:])
        assert owes(*sent_in_part, *BACK) == {"r1": 500}

    def test_in_an_old_log_a_refund_with_the_id_of_a_return_is_for_it(self) -> None:
        by_hand = (refund_requested("r1", 500, return_id=None), refunded("r1", 500))
        assert owes(*DELIVERED, *BACK, *by_hand) == {}
        assert owes(*DELIVERED, *BACK, refund_requested("x", 200, return_id=None)) == {"r1": 500}


class TestSurplus:
    OVERPAID = (*DELIVERED[:6], quantity_cancelled(amount=500))

    def test_what_was_captured_beyond_the_price_is_owed(self) -> None:
        assert owes(*self.OVERPAID) == {"surplus": 500}

    def test_a_failed_refund_does_not_lessen_it_and_any_other_does(self) -> None:
        asked = (*self.OVERPAID, refund_requested("sorry", 200))
        assert owes(*asked) == {"surplus": 300}
        assert owes(*asked, refund_failed("sorry", 200)) == {"surplus": 500}

    def test_what_goes_back_for_a_return_is_no_part_of_it(self) -> None:
        sent = (shipment_created("s1", ("tea", 1)), dispatched(), delivered(), *BACK)
        assert owes(*self.OVERPAID, *sent) == {"r1": 500, "surplus": 500}
        paid = (refund_requested("x", 500, return_id="r1"), refunded("x", 500))
        assert owes(*self.OVERPAID, *sent, *paid) == {"surplus": 500}


class TestCompleting:
    def test_an_order_is_not_complete_while_a_return_is_not_paid(self) -> None:
        given(*DELIVERED, *ALL_BACK).when(complete()).rejected(Reason.ORDER_OPEN_ITEMS, owed_minor=1_000)

    def test_a_failed_refund_does_not_complete_it(self) -> None:
        failed = (refund_requested("r1", 1_000, return_id="r1"), refund_failed("r1", 1_000))
        given(*DELIVERED, *ALL_BACK, *failed).when(complete()).rejected(Reason.ORDER_OPEN_ITEMS, owed_minor=1_000)

    def test_what_is_owed_is_asked_for_and_then_it_waits_for_the_answer(self) -> None:
        asked = (*DELIVERED, *BACK, refund_requested("r1", 500, return_id="r1"))
        given(*asked).when(complete()).rejected(Reason.ORDER_OPEN_ITEMS, owed_minor=0, refunding_minor=500)
        given(*asked, refunded("r1", 500)).when(complete()).then(completed())


class TestRefundingAReturn:
    def test_a_refund_says_which_received_return_it_pays(self) -> None:
        given(*DELIVERED, *BACK).when(refund("x", 500, return_id="r1")).then(refund_requested("x", 500, "r1"))

    def test_the_return_must_exist(self) -> None:
        for history in (DELIVERED, DELIVERED[:4] + DELIVERED[4:6]):
            given(*history).when(refund("x", 500, return_id="r1")).rejected(Reason.RETURN_NOT_FOUND, return_id="r1")

    def test_and_must_have_come_back(self) -> None:
        given(*DELIVERED, *ASKED_BACK).when(refund("x", 500, return_id="r1")).rejected(
            Reason.RETURN_STATE, return_id="r1", stage="APPROVED"
        )

    def test_a_refund_id_cannot_stand_for_two_returns(self) -> None:
        asked = (*DELIVERED, *BACK, refund_requested("x", 500, return_id="r1"))
        given(*asked).when(refund("x", 500, return_id="r1")).nothing()
        given(*asked).when(refund("x", 500)).rejected(Reason.REFUND_EXISTS)

    def test_a_refund_of_an_old_log_is_asked_for_again_without_effect(self) -> None:
        asked = (*DELIVERED, *BACK, refund_requested("r1", 500, return_id=None))
        given(*asked).when(refund("r1", 500)).nothing()
        given(*asked).when(refund("r1", 500, return_id="r1")).nothing()
