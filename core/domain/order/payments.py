"""The rules of money: never more authorised than the order is worth, nor captured than authorised, nor refunded than
captured.

These commands record the actions of a payment provider, so they are accepted in every stage from placing on, also after
the order has ended: a late answer must be recorded before it can be voided or refunded. Every step has an id of the
caller's; the same step again changes nothing.
"""

from collections.abc import Sequence

from core.domain.money import Money, require_amount
from core.domain.order.commands import (
    CapturePayment,
    PaymentCommand,
    RecordAuthorisation,
    RecordAuthorisationLapse,
    RecordPaymentFailure,
    RecordRefundFailure,
    RefundPayment,
    SettleRefund,
    VoidAuthorisation,
)
from core.domain.order.events import (
    AuthorisationLapsed,
    OrderEvent,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentFailed,
    PaymentRefunded,
    PaymentVoided,
    RefundFailed,
    RefundRequested,
)
from core.domain.order.ledger import Authorisation, AuthorisationStage, Refund, RefundStage
from core.domain.order.limits import require_capacity
from core.domain.order.state import Cancelled, Completed, Confirmed, Expired, Placed, Rejected, ReturnStage
from core.domain.rejection import CommandRejected, Reason

Paying = Placed | Confirmed | Completed | Cancelled | Rejected | Expired
"""Every stage that has a ledger."""


def decide(order: Paying, command: PaymentCommand) -> Sequence[OrderEvent]:
    match command:
        case RecordAuthorisation():
            return _authorise(order, command)
        case RecordPaymentFailure():
            return _fail(order, command)
        case VoidAuthorisation():
            return _void(order, command)
        case RecordAuthorisationLapse():
            return _lapse(order, command)
        case CapturePayment():
            return _capture(order, command)
        case RefundPayment():
            return _request_refund(order, command)
        case SettleRefund():
            return _settle_refund(order, command)
        case RecordRefundFailure():
            return _fail_refund(order, command)


def _authorise(order: Paying, command: RecordAuthorisation) -> Sequence[OrderEvent]:
    amount = _valid(order, command.amount)
    known = order.payments.authorisation(command.authorisation_id)
    # a failed one may turn out to have been granted: then it has to be recorded, to be voided
    if known is not None and known.stage != AuthorisationStage.FAILED:
        if known.amount_minor == amount:
            return []
        raise CommandRejected(
            Reason.AUTHORISATION_EXISTS,
            order_id=order.order_id,
            authorisation_id=command.authorisation_id,
            stage=known.stage,
        )
    if known is None:
        require_capacity(order.order_id, "authorisations", len(order.payments.authorisations))
    authorised, total = order.payments.authorised, order.payments.authorisation_limit_minor
    if authorised + amount > total:
        raise CommandRejected(
            Reason.AUTHORISATION_EXCEEDS_TOTAL,
            order_id=order.order_id,
            amount_minor=amount,
            authorised_minor=authorised,
            total_minor=total,
            currency=order.currency,
        )
    return [
        PaymentAuthorised(
            order_id=order.order_id,
            authorisation_id=command.authorisation_id,
            amount=command.amount,
            at=command.at,
        )
    ]


def _fail(order: Paying, command: RecordPaymentFailure) -> Sequence[OrderEvent]:
    known = order.payments.authorisation(command.authorisation_id)
    if known is None:
        require_capacity(order.order_id, "authorisations", len(order.payments.authorisations))
        return [
            PaymentFailed(
                order_id=order.order_id,
                authorisation_id=command.authorisation_id,
                reason=command.reason,
                at=command.at,
            )
        ]
    if known.stage == AuthorisationStage.FAILED:
        return []
    raise CommandRejected(
        Reason.AUTHORISATION_EXISTS,
        order_id=order.order_id,
        authorisation_id=command.authorisation_id,
        stage=known.stage,
    )


def _void(order: Paying, command: VoidAuthorisation) -> Sequence[OrderEvent]:
    known = _authorisation(order, command)
    if known.stage != AuthorisationStage.AUTHORISED:
        return []  # it holds no money, as requested
    captured = order.payments.captured_of(known.authorisation_id)
    if captured:
        raise CommandRejected(
            Reason.ALREADY_CAPTURED,
            order_id=order.order_id,
            authorisation_id=known.authorisation_id,
            captured_minor=captured,
            currency=order.currency,
        )
    return [
        PaymentVoided(
            order_id=order.order_id,
            authorisation_id=known.authorisation_id,
            amount=Money(amount_minor=known.amount_minor, currency=order.currency),
            at=command.at,
        )
    ]


def _lapse(order: Paying, command: RecordAuthorisationLapse) -> Sequence[OrderEvent]:
    known = _authorisation(order, command)
    held = order.payments.held_of(known)
    if not held:
        return []
    return [
        AuthorisationLapsed(
            order_id=order.order_id,
            authorisation_id=known.authorisation_id,
            amount=Money(amount_minor=held, currency=order.currency),
            reason=command.reason,
            at=command.at,
        )
    ]


