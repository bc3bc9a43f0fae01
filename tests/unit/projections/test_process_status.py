"""What the view of processes says, as sentences."""

from dataclasses import replace
from typing import Any

import pytest

from core.domain.checkout.events import (
    CheckoutEnded,
    CheckoutGivenUp,
    CheckoutLine,
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
)
from core.domain.order.events import OrderCompleted, PaymentAuthorised, PaymentRefunded, RefundRequested
from core.readmodel.documents import to_micros
from core.readmodel.views.process_status import process_status
from tests.support import orders
from tests.support.orders import LATER, NOON, ORDER_ID, euros
from tests.support.viewing import fold

STARTED = CheckoutStarted(
    id_version=8,
    order_id=ORDER_ID,
    lines=(CheckoutLine(line_id="tea", sku="tea", quantity=2),),
    deadline=LATER,
    at=NOON,
)
RESERVED = CheckoutStockReserved(order_id=ORDER_ID, at=NOON)
AUTHORISED = PaymentAuthorised(order_id=ORDER_ID, authorisation_id="checkout", amount=euros(700), at=NOON)
AUTHORISED_AGAIN = PaymentAuthorised(order_id=ORDER_ID, authorisation_id="checkout~2", amount=euros(700), at=NOON)
ENDED = CheckoutEnded(order_id=ORDER_ID, outcome="COMPLETED", at=NOON)
COMPLETED = OrderCompleted(order_id=ORDER_ID, at=NOON)
FAILED = CheckoutStepFailed(
    order_id=ORDER_ID, step="CAPTURE_PAYMENT", subject="s1", reason="no answer", attempt=2, retry_at=LATER, at=NOON
)
RETRIED = CheckoutRetried(order_id=ORDER_ID, at=NOON)

RESERVED_AGAIN = CheckoutStockReservedAgain(order_id=ORDER_ID, shipment_id="s1", at=NOON)
SHIPMENT_RESTOCKED = CheckoutShipmentRestocked(order_id=ORDER_ID, shipment_id="s1", at=NOON)
DROPPED = CheckoutReshipmentDropped(order_id=ORDER_ID, shipment_id="s1", at=NOON)


def shown(*events: Any) -> dict[str, Any]:
    document: dict[str, Any] = fold(process_status, [orders.placed(), *events])[ORDER_ID]
    return document


def says(document: dict[str, Any], **fields: Any) -> None:
    assert {name: document[name] for name in fields} == fields


def test_an_order_whose_process_has_not_begun_is_not_shown() -> None:
    assert not fold(process_status, [orders.placed(), orders.cancelled()]).get(ORDER_ID)


@pytest.mark.parametrize(
    ("history", "step", "subject"),
    [
        ((), "RESERVE_STOCK", ""),
        ((RESERVED,), "AUTHORISE_PAYMENT", ""),
        ((RESERVED, AUTHORISED), "CONFIRM_ORDER", ""),
        ((RESERVED, AUTHORISED, orders.confirmed()), "SHIPMENTS", ""),
        ((RESERVED, AUTHORISED, orders.confirmed(), AUTHORISED_AGAIN), "SHIPMENTS", ""),
        ((orders.confirmed(), orders.dispatched("s1")), "COMMIT_STOCK", "s1"),
        ((orders.confirmed(), orders.lost("s1")), "RESERVE_STOCK", "s1"),
        ((orders.confirmed(), orders.lost("s1"), RESERVED_AGAIN), "SHIPMENTS", ""),
        ((orders.confirmed(), orders.came_back("s1")), "RESTOCK_SHIPMENT", "s1"),
        ((orders.confirmed(), orders.came_back("s1"), SHIPMENT_RESTOCKED), "SHIPMENTS", ""),
        (
            (orders.confirmed(), CheckoutStockCommitted(order_id=ORDER_ID, shipment_id="s1", at=NOON)),
            "CAPTURE_PAYMENT",
            "s1",
        ),
        ((RESERVED, orders.cancelled()), "RELEASE_STOCK", ""),
        ((orders.cancelled(), CheckoutStockReleased(order_id=ORDER_ID, at=NOON)), "VOID_PAYMENT", ""),
    ],
)
def test_it_says_what_is_waited_for(history: tuple[Any, ...], step: str, subject: str) -> None:
    says(shown(STARTED, *history), status="RUNNING", step=step, subject=subject, deadline=to_micros(LATER))


