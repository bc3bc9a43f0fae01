"""The status of each order's process, by order id: what it waits for, and where it is stuck."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from core.domain.checkout.events import (
    CheckoutEnded,
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
from core.domain.checkout.state import StepName
from core.domain.order.events import (
    AuthorisationLapsed,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderExpired,
    OrderPlaced,
    OrderRejected,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentFailed,
    PaymentRefunded,
    PaymentVoided,
    RefundFailed,
    RefundRequested,
    ReturnReceived,
    ShipmentDispatched,
    ShipmentLost,
    ShipmentReturned,
)
from core.eventstore.recorded import Recorded
from core.readmodel.documents import to_micros
from core.readmodel.view import View


class ProcessRow(TypedDict):
    """`status` is a ProcessStatus without its prefix; `revision` counts in the process's own stream."""

    status: str
    step: str
    subject: str
    reason: str
    attempt: int
    retry_at: int | None
    deadline: int
    confirmed: bool
    outcome: str
    failures: int
    started_at: int | None
    updated_at: int
    revision: int
    unpaid_returns: NotRequired[list[str]]  # received returns for which nothing is owed, from the first on


process_status: View[ProcessRow] = View(
    "process_status",
    key=lambda e: e.data.order_id,
    categories=("order", "checkout"),
    answers=("processes.v1.ProcessQueryService/GetProcess", "processes.v1.ProcessQueryService/ListProcesses"),
    indexes=((("status", 1), ("_id", 1)),),
    own_streams=True,
)

NOT_STARTED = "NOT_STARTED"
SHIPMENTS = "SHIPMENTS"  # no step of the process: the shop has to pack


@dataclass(frozen=True, slots=True)
class Next:
    """The step that follows an event; `subject` names the event's field with the subject of the step.

    `once_confirmed` is the step if the order is confirmed already.
    """

    step: str
    subject: str = ""
    once_confirmed: str = ""


# the next step after an event, as far as the event alone determines it
LEADS_TO: dict[type, Next] = {
    CheckoutStockReserved: Next(StepName.AUTHORISE_PAYMENT),
    PaymentAuthorised: Next(StepName.CONFIRM_ORDER, once_confirmed=SHIPMENTS),  # where another one has lapsed
    PaymentFailed: Next(StepName.REJECT_ORDER),
    OrderConfirmed: Next(SHIPMENTS),
    ShipmentDispatched: Next(StepName.COMMIT_STOCK, "shipment_id"),
    CheckoutStockCommitted: Next(StepName.CAPTURE_PAYMENT, "shipment_id"),
    PaymentCaptured: Next(SHIPMENTS),
    ShipmentLost: Next(StepName.RESERVE_STOCK, "shipment_id"),
    ShipmentReturned: Next(StepName.RESTOCK_SHIPMENT, "shipment_id"),
    CheckoutShipmentRestocked: Next(SHIPMENTS),
    CheckoutStockReservedAgain: Next(SHIPMENTS),
    OrderCompleted: Next(StepName.END),
    OrderCancelled: Next(StepName.RELEASE_STOCK),
    OrderRejected: Next(StepName.RELEASE_STOCK),
    OrderExpired: Next(StepName.RELEASE_STOCK),
    CheckoutStockReleased: Next(StepName.VOID_PAYMENT),
    PaymentVoided: Next(StepName.END),
    CheckoutPaymentVoided: Next(StepName.END),
    ReturnReceived: Next(StepName.RESTOCK_RETURN, "return_id"),
    CheckoutReturnRestocked: Next(StepName.REFUND_PAYMENT, "return_id"),
    RefundRequested: Next(StepName.REFUND_PAYMENT, "refund_id"),
    PaymentRefunded: Next(StepName.END),
    RefundFailed: Next(StepName.END),
}
AFTERWARDS = (StepName.RESTOCK_RETURN, StepName.RESTOCK_SHIPMENT, StepName.REFUND_PAYMENT)
# an operator has resolved it; the next step is known when it is done
LET_GO = (
    CheckoutRetried,
    CheckoutStepSkipped,
    CheckoutGivenUp,
    CheckoutStockTrimmed,
    CheckoutReshipmentDropped,
    AuthorisationLapsed,
)


def changed(
    row: ProcessRow | None, e: Recorded[Any], change: Callable[[ProcessRow], ProcessRow] = lambda row: row
) -> ProcessRow | None:
    """The row after a change, stamped with when and where. An order that was never placed has no process."""
    if row is None:
        return None
    if row["status"] == NOT_STARTED:
        return _without_process(row, e)
    revision = e.revision if e.stream.startswith("checkout-") else row["revision"]
    return change({**row, "updated_at": to_micros(e.data.at), "revision": revision})


