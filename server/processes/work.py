"""How each step is done: one function and one row per step.

Every one may be cut off anywhere and done again: commands carry derived ids, and the provider knows its keys. What a
step has come to is written down last.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from server.domain.checkout import CHECKOUT
from server.domain.checkout import commands as checkout
from server.domain.checkout.events import CheckoutLine
from server.domain.checkout.next_step import AUTHORISATION
from server.domain.checkout.steps import (
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
from server.domain.order import ORDER
from server.domain.order import commands as order
from server.domain.rejection import Reason, Rejected
from server.domain.stock import STOCK
from server.domain.stock import commands as stock
from server.processes.payments.port import Declined, PaymentProvider
from server.processes.sender import Sender, derived

AT_ONCE = 16  # lines side by side

T = TypeVar("T")


class ProviderRefusedError(Exception):
    """The payment provider will not do it, and asking again is of no use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the steps of one order are done with."""

    order_id: str
    sender: Sender
    payments: PaymentProvider


def payment_key(order_id: str, *what: str) -> str:
    """By this the provider knows a payment of ours."""
    return ":".join((order_id, *what))


def reservation_id(order_id: str, line_id: str, *shipment_id: str) -> str:
    """Of a line's own reservation; or of the one made to send the units of a lost or returned parcel again."""
    return derived("reservation", order_id, line_id, *shipment_id)


async def do(work: Work, step: Step) -> None:
    """Do it. Raises `Rejected`, `ProviderRefusedError`, `ProviderUnavailable`, or a `ServiceFailure`."""
    await STEPS[type(step)](work, step)


# ------------------------------------------------------------------ stock


async def _start(work: Work, step: Start) -> None:
    command = checkout.StartCheckout(
        order_id=work.order_id, lines=step.lines, deadline=step.deadline, at=work.sender.now()
    )
    await work.sender.send(CHECKOUT, work.order_id, command, "start", opens=True)


async def _reserve(work: Work, step: ReserveStock) -> None:
    async def one(line: CheckoutLine) -> None:
        command = stock.ReserveStock(
            sku=line.sku,
            reservation_id=reservation_id(work.order_id, line.line_id),
            quantity=line.quantity,
            expires_at=None,
            at=work.sender.now(),
        )
        await work.sender.send(STOCK, line.sku, command, "reserve", line.line_id)

    await _each(step.lines, one)
    await _note(work, checkout.NoteStockReserved(order_id=work.order_id, at=work.sender.now()), "reserved")


async def _reserve_again(work: Work, step: ReserveAgain) -> None:
    async def one(line: CheckoutLine) -> None:
        if line.quantity:
            command = stock.ReserveStock(
                sku=line.sku,
                reservation_id=reservation_id(work.order_id, line.line_id, step.subject),
                quantity=line.quantity,
                expires_at=None,
                at=work.sender.now(),
            )
            purpose = ("reserve", line.line_id, step.subject, str(line.quantity))
            try:
                await work.sender.send(STOCK, line.sku, command, *purpose)
            except Rejected as rejection:
                if rejection.reason is not Reason.RESERVATION_EXISTS:
                    raise
            else:
                return
        # an earlier attempt may have reserved more, before units were cancelled
        await _keep(work, line, step.subject)

    await _each(step.lines, one)
    noted = checkout.NoteStockReservedAgain(
        order_id=work.order_id, shipment_id=step.subject, trims=step.trims, at=work.sender.now()
    )
    await _note(work, noted, "reserved again", step.subject)


async def _release(work: Work, step: ReleaseStock) -> None:
    async def one(line: CheckoutLine, *shipment_id: str) -> None:
        command = stock.ReleaseReservation(
            sku=line.sku, reservation_id=reservation_id(work.order_id, line.line_id, *shipment_id), at=work.sender.now()
        )
        try:
            await work.sender.send(STOCK, line.sku, command, "release", line.line_id, *shipment_id)
        except Rejected as rejection:
            if rejection.reason is not Reason.STOCK_NOT_FOUND:  # then nothing was, or could be, reserved of it
                raise

    async def one_further(further: FurtherReservation) -> None:
        await one(further.line, further.shipment_id)

    await _each(step.lines, one)
    await _each(step.further, one_further)
    await _note(work, checkout.NoteStockReleased(order_id=work.order_id, at=work.sender.now()), "released")


