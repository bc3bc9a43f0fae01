"""The state of an order's process. The outcome of order and payments is in the order's own stream."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from core.domain.checkout.events import (
    CheckoutEnded,
    CheckoutEvent,
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

FORMER_IDS, OWN_IDS = 5, 8  # versions of UUIDs


class StepName(StrEnum):
    """Steps as operators see them."""

    START = "START"
    RESERVE_STOCK = "RESERVE_STOCK"
    AUTHORISE_PAYMENT = "AUTHORISE_PAYMENT"
    CONFIRM_ORDER = "CONFIRM_ORDER"
    REJECT_ORDER = "REJECT_ORDER"
    EXPIRE_ORDER = "EXPIRE_ORDER"
    CANCEL_ORDER = "CANCEL_ORDER"
    RELEASE_STOCK = "RELEASE_STOCK"
    VOID_PAYMENT = "VOID_PAYMENT"
    COMMIT_STOCK = "COMMIT_STOCK"
    CAPTURE_PAYMENT = "CAPTURE_PAYMENT"
    RESTOCK_RETURN = "RESTOCK_RETURN"
    RESTOCK_SHIPMENT = "RESTOCK_SHIPMENT"
    REFUND_PAYMENT = "REFUND_PAYMENT"
    COMPLETE_ORDER = "COMPLETE_ORDER"
    END = "END"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The last attempt at a step has failed. `retry_at` None: it is not retried by itself."""

    step: str
    subject: str
    reason: str
    attempt: int
    retry_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotStarted:
    """Before the order was placed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """`committed` has the shipments whose goods have left the stock, `trimmed` the cancellations whose units are not
    reserved any more, `restocked` the returns that are back in stock; `skipped` what an operator took for done, as
    (step, subject), and `retried` what an operator let be tried once more; `given_up` why an operator wants all undone,
    "" if none does. `outcome` is "" until it has ended.

    `reserved_again` has the lost or returned parcels whose units are reserved to be sent again, `dropped` those of them
    that arrived after all and for which nothing is reserved any more, `shipments_restocked` the returned ones that are
    back in stock.
    """

    order_id: str
    lines: tuple[CheckoutLine, ...]
    deadline: datetime
    id_version: int = OWN_IDS
    reserved: bool = False
    released: bool = False
    voided: bool = False
    committed: tuple[str, ...] = ()
    trimmed: tuple[str, ...] = ()
    restocked: tuple[str, ...] = ()
    reserved_again: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    shipments_restocked: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    retried: tuple[tuple[str, str], ...] = ()
    given_up: str = ""
    failure: Failure | None = None
    outcome: str = ""

    @property
    def trims(self) -> int:
        """How often units that are not needed any more were released."""
        return len(self.trimmed) + len(self.dropped)


Checkout = NotStarted | Running


def evolve(state: Checkout, event: CheckoutEvent) -> Checkout:  # noqa: C901, PLR0912  # one arm per event type
    match state, event:
        case NotStarted(), CheckoutStarted():
            return Running(
                order_id=event.order_id, lines=event.lines, deadline=event.deadline, id_version=event.id_version
            )
        case Running(), CheckoutStockReserved():
            return replace(state, reserved=True, failure=None)
        case Running(), CheckoutStockReleased():
            return replace(state, released=True, failure=None)
        case Running(), CheckoutPaymentVoided():
            return replace(state, voided=True, failure=None)
        case Running(), CheckoutStockCommitted():
            return replace(state, committed=(*state.committed, event.shipment_id), failure=None)
        case Running(), CheckoutStockTrimmed():
            return replace(state, trimmed=(*state.trimmed, event.cancellation_id), failure=None)
        case Running(), CheckoutReturnRestocked():
            return replace(state, restocked=(*state.restocked, event.return_id), failure=None)
        case Running(), CheckoutStockReservedAgain():
            return replace(state, reserved_again=(*state.reserved_again, event.shipment_id), failure=None)
        case Running(), CheckoutReshipmentDropped():
            return replace(state, dropped=(*state.dropped, event.shipment_id), failure=None)
        case Running(), CheckoutShipmentRestocked():
            return replace(state, shipments_restocked=(*state.shipments_restocked, event.shipment_id), failure=None)
        case Running(), CheckoutStepFailed():
            return replace(state, failure=_failure(event))
        case Running(), CheckoutRetried():
            again = ((state.failure.step, state.failure.subject),) if state.failure else ()
            return replace(state, retried=(*state.retried, *again), failure=None)
        case Running(), CheckoutStepSkipped():
            return _skipped(state, event)
        case Running(), CheckoutGivenUp():
            return replace(state, given_up=event.reason, failure=None)
        case Running(), CheckoutEnded():
            return replace(state, outcome=event.outcome, failure=None)
        case _, (
            CheckoutStarted()
            | CheckoutStockReserved()
            | CheckoutStockReleased()
            | CheckoutPaymentVoided()
            | CheckoutStockCommitted()
            | CheckoutStockTrimmed()
            | CheckoutReturnRestocked()
            | CheckoutStockReservedAgain()
            | CheckoutReshipmentDropped()
            | CheckoutShipmentRestocked()
            | CheckoutStepFailed()
            | CheckoutRetried()
            | CheckoutStepSkipped()
            | CheckoutGivenUp()
            | CheckoutEnded()
        ):
            return state  # a step that decide never takes; history is true, so it changes nothing
        case _:
            assert_never(event)


def _failure(event: CheckoutStepFailed) -> Failure:
    return Failure(
        step=event.step,
        subject=event.subject,
        reason=event.reason,
        attempt=event.attempt,
        retry_at=event.retry_at,
    )


def _skipped(state: Running, event: CheckoutStepSkipped) -> Running:
    parcel = event.step == StepName.RESERVE_STOCK and event.subject  # some of its lines may be reserved
    return replace(
        state,
        skipped=(*state.skipped, (event.step, event.subject)),
        reserved_again=(*state.reserved_again, event.subject) if parcel else state.reserved_again,
        failure=None,
    )