def _capture(order: Paying, command: CapturePayment) -> Sequence[OrderEvent]:
    amount = _valid(order, command.amount)
    before = order.payments.capture(command.capture_id)
    if before is not None:
        if (before.authorisation_id, before.amount_minor) == (command.authorisation_id, amount):
            return []
        raise CommandRejected(Reason.CAPTURE_EXISTS, order_id=order.order_id, capture_id=command.capture_id)
    require_capacity(order.order_id, "captures", len(order.payments.captures))
    authorisation = _authorisation(order, command)
    # a capture may have been under way when the rest lapsed: the provider has drawn it, so it must be recorded
    live = authorisation.stage in (AuthorisationStage.AUTHORISED, AuthorisationStage.LAPSED)
    authorised = authorisation.amount_minor if live else 0
    captured = order.payments.captured_of(authorisation.authorisation_id)
    if captured + amount > authorised:
        raise CommandRejected(
            Reason.CAPTURE_EXCEEDS_AUTHORISED,
            order_id=order.order_id,
            authorisation_id=authorisation.authorisation_id,
            amount_minor=amount,
            captured_minor=captured,
            authorised_minor=authorised,
            currency=order.currency,
        )
    return [
        PaymentCaptured(
            order_id=order.order_id,
            capture_id=command.capture_id,
            authorisation_id=authorisation.authorisation_id,
            amount=command.amount,
            at=command.at,
        )
    ]


def _request_refund(order: Paying, command: RefundPayment) -> Sequence[OrderEvent]:
    amount = _valid(order, command.amount)
    before = order.payments.refund(command.refund_id)
    if before is not None:
        if before.amount_minor == amount and before.return_id in (command.return_id, None):
            return []
        raise CommandRejected(Reason.REFUND_EXISTS, order_id=order.order_id, refund_id=command.refund_id)
    require_capacity(order.order_id, "refunds", len(order.payments.refunds))
    _require_covered(order, amount)
    if command.return_id:
        _require_received(order, command.return_id)
    return [
        RefundRequested(
            order_id=order.order_id,
            refund_id=command.refund_id,
            amount=command.amount,
            reason=command.reason,
            return_id=command.return_id,
            at=command.at,
        )
    ]


def _settle_refund(order: Paying, command: SettleRefund) -> Sequence[OrderEvent]:
    refund = _refund(order, command)
    if refund.stage == RefundStage.SETTLED:
        return []
    if refund.stage == RefundStage.FAILED:
        _require_covered(order, refund.amount_minor)  # another may have taken its place
    return [
        PaymentRefunded(
            order_id=order.order_id,
            refund_id=refund.refund_id,
            amount=Money(amount_minor=refund.amount_minor, currency=order.currency),
            at=command.at,
        )
    ]


def _fail_refund(order: Paying, command: RecordRefundFailure) -> Sequence[OrderEvent]:
    refund = _refund(order, command)
    if refund.stage == RefundStage.FAILED:
        return []
    if refund.stage == RefundStage.SETTLED:
        raise CommandRejected(Reason.REFUND_SETTLED, order_id=order.order_id, refund_id=refund.refund_id)
    return [
        RefundFailed(
            order_id=order.order_id,
            refund_id=refund.refund_id,
            amount=Money(amount_minor=refund.amount_minor, currency=order.currency),
            reason=command.reason,
            at=command.at,
        )
    ]


# ------------------------------------------------------------------ shared


def _valid(order: Paying, amount: Money) -> int:
    require_amount(amount)
    if amount.currency != order.currency:
        raise CommandRejected(
            Reason.CURRENCY_MISMATCH,
            order_id=order.order_id,
            order_currency=order.currency,
            amount_currency=amount.currency,
        )
    return amount.amount_minor


def _authorisation(
    order: Paying, command: VoidAuthorisation | RecordAuthorisationLapse | CapturePayment
) -> Authorisation:
    known = order.payments.authorisation(command.authorisation_id)
    if known is None:
        raise CommandRejected(
            Reason.AUTHORISATION_NOT_FOUND, order_id=order.order_id, authorisation_id=command.authorisation_id
        )
    return known


def _refund(order: Paying, command: SettleRefund | RecordRefundFailure) -> Refund:
    known = order.payments.refund(command.refund_id)
    if known is None:
        raise CommandRejected(Reason.REFUND_NOT_FOUND, order_id=order.order_id, refund_id=command.refund_id)
    return known


def _require_received(order: Paying, return_id: str) -> None:
    returns = order.returns if isinstance(order, Confirmed | Completed) else ()
    known = next((x for x in returns if x.return_id == return_id), None)
    if known is None:
        raise CommandRejected(Reason.RETURN_NOT_FOUND, order_id=order.order_id, return_id=return_id)
    if known.stage != ReturnStage.RECEIVED:
        raise CommandRejected(Reason.RETURN_STATE, order_id=order.order_id, return_id=return_id, stage=known.stage)


def _require_covered(order: Paying, amount: int) -> None:
    ledger = order.payments
    if ledger.refunded + ledger.refunding + amount > ledger.captured:
        raise CommandRejected(
            Reason.REFUND_EXCEEDS_CAPTURED,
            order_id=order.order_id,
            amount_minor=amount,
            refunded_minor=ledger.refunded + ledger.refunding,
            captured_minor=ledger.captured,
            currency=order.currency,
        )