async def _commit(work: Work, step: CommitStock) -> None:
    async def one(line: CheckoutLine, *shipment_id: str) -> None:
        command = stock.CommitReservation(
            sku=line.sku,
            reservation_id=reservation_id(work.order_id, line.line_id, *shipment_id),
            quantity=line.quantity,
            at=work.sender.now(),
        )
        await work.sender.send(STOCK, line.sku, command, "commit", line.line_id, *shipment_id, str(line.quantity))

    async def one_further(further: FurtherReservation) -> None:
        await one(further.line, further.shipment_id)

    await _each(step.lines, one)
    await _each(step.further, one_further)
    noted = checkout.NoteStockCommitted(order_id=work.order_id, shipment_id=step.subject, at=work.sender.now())
    await _note(work, noted, "committed", step.subject)


async def _trim(work: Work, step: TrimStock) -> None:
    await _keep_all(work, () if step.line is None else (step.line,), step.further)
    noted = checkout.NoteStockTrimmed(order_id=work.order_id, cancellation_id=step.subject, at=work.sender.now())
    await _note(work, noted, "trimmed", step.subject)


async def _drop(work: Work, step: DropReshipment) -> None:
    await _keep_all(work, step.lines, step.further)
    noted = checkout.NoteReshipmentDropped(order_id=work.order_id, shipment_id=step.shipment_id, at=work.sender.now())
    await _note(work, noted, "dropped", step.shipment_id)


async def _keep_all(work: Work, lines: Sequence[CheckoutLine], further: Sequence[FurtherReservation]) -> None:
    async def own(line: CheckoutLine) -> None:
        await _keep(work, line)

    async def one_further(one: FurtherReservation) -> None:
        await _keep(work, one.line, one.shipment_id)

    await _each(lines, own)
    await _each(further, one_further)


async def _keep(work: Work, line: CheckoutLine, *shipment_id: str) -> None:
    """Release what is beyond a line's quantity."""
    command = stock.ReleaseReservation(
        sku=line.sku,
        reservation_id=reservation_id(work.order_id, line.line_id, *shipment_id),
        keep=line.quantity,
        at=work.sender.now(),
    )
    await work.sender.send(STOCK, line.sku, command, "trim", line.line_id, *shipment_id, str(line.quantity))


async def _restock_shipment(work: Work, step: RestockShipment) -> None:
    async def one(line: CheckoutLine) -> None:
        # a return of the customer may have the same id as a parcel
        command = stock.RestockReturn(
            sku=line.sku,
            return_id=derived("shipment", work.order_id, step.subject, line.line_id),
            quantity=line.quantity,
            at=work.sender.now(),
        )
        await work.sender.send(STOCK, line.sku, command, "restock shipment", step.subject, line.line_id)

    await _each(step.lines, one)
    noted = checkout.NoteShipmentRestocked(order_id=work.order_id, shipment_id=step.subject, at=work.sender.now())
    await _note(work, noted, "restocked shipment", step.subject)


async def _restock(work: Work, step: RestockReturn) -> None:
    quantities: Counter[tuple[str, str]] = Counter()
    for line in step.lines:
        quantities[line.line_id, line.sku] += line.quantity

    async def one(line: CheckoutLine) -> None:
        command = stock.RestockReturn(
            sku=line.sku,
            return_id=derived("return", work.order_id, step.subject, line.line_id),
            quantity=line.quantity,
            at=work.sender.now(),
        )
        await work.sender.send(STOCK, line.sku, command, "restock", step.subject, line.line_id)

    together = [CheckoutLine(line_id=line_id, sku=sku, quantity=n) for (line_id, sku), n in quantities.items()]
    await _each(together, one)
    noted = checkout.NoteReturnRestocked(order_id=work.order_id, return_id=step.subject, at=work.sender.now())
    await _note(work, noted, "restocked", step.subject)


async def _each(lines: Sequence[T], one: Callable[[T], Awaitable[None]]) -> None:
    """All of them, whatever becomes of any; then the first failure, if there was one."""
    places = asyncio.Semaphore(AT_ONCE)

    async def in_turn(line: T) -> None:
        async with places:
            await one(line)

    failures = [x for x in await asyncio.gather(*map(in_turn, lines), return_exceptions=True) if x is not None]
    for failure in failures:
        if not isinstance(failure, Rejected):  # an outcome that is not known weighs more than a refusal
            raise failure
    for failure in failures:
        raise failure


