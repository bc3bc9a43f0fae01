"""The plan of an order's process if every step succeeds: shown to an operator before the process is started.

The plan is computed by the same function as the next step, as if each step had been done. So it cannot differ from what
the process does, and the missing steps that it lists are those that the process would run.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from core.domain.checkout import CHECKOUT
from core.domain.checkout import commands as process
from core.domain.checkout.events import CheckoutLine
from core.domain.checkout.next_step import next_step
from core.domain.checkout.state import Checkout
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
    Wait,
)
from core.domain.money import Money
from core.domain.order import ORDER, commands
from core.domain.order.commands import NO_CUSTOMER
from core.domain.order.state import Order
from core.domain.rejection import CommandRejected, Reason

MAX_STEPS = 10_000  # an order of the largest size has fewer


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """`lines` are the units that it moves, `amount` is the money; empty or None where it moves none."""

    name: str
    subject: str
    lines: tuple[CheckoutLine, ...] = ()
    amount: Money | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`start` is the first step, if the process is not started. `waits_for` is what it waits for after the last
    step.
    """

    start: Start | None
    steps: tuple[PlannedStep, ...]
    waits_for: str

    @property
    def plan_id(self) -> str:
        """Another plan has another id: an operator applies exactly the plan that was shown."""
        rows = (f"{x.name} {x.subject} {_lines(x.lines)} {_money(x.amount)}" for x in self.steps)
        deadline = self.start.deadline.isoformat() if self.start else ""
        return hashlib.sha256("\n".join([*rows, deadline, self.waits_for]).encode()).hexdigest()[:16]


def plan(
    order: Order,
    checkout: Checkout,
    now: datetime,
    *,
    drawn: Mapping[str, int] | None = None,
    deadline: datetime | None = None,
) -> Plan:
    """From now on. For a process that is not started, `drawn` has the units by line_id that were taken off the stock by
    hand, and `deadline` another time to confirm the order by.

    Raises `CommandRejected` LINE_NOT_FOUND or QUANTITY_INVALID for units that the order does not have.
    """
    start, steps = None, list[PlannedStep]()
    for _ in range(MAX_STEPS):
        step = next_step(order, checkout, now)
        if isinstance(step, Start):
            step = start = _adjusted(step, order, drawn or {}, deadline)
        if isinstance(step, Wait):
            return Plan(start=start, steps=tuple(steps), waits_for=step.what)
        steps.append(_shown(step))
        try:
            order, checkout = _as_if_done(order, checkout, step, now)
        except CommandRejected as refusal:
            return Plan(start=start, steps=tuple(steps), waits_for=f"an operator: {refusal}")
    raise AssertionError(f"the order asks for more than {MAX_STEPS} steps")


def _adjusted(step: Start, order: Order, drawn: Mapping[str, int], deadline: datetime | None) -> Start:
    lines = {line.line_id: line for line in step.lines}
    for line_id, units in drawn.items():
        if line_id not in lines:
            raise CommandRejected(Reason.LINE_NOT_FOUND, order_id=getattr(order, "order_id", ""), line_id=line_id)
        if not 0 <= units <= lines[line_id].quantity:
            raise CommandRejected(Reason.QUANTITY_INVALID, quantity=units, field="drawn")
        lines[line_id] = replace(lines[line_id], quantity=lines[line_id].quantity - units)
    return replace(step, lines=tuple(lines.values()), deadline=deadline or step.deadline)


def _shown(step: Step) -> PlannedStep:
    lines: Sequence[CheckoutLine] = getattr(step, "lines", ())
    if isinstance(step, TrimStock):
        lines = () if step.line is None else (step.line,)
    return PlannedStep(
        name=step.name,
        subject=step.subject,
        lines=tuple(line for line in lines if line.quantity),
        amount=getattr(step, "amount", None),
    )


def _as_if_done(order: Order, checkout: Checkout, step: Step, at: datetime) -> tuple[Order, Checkout]:
    command = AS_COMMAND[type(step)](step, getattr(order, "order_id", ""), at)
    if isinstance(command, process.CheckoutCommand):
        return order, CHECKOUT.fold(CHECKOUT.decide(checkout, command), checkout)
    return ORDER.fold(ORDER.decide(order, command), order), checkout


def _void(step: VoidPayment, order_id: str, at: datetime) -> Any:
    if not step.recorded:
        return process.NotePaymentVoided(order_id=order_id, at=at)
    if step.drawn:
        return commands.RecordAuthorisationLapse(
            order_id=order_id, authorisation_id=step.subject, reason="released", at=at
        )
    return commands.VoidAuthorisation(order_id=order_id, authorisation_id=step.subject, at=at)


# what is recorded of a step that succeeds, as a command to the order or to the process
AS_COMMAND: Mapping[type, Callable[[Any, str, datetime], Any]] = {
    Start: lambda x, o, at: process.StartCheckout(order_id=o, lines=x.lines, deadline=x.deadline, at=at),
    ReserveStock: lambda _, o, at: process.NoteStockReserved(order_id=o, at=at),
    ReserveAgain: lambda x, o, at: process.NoteStockReservedAgain(
        order_id=o, shipment_id=x.subject, trims=x.trims, at=at
    ),
    ReleaseStock: lambda _, o, at: process.NoteStockReleased(order_id=o, at=at),
    TrimStock: lambda x, o, at: process.NoteStockTrimmed(order_id=o, cancellation_id=x.subject, at=at),
    DropReshipment: lambda x, o, at: process.NoteReshipmentDropped(order_id=o, shipment_id=x.shipment_id, at=at),
    CommitStock: lambda x, o, at: process.NoteStockCommitted(order_id=o, shipment_id=x.subject, at=at),
    RestockReturn: lambda x, o, at: process.NoteReturnRestocked(order_id=o, return_id=x.subject, at=at),
    RestockShipment: lambda x, o, at: process.NoteShipmentRestocked(order_id=o, shipment_id=x.subject, at=at),
    End: lambda x, o, at: process.EndCheckout(order_id=o, outcome=x.outcome, at=at),
    AuthorisePayment: lambda x, o, at: commands.RecordAuthorisation(
        order_id=o, authorisation_id=x.authorisation_id, amount=x.amount, at=at
    ),
    VoidPayment: _void,
    CapturePayment: lambda x, o, at: commands.CapturePayment(
        order_id=o,
        capture_id=x.capture_id or x.subject,
        authorisation_id=x.authorisation_id,
        amount=x.amount,
        at=at,
    ),
    RequestRefund: lambda x, o, at: commands.RefundPayment(
        order_id=o, refund_id=x.subject, amount=x.amount, reason=x.reason, return_id=x.return_id, at=at
    ),
    SettleRefund: lambda x, o, at: commands.SettleRefund(order_id=o, refund_id=x.subject, at=at),
    Confirm: lambda _, o, at: commands.ConfirmOrder(order_id=o, customer=NO_CUSTOMER, at=at),
    Reject: lambda x, o, at: commands.RejectOrder(order_id=o, reason=x.reason, at=at),
    Expire: lambda x, o, at: commands.ExpireOrder(order_id=o, now=x.now, at=at),
    Cancel: lambda x, o, at: commands.CancelOrder(order_id=o, reason=x.reason, at=at),
    Complete: lambda _, o, at: commands.CompleteOrder(order_id=o, at=at),
}


def _lines(lines: Sequence[CheckoutLine]) -> str:
    return ",".join(f"{line.line_id}:{line.sku}:{line.quantity}" for line in lines)


def _money(amount: Money | None) -> str:
    return "" if amount is None else f"{amount.amount_minor} {amount.currency}"
