"""The rulebook of a process: (state, command) → events."""

from collections.abc import Sequence

from core.domain.checkout.commands import (
    CheckoutCommand,
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
    StartAsPlanned,
    StartCheckout,
)
from core.domain.checkout.events import (
    CheckoutEnded,
    CheckoutEvent,
    CheckoutGivenUp,
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
from core.domain.checkout.state import OWN_IDS, Checkout, NotStarted, Running
from core.domain.rejection import CommandRejected, Reason


def decide(state: Checkout, command: CheckoutCommand) -> Sequence[CheckoutEvent]:  # noqa: C901, PLR0912  # the rulebook: a row a rule
    order_id, at = command.order_id, command.at
    match state, command:
        case NotStarted(), StartCheckout():
            return [_started(command)]
        case NotStarted(), StartAsPlanned(plan_id=plan_id, current_plan_id=current):
            if plan_id != current:
                raise CommandRejected(
                    Reason.PROCESS_PLAN_STALE, order_id=order_id, plan_id=plan_id, current_plan_id=current
                )
            return [_started(command)]
        case Running(), (StartCheckout() | StartAsPlanned()):
            return []
        case NotStarted(), _:
            raise CommandRejected(Reason.PROCESS_NOT_FOUND, order_id=order_id)

        case Running(), NoteStockReserved():
            return [] if state.reserved else [CheckoutStockReserved(order_id=order_id, at=at)]
        case Running(), NoteStockReleased():
            return [] if state.released else [CheckoutStockReleased(order_id=order_id, at=at)]
        case Running(), NotePaymentVoided():
            return [] if state.voided else [CheckoutPaymentVoided(order_id=order_id, at=at)]
        case Running(), NoteStockCommitted(shipment_id=shipment_id):
            known = shipment_id in state.committed
            return [] if known else [CheckoutStockCommitted(order_id=order_id, shipment_id=shipment_id, at=at)]
        case Running(), NoteStockTrimmed(cancellation_id=cancellation_id):
            known = cancellation_id in state.trimmed
            return [] if known else [CheckoutStockTrimmed(order_id=order_id, cancellation_id=cancellation_id, at=at)]
        case Running(), NoteReturnRestocked(return_id=return_id):
            known = return_id in state.restocked
            return [] if known else [CheckoutReturnRestocked(order_id=order_id, return_id=return_id, at=at)]
        case Running(), NoteStockReservedAgain(shipment_id=shipment_id):
            known = shipment_id in state.reserved_again or command.trims != state.trims
            return [] if known else [CheckoutStockReservedAgain(order_id=order_id, shipment_id=shipment_id, at=at)]
        case Running(), NoteReshipmentDropped(shipment_id=shipment_id):
            known = shipment_id in state.dropped
            return [] if known else [CheckoutReshipmentDropped(order_id=order_id, shipment_id=shipment_id, at=at)]
        case Running(), NoteShipmentRestocked(shipment_id=shipment_id):
            known = shipment_id in state.shipments_restocked
            return [] if known else [CheckoutShipmentRestocked(order_id=order_id, shipment_id=shipment_id, at=at)]
        case Running(), NoteFailure():
            return _fail(state, command)
        case Running(), EndCheckout():
            return [] if state.outcome else [CheckoutEnded(order_id=order_id, outcome=command.outcome, at=at)]

        case Running(), RetryProcess():
            return [CheckoutRetried(order_id=order_id, at=at)] if state.failure else []
        case Running(), SkipStep():
            return _skip(state, command)
        case Running(), CompensateProcess():
            return _give_up(state, command)
        case _:
            raise AssertionError(f"no rule for {command}")


def _started(command: StartCheckout | StartAsPlanned) -> CheckoutStarted:
    return CheckoutStarted(
        order_id=command.order_id,
        lines=command.lines,
        deadline=command.deadline,
        id_version=OWN_IDS,
        at=command.at,
    )


def _fail(state: Running, command: NoteFailure) -> Sequence[CheckoutEvent]:
    before = state.failure
    again = before is not None and (before.step, before.subject) == (command.step, command.subject)
    counted = before.attempt + 1 if before is not None and again else 1
    attempt = counted if command.attempt is None else command.attempt
    retry_at = command.at + command.pauses[attempt - 1] if attempt <= len(command.pauses) else None
    return [
        CheckoutStepFailed(
            order_id=state.order_id,
            step=command.step,
            subject=command.subject,
            reason=command.reason,
            attempt=attempt,
            retry_at=retry_at,
            at=command.at,
        )
    ]


def _skip(state: Running, command: SkipStep) -> Sequence[CheckoutEvent]:
    failure = state.failure
    if failure is None or failure.step != command.step:
        if any(step == command.step for step, _ in state.skipped):
            return []
        waits_for = failure.step if failure else "nothing"
        raise CommandRejected(
            Reason.PROCESS_STEP_NOT_FAILED, order_id=state.order_id, step=command.step, waits_for=waits_for
        )
    return [
        CheckoutStepSkipped(
            order_id=state.order_id, step=failure.step, subject=failure.subject, reason=command.reason, at=command.at
        )
    ]


def _give_up(state: Running, command: CompensateProcess) -> Sequence[CheckoutEvent]:
    if state.given_up:
        return []
    if state.outcome:
        raise CommandRejected(Reason.PROCESS_ENDED, order_id=state.order_id, outcome=state.outcome)
    if command.shipped:
        raise CommandRejected(Reason.PROCESS_HAS_SHIPPED, order_id=state.order_id)
    return [CheckoutGivenUp(order_id=state.order_id, reason=command.reason, at=command.at)]