# ------------------------------------------------------------------ money


async def _authorise(work: Work, step: AuthorisePayment) -> None:
    answer = await work.payments.authorise(payment_key(work.order_id, AUTHORISATION), step.amount)
    if isinstance(answer, Declined):
        failed = order.RecordPaymentFailure(
            order_id=work.order_id, authorisation_id=AUTHORISATION, reason=answer.reason, at=work.sender.now()
        )
        await work.sender.send(ORDER, work.order_id, failed, "declined")
        return
    authorised = order.RecordAuthorisation(
        order_id=work.order_id, authorisation_id=AUTHORISATION, amount=answer.amount, at=work.sender.now()
    )
    await work.sender.send(ORDER, work.order_id, authorised, "authorised")


async def _void(work: Work, step: VoidPayment) -> None:
    await work.payments.void(payment_key(work.order_id, step.subject))
    if step.recorded:
        command = order.VoidAuthorisation(order_id=work.order_id, authorisation_id=step.subject, at=work.sender.now())
        await work.sender.send(ORDER, work.order_id, command, "void", step.subject)
        return
    await _note(work, checkout.NotePaymentVoided(order_id=work.order_id, at=work.sender.now()), "voided")


async def _capture(work: Work, step: CapturePayment) -> None:
    answer = await work.payments.capture(
        payment_key(work.order_id, "capture", step.subject),
        payment_key(work.order_id, step.authorisation_id),
        step.amount,
    )
    if isinstance(answer, Declined):
        raise ProviderRefusedError(answer.reason)
    command = order.CapturePayment(
        order_id=work.order_id,
        capture_id=step.subject,
        authorisation_id=step.authorisation_id,
        amount=answer.amount,
        at=work.sender.now(),
    )
    await work.sender.send(ORDER, work.order_id, command, "capture", step.subject)


async def _request_refund(work: Work, step: RequestRefund) -> None:
    command = order.RefundPayment(
        order_id=work.order_id,
        refund_id=step.subject,
        amount=step.amount,
        reason=step.reason,
        at=work.sender.now(),
    )
    await work.sender.send(ORDER, work.order_id, command, "refund", step.subject)


async def _settle_refund(work: Work, step: SettleRefund) -> None:
    answer = await work.payments.refund(payment_key(work.order_id, "refund", step.subject), step.amount)
    if isinstance(answer, Declined):
        raise ProviderRefusedError(answer.reason)
    command = order.SettleRefund(order_id=work.order_id, refund_id=step.subject, at=work.sender.now())
    await work.sender.send(ORDER, work.order_id, command, "settle", step.subject)


# ------------------------------------------------------------------ the order's fate


async def _confirm(work: Work, _: Confirm) -> None:
    await work.sender.send(
        ORDER, work.order_id, order.ConfirmOrder(order_id=work.order_id, at=work.sender.now()), "confirm"
    )


async def _reject(work: Work, step: Reject) -> None:
    command = order.RejectOrder(order_id=work.order_id, reason=step.reason, at=work.sender.now())
    await work.sender.send(ORDER, work.order_id, command, "reject", step.reason)


async def _expire(work: Work, _: Expire) -> None:
    await work.sender.send(
        ORDER, work.order_id, order.ExpireOrder(order_id=work.order_id, at=work.sender.now()), "expire"
    )


async def _cancel(work: Work, step: Cancel) -> None:
    command = order.CancelOrder(order_id=work.order_id, reason=step.reason, at=work.sender.now())
    await work.sender.send(ORDER, work.order_id, command, "cancel", step.reason)


async def _complete(work: Work, _: Complete) -> None:
    await work.sender.send(
        ORDER, work.order_id, order.CompleteOrder(order_id=work.order_id, at=work.sender.now()), "complete"
    )


async def _end(work: Work, step: End) -> None:
    await _note(work, checkout.EndCheckout(order_id=work.order_id, outcome=step.outcome, at=work.sender.now()), "end")


async def _note(work: Work, command: checkout.CheckoutCommand, *purpose: str) -> None:
    await work.sender.send(CHECKOUT, work.order_id, command, *purpose)


STEPS: Mapping[type, Callable[[Work, Any], Awaitable[None]]] = {
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
    Complete: _complete,
    End: _end,
}
