"""The handlers of the steps: one function and one row per step.

Every handler may be interrupted anywhere and run again: commands have derived ids, and the provider knows its keys.
The result of a step is recorded last.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from core.domain.checkout import CHECKOUT
from core.domain.checkout import commands as checkout
from core.domain.checkout.events import CheckoutLine
from core.domain.checkout.steps import (
    AUTHORISATION,
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
    Step,
    TrimStock,
    VoidPayment,
)
from core.domain.money import Money
from core.domain.order import ORDER
from core.domain.order import commands as order
from core.domain.rejection import CommandRejected, Reason
from core.domain.stock import STOCK
from core.domain.stock import commands as stock
from server.commands.lookups import Lookups
from server.processes.command_sender import CommandSender
from server.processes.ids import derived
from server.processes.payments.port import Approved, Declined, Lapsed, PaymentProvider

AT_ONCE = 16  # concurrent lines

T = TypeVar("T")


class ProviderRefusedError(Exception):
    """The payment provider refuses, and a repeat does not help."""


class NotAuthorisedError(ProviderRefusedError):
    """An authorisation was declined; another may be granted."""

    def __init__(self, amount: Money, reason: str) -> None:
        super().__init__(f"{_in_words(amount)} not authorised: {reason}")


class RefundFailedError(ProviderRefusedError):
    """A refund has failed finally: attempt number `tries` of `allowed`."""

    def __init__(self, amount: Money, tries: int, allowed: int, reason: str) -> None:
        super().__init__(f"{_in_words(amount)} not refunded, {tries} of {allowed} tries have failed: {reason}")
        self.tries = tries
        self.allowed = allowed


def _in_words(amount: Money) -> str:
    return f"{amount.amount_minor} {amount.currency} (minor units)"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """The context of the steps of one order; `id_version` is the version of its ids."""

    order_id: str
    sender: CommandSender
    lookups: Lookups
    payments: PaymentProvider
    id_version: int

    def reservation_id(self, line_id: str, *shipment_id: str) -> str:
        """The id of a line's own reservation; or of the one made to send the units of a lost or returned parcel
        again.
        """
        return derived(self.id_version, "reservation", self.order_id, line_id, *shipment_id)


def payment_key(order_id: str, *what: str) -> str:
    """The provider's key of a payment of ours."""
    return ":".join((order_id, *what))


async def run_step(context: StepContext, step: Step) -> None:
    """Run a step. Raises `CommandRejected`, `ProviderRefusedError`, `ProviderUnavailable`, or a `ServiceFailure`."""
    await STEPS[type(step)](context, step)


# ------------------------------------------------------------------ stock


async def _start(context: StepContext, step: Start) -> None:
    command = checkout.StartCheckout(
        order_id=context.order_id, lines=step.lines, deadline=step.deadline, at=context.sender.now()
    )
    await context.sender.send(CHECKOUT, context.order_id, command, "start", creates_stream=True)


async def _reserve(context: StepContext, step: ReserveStock) -> None:
    async def one(line: CheckoutLine) -> None:
        command = stock.ReserveStock(
            sku=line.sku,
            reservation_id=context.reservation_id(line.line_id),
            quantity=line.quantity,
            expires_at=None,
            at=context.sender.now(),
        )
        await context.sender.send(STOCK, line.sku, command, "reserve", line.line_id)

    await _each([line for line in step.lines if line.quantity], one)  # the others were drawn by hand
    await _record(context, checkout.NoteStockReserved(order_id=context.order_id, at=context.sender.now()), "reserved")


async def _reserve_again(context: StepContext, step: ReserveAgain) -> None:
    async def one(line: CheckoutLine) -> None:
        if line.quantity:
            command = stock.ReserveStock(
                sku=line.sku,
                reservation_id=context.reservation_id(line.line_id, step.subject),
                quantity=line.quantity,
                expires_at=None,
                at=context.sender.now(),
            )
            purpose = ("reserve", line.line_id, step.subject, str(line.quantity))
            try:
                await context.sender.send(STOCK, line.sku, command, *purpose)
            except CommandRejected as rejection:
                if rejection.reason is not Reason.RESERVATION_EXISTS:
                    raise
            else:
                return
        # an earlier attempt may have reserved more, before units were cancelled
        await _keep(context, line, step.subject)

    await _each(step.lines, one)
    noted = checkout.NoteStockReservedAgain(
        order_id=context.order_id, shipment_id=step.subject, trims=step.trims, at=context.sender.now()
    )
    await _record(context, noted, "reserved again", step.subject)