def test_a_failed_step_is_reported_with_its_reason_and_the_next_attempt() -> None:
    document = shown(STARTED, FAILED)
    says(document, status="RETRYING", step="CAPTURE_PAYMENT", subject="s1", reason="no answer", attempt=2)
    says(document, retry_at=to_micros(LATER), failures=1)


def test_what_is_not_tried_again_by_itself_is_stuck() -> None:
    says(shown(STARTED, FAILED, replace(FAILED, retry_at=None, attempt=3)), status="STUCK", retry_at=None, failures=2)


@pytest.mark.parametrize(
    "hand",
    [
        RETRIED,
        CheckoutStepSkipped(order_id=ORDER_ID, step="CAPTURE_PAYMENT", subject="s1", reason="cash", at=NOON),
        CheckoutGivenUp(order_id=ORDER_ID, reason="fraud", at=NOON),
        AUTHORISED,
    ],
)
def test_an_operator_or_progress_sets_it_going_again(hand: Any) -> None:
    says(shown(STARTED, replace(FAILED, retry_at=None), hand), status="RUNNING", reason="", attempt=0, failures=1)


def test_what_has_ended_says_how_and_whether_it_was_confirmed() -> None:
    says(shown(STARTED, orders.confirmed(), COMPLETED, ENDED), status="ENDED", outcome="COMPLETED", confirmed=True)
    says(
        shown(STARTED, orders.cancelled(), replace(ENDED, outcome="CANCELLED")),
        status="ENDED",
        outcome="CANCELLED",
        confirmed=False,
        step="",
    )


def test_a_refund_after_the_end_is_a_step_until_it_is_paid() -> None:
    requested = RefundRequested(
        order_id=ORDER_ID, refund_id="r1", amount=euros(100), reason="broken", return_id="r1", at=NOON
    )
    refunded = PaymentRefunded(order_id=ORDER_ID, refund_id="r1", amount=euros(100), at=NOON)
    history = (STARTED, orders.confirmed(), COMPLETED, ENDED, requested)
    says(shown(*history), status="RUNNING", step="REFUND_PAYMENT", subject="r1")
    says(shown(*history, refunded), status="ENDED", step="", outcome="COMPLETED")


def test_a_return_for_which_nothing_is_owed_is_a_step_until_it_is_restocked() -> None:
    over = (STARTED, RESERVED, orders.confirmed(), COMPLETED, ENDED)
    back = (orders.excess_returned("r1"), orders.empty_return("r1"))
    restocked = CheckoutReturnRestocked(order_id=ORDER_ID, return_id="r1", at=NOON)
    says(shown(*over, *back), status="RUNNING", step="RESTOCK_RETURN", subject="r1")
    says(shown(*over, *back, restocked), status="ENDED", step="", outcome="COMPLETED")
    says(shown(*over, orders.returned("r1"), restocked), status="RUNNING", step="REFUND_PAYMENT", subject="r1")


def test_the_revision_is_that_of_the_process_not_of_the_order() -> None:
    says(shown(STARTED, RESERVED, AUTHORISED, orders.confirmed()), revision=1)


def test_a_parcel_that_comes_back_after_the_end_is_a_step_until_it_is_restocked() -> None:
    over = (STARTED, RESERVED, orders.confirmed(), COMPLETED, ENDED, orders.came_back("s1"))
    says(shown(*over), status="RUNNING", step="RESTOCK_SHIPMENT", subject="s1")
    says(shown(*over, SHIPMENT_RESTOCKED), status="ENDED", step="", outcome="COMPLETED")


def test_a_lost_parcel_that_arrives_after_all_ends_the_failure_to_reserve_its_units_again() -> None:
    stuck = replace(FAILED, step="RESERVE_STOCK", reason="OUT_OF_STOCK", retry_at=None)
    history = (STARTED, RESERVED, orders.confirmed(), orders.lost("s1"), stuck)
    says(shown(*history), status="STUCK", step="RESERVE_STOCK", subject="s1")
    says(shown(*history, orders.delivered("s1"), DROPPED), status="RUNNING", reason="")