def _without_process(row: ProcessRow, e: Recorded[Any]) -> ProcessRow | None:
    """An event of an order without a process: it does not need one any more when it has ended."""
    if isinstance(e.data, OrderCancelled | OrderRejected | OrderExpired):
        return None
    confirmed = row["confirmed"] or isinstance(e.data, OrderConfirmed)
    return {**row, "confirmed": confirmed, "updated_at": to_micros(e.data.at)}


def at_rest(row: ProcessRow) -> ProcessRow:
    return {**row, "status": "ENDED", "step": "", "subject": "", "reason": "", "attempt": 0, "retry_at": None}


def led_on(row: ProcessRow | None, e: Recorded[Any]) -> ProcessRow | None:
    after = LEADS_TO[type(e.data)]
    subject = getattr(e.data, after.subject) if after.subject else ""
    if isinstance(e.data, CheckoutReturnRestocked) and row is not None and subject in row.get("unpaid_returns", ()):
        return going(row, e, SHIPMENTS)  # no refund follows
    confirmed = row is not None and row["confirmed"]
    return going(row, e, (after.once_confirmed if confirmed else "") or after.step, subject)


def going(row: ProcessRow | None, e: Recorded[Any], step: str | None = None, subject: str = "") -> ProcessRow | None:
    """Running without a failure, at another step if one is given. After its end, only a return has a step."""
    if row is not None and row["outcome"] and step not in AFTERWARDS:
        return changed(row, e, at_rest)

    def change(row: ProcessRow) -> ProcessRow:
        confirmed = row["confirmed"] or isinstance(e.data, OrderConfirmed)
        now: ProcessRow = {
            **row, "status": "RUNNING", "reason": "", "attempt": 0, "retry_at": None, "confirmed": confirmed
        }  # fmt: skip
        return now if step is None else {**now, "step": step, "subject": subject}

    return changed(row, e, change)


def return_received(row: ProcessRow | None, e: Recorded[ReturnReceived]) -> ProcessRow | None:
    now = led_on(row, e)
    if now is None or e.data.amount.amount_minor:
        return now
    return {**now, "unpaid_returns": [*now.get("unpaid_returns", []), e.data.return_id]}


for event in LEADS_TO:
    process_status.on(event)(return_received if event is ReturnReceived else led_on)
for event in LET_GO:
    process_status.on(event)(going)


@process_status.on(OrderPlaced)
def placed(_: ProcessRow | None, e: Recorded[OrderPlaced]) -> ProcessRow:
    return {
        "status": NOT_STARTED,
        "step": StepName.START,
        "subject": "",
        "reason": "",
        "attempt": 0,
        "retry_at": None,
        "deadline": to_micros(e.data.expires_at),
        "confirmed": False,
        "outcome": "",
        "failures": 0,
        "started_at": None,
        "updated_at": to_micros(e.data.at),
        "revision": 0,
    }


@process_status.on(CheckoutStarted)
def started(row: ProcessRow | None, e: Recorded[CheckoutStarted]) -> ProcessRow:
    return {
        "status": "RUNNING",
        "step": StepName.RESERVE_STOCK,
        "subject": "",
        "reason": "",
        "attempt": 0,
        "retry_at": None,
        "deadline": to_micros(e.data.deadline),
        "confirmed": row is not None and row["confirmed"],
        "outcome": "",
        "failures": 0,
        "started_at": to_micros(e.data.at),
        "updated_at": to_micros(e.data.at),
        "revision": e.revision,
    }


@process_status.on(CheckoutStepFailed)
def failed(row: ProcessRow | None, e: Recorded[CheckoutStepFailed]) -> ProcessRow | None:
    return changed(
        row,
        e,
        lambda now: {
            **now,
            "status": "STUCK" if e.data.retry_at is None else "RETRYING",
            "step": e.data.step,
            "subject": e.data.subject,
            "reason": e.data.reason,
            "attempt": e.data.attempt,
            "retry_at": None if e.data.retry_at is None else to_micros(e.data.retry_at),
            "failures": now["failures"] + 1,
        },
    )


@process_status.on(CheckoutEnded)
def ended(row: ProcessRow | None, e: Recorded[CheckoutEnded]) -> ProcessRow | None:
    return changed(row, e, lambda now: {**at_rest(now), "outcome": e.data.outcome})