async def _release(context: StepContext, step: ReleaseStock) -> None:
    async def one(line: CheckoutLine, *shipment_id: str) -> None:
        command = stock.ReleaseReservation(
            sku=line.sku, reservation_id=context.reservation_id(line.line_id, *shipment_id), at=context.sender.now()
        )
        try:
            await context.sender.send(STOCK, line.sku, command, "release", line.line_id, *shipment_id)
        except CommandRejected as rejection:
            if rejection.reason is not Reason.STOCK_NOT_FOUND:  # then nothing was, or could be, reserved
                raise

    async def one_further(further: FurtherReservation) -> None:
        await one(further.line, further.shipment_id)

    await _each(step.lines, one)
    await _each(step.further, one_further)
    await _record(context, checkout.NoteStockReleased(order_id=context.order_id, at=context.sender.now()), "released")


async def _commit(context: StepContext, step: CommitStock) -> None:
    async def one(line: CheckoutLine, *shipment_id: str) -> None:
        command = stock.CommitReservation(
            sku=line.sku,
            reservation_id=context.reservation_id(line.line_id, *shipment_id),
            quantity=line.quantity,
            at=context.sender.now(),
        )
        await context.sender.send(STOCK, line.sku, command, "commit", line.line_id, *shipment_id, str(line.quantity))

    async def one_further(further: FurtherReservation) -> None:
        await one(further.line, further.shipment_id)

    await _each(step.lines, one)
    await _each(step.further, one_further)
    noted = checkout.NoteStockCommitted(order_id=context.order_id, shipment_id=step.subject, at=context.sender.now())
    await _record(context, noted, "committed", step.subject)


async def _trim(context: StepContext, step: TrimStock) -> None:
    await _keep_all(context, () if step.line is None else (step.line,), step.further)
    noted = checkout.NoteStockTrimmed(order_id=context.order_id, cancellation_id=step.subject, at=context.sender.now())
    await _record(context, noted, "trimmed", step.subject)


async def _drop(context: StepContext, step: DropReshipment) -> None:
    await _keep_all(context, step.lines, step.further)
    noted = checkout.NoteReshipmentDropped(
        order_id=context.order_id, shipment_id=step.shipment_id, at=context.sender.now()
    )
    await _record(context, noted, "dropped", step.shipment_id)


async def _keep_all(context: StepContext, lines: Sequence[CheckoutLine], further: Sequence[FurtherReservation]) -> None:
    async def own(line: CheckoutLine) -> None:
        await _keep(context, line)

    async def one_further(one: FurtherReservation) -> None:
        await _keep(context, one.line, one.shipment_id)

    await _each(lines, own)
    await _each(further, one_further)


async def _keep(context: StepContext, line: CheckoutLine, *shipment_id: str) -> None:
    """Release the units beyond a line's quantity."""
    command = stock.ReleaseReservation(
        sku=line.sku,
        reservation_id=context.reservation_id(line.line_id, *shipment_id),
        keep=line.quantity,
        at=context.sender.now(),
    )
    await context.sender.send(STOCK, line.sku, command, "trim", line.line_id, *shipment_id, str(line.quantity))


async def _restock_shipment(context: StepContext, step: RestockShipment) -> None:
    # a return of the customer may have the same id as a parcel
    await _put_back(context, step.lines, step.subject, id_of="shipment", purpose="restock shipment")
    noted = checkout.NoteShipmentRestocked(order_id=context.order_id, shipment_id=step.subject, at=context.sender.now())
    await _record(context, noted, "restocked shipment", step.subject)


async def _restock(context: StepContext, step: RestockReturn) -> None:
    quantities: Counter[tuple[str, str]] = Counter()
    for line in step.lines:
        quantities[line.line_id, line.sku] += line.quantity
    together = [CheckoutLine(line_id=line_id, sku=sku, quantity=n) for (line_id, sku), n in quantities.items()]
    await _put_back(context, together, step.subject, id_of="return", purpose="restock")
    noted = checkout.NoteReturnRestocked(order_id=context.order_id, return_id=step.subject, at=context.sender.now())
    await _record(context, noted, "restocked", step.subject)


async def _put_back(
    context: StepContext, lines: Sequence[CheckoutLine], subject: str, *, id_of: str, purpose: str
) -> None:
    """Take units back into stock that were returned by a parcel or a return, `subject`."""

    async def one(line: CheckoutLine) -> None:
        command = stock.RestockReturn(
            sku=line.sku,
            return_id=derived(context.id_version, id_of, context.order_id, subject, line.line_id),
            quantity=line.quantity,
            at=context.sender.now(),
        )
        await context.sender.send(STOCK, line.sku, command, purpose, subject, line.line_id)

    await _each(lines, one)


async def _each(lines: Sequence[T], one: Callable[[T], Awaitable[None]]) -> None:
    """Run all of them, then raise the first failure, if there was one."""
    places = asyncio.Semaphore(AT_ONCE)

    async def in_turn(line: T) -> None:
        async with places:
            await one(line)

    failures = [x for x in await asyncio.gather(*map(in_turn, lines), return_exceptions=True) if x is not None]
    for failure in failures:
        if not isinstance(failure, CommandRejected):  # an unknown outcome takes precedence over a refusal
            raise failure
    for failure in failures:
        raise failure


# ------------------------------------------------------------------ money


async def _authorise(context: StepContext, step: AuthorisePayment) -> None:
    known = step.authorisation_id
    answer = await context.payments.authorise(payment_key(context.order_id, known), step.amount)
    if isinstance(answer, Declined):
        failed = order.RecordPaymentFailure(
            order_id=context.order_id, authorisation_id=known, reason=answer.reason, at=context.sender.now()
        )
        await context.sender.send(ORDER, context.order_id, failed, "declined", *_number(known))
        raise NotAuthorisedError(step.amount, answer.reason)
    await record_authorisation(context.sender, context.order_id, known, answer)


async def record_authorisation(sender: CommandSender, order_id: str, known: str, answer: Approved | Lapsed) -> None:
    """Record that it was granted and, if it has lapsed since, that too."""
    authorised = order.RecordAuthorisation(
        order_id=order_id, authorisation_id=known, amount=answer.amount, at=sender.now()
    )
    try:
        await sender.send(ORDER, order_id, authorised, "authorised", *_number(known))
    except CommandRejected:
        if isinstance(answer, Approved):
            raise
    if isinstance(answer, Lapsed):
        await _record_lapse(sender, order_id, known, answer.reason)


async def _record_lapse(sender: CommandSender, order_id: str, known: str, reason: str) -> None:
    lapsed = order.RecordAuthorisationLapse(order_id=order_id, authorisation_id=known, reason=reason, at=sender.now())
    await sender.send(ORDER, order_id, lapsed, "lapsed", known, reason)


def _number(authorisation_id: str) -> tuple[str, ...]:
    """Distinguishes the steps of several authorisations. The first needs nothing: once there was only one."""
    return () if authorisation_id == AUTHORISATION else (authorisation_id,)


async def _void(context: StepContext, step: VoidPayment) -> None:
    for known in (step.subject, *step.also):
        await context.payments.void(payment_key(context.order_id, known))
    if not step.recorded:
        await _record(context, checkout.NotePaymentVoided(order_id=context.order_id, at=context.sender.now()), "voided")
    elif step.drawn:
        await _record_lapse(context.sender, context.order_id, step.subject, "released: it is not needed any more")
    else:
        command = order.VoidAuthorisation(
            order_id=context.order_id, authorisation_id=step.subject, at=context.sender.now()
        )
        await context.sender.send(ORDER, context.order_id, command, "void", step.subject)


async def _capture(context: StepContext, step: CapturePayment) -> None:
    capture_id = step.capture_id or step.subject
    answer = await context.payments.capture(
        payment_key(context.order_id, "capture", capture_id),
        payment_key(context.order_id, step.authorisation_id),
        step.amount,
    )
    if isinstance(answer, Declined):
        raise ProviderRefusedError(answer.reason)
    if isinstance(answer, Lapsed):
        await _record_lapse(context.sender, context.order_id, step.authorisation_id, answer.reason)
        raise ProviderRefusedError(f"{_in_words(step.amount)} not captured: {answer.reason}")
    drawn_from = answer.drawn_from.removeprefix(payment_key(context.order_id, ""))
    command = order.CapturePayment(
        order_id=context.order_id,
        capture_id=capture_id,
        authorisation_id=drawn_from or step.authorisation_id,
        amount=answer.amount,
        at=context.sender.now(),
    )
    await context.sender.send(ORDER, context.order_id, command, "capture", capture_id)


async def _request_refund(context: StepContext, step: RequestRefund) -> None:
    command = order.RefundPayment(
        order_id=context.order_id,
        refund_id=step.subject,
        amount=step.amount,
        reason=step.reason,
        return_id=step.return_id,
        at=context.sender.now(),
    )
    await context.sender.send(ORDER, context.order_id, command, "refund", step.subject)


async def _settle_refund(context: StepContext, step: SettleRefund) -> None:
    if not step.outside:
        answer = await context.payments.refund(payment_key(context.order_id, "refund", step.subject), step.amount)
        if isinstance(answer, Declined):
            await _fail_refund(context, step, answer.reason)
    command = order.SettleRefund(order_id=context.order_id, refund_id=step.subject, at=context.sender.now())
    await context.sender.send(ORDER, context.order_id, command, "settle", step.subject)


async def _fail_refund(context: StepContext, step: SettleRefund, reason: str) -> NoReturn:
    """The order is changed first: after an interruption the next run sees a failed refund, and counts it as an
    attempt.
    """
    command = order.RecordRefundFailure(
        order_id=context.order_id, refund_id=step.subject, reason=reason, at=context.sender.now()
    )
    await context.sender.send(ORDER, context.order_id, command, "refund failed", step.subject)
    raise RefundFailedError(step.amount, step.tries, step.allowed, reason)


async def _give_up_refund(_: StepContext, step: GiveUpRefund) -> None:
    raise RefundFailedError(step.amount, step.tries, step.tries, step.reason)


# ------------------------------------------------------------------ the outcome of the order


async def _confirm(context: StepContext, _: Confirm) -> None:
    customer = await context.lookups.customer_of(context.order_id)
    command = order.ConfirmOrder(order_id=context.order_id, customer=customer, at=context.sender.now())
    await context.sender.send(ORDER, context.order_id, command, "confirm")


async def _reject(context: StepContext, step: Reject) -> None:
    command = order.RejectOrder(order_id=context.order_id, reason=step.reason, at=context.sender.now())
    await context.sender.send(ORDER, context.order_id, command, "reject", step.reason)


async def _expire(context: StepContext, step: Expire) -> None:
    command = order.ExpireOrder(order_id=context.order_id, now=step.now, at=context.sender.now())
    await context.sender.send(ORDER, context.order_id, command, "expire")


async def _cancel(context: StepContext, step: Cancel) -> None:
    command = order.CancelOrder(order_id=context.order_id, reason=step.reason, at=context.sender.now())
    await context.sender.send(ORDER, context.order_id, command, "cancel", step.reason)


async def _complete(context: StepContext, _: Complete) -> None:
    await context.sender.send(
        ORDER, context.order_id, order.CompleteOrder(order_id=context.order_id, at=context.sender.now()), "complete"
    )


async def _end(context: StepContext, step: End) -> None:
    await _record(
        context, checkout.EndCheckout(order_id=context.order_id, outcome=step.outcome, at=context.sender.now()), "end"
    )


async def _record(context: StepContext, command: checkout.CheckoutCommand, *purpose: str) -> None:
    await context.sender.send(CHECKOUT, context.order_id, command, *purpose)


STEPS: Mapping[type, Callable[[StepContext, Any], Awaitable[None]]] = {
    Start: _start,
    ReserveStock: _reserve,
    ReserveAgain: _reserve_again,
    AuthorisePayment: _authorise,
    Confirm: _confirm,
    Reject: _reject,
    Expire: _expire,
    Cancel: _cancel,
    ReleaseStock: _release,
    VoidPayment: _void,
    TrimStock: _trim,
    DropReshipment: _drop,
    CommitStock: _commit,
    RestockReturn: _restock,
    RestockShipment: _restock_shipment,
    CapturePayment: _capture,
    RequestRefund: _request_refund,
    SettleRefund: _settle_refund,
    GiveUpRefund: _give_up_refund,
    Complete: _complete,
    End: _end,
}
