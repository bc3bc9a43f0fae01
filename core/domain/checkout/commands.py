"""The commands of an order's process. The first group is the process's own bookkeeping, the second is for operators."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from core.domain.checkout.events import CheckoutLine
from core.domain.decider import ADDED, FACT


@dataclass(frozen=True, slots=True, kw_only=True)
class StartCheckout:
    order_id: str
    lines: tuple[CheckoutLine, ...]
    deadline: datetime
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAsPlanned:
    """By an operator, who has seen the plan `plan_id`; `current_plan_id` is the id of the present plan."""

    order_id: str
    lines: tuple[CheckoutLine, ...]
    deadline: datetime
    plan_id: str
    current_plan_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteStockReserved:
    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteStockReleased:
    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NotePaymentVoided:
    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteStockCommitted:
    order_id: str
    shipment_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteStockTrimmed:
    order_id: str
    cancellation_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteReturnRestocked:
    order_id: str
    return_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteStockReservedAgain:
    """`trims` is how often the process had released units by then. If it has since, too much may be reserved."""

    order_id: str
    shipment_id: str
    trims: int = field(metadata=FACT)
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteReshipmentDropped:
    order_id: str
    shipment_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteShipmentRestocked:
    order_id: str
    shipment_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteFailure:
    """`pauses` are those before each further attempt; when they are used up, the step waits for an operator.

    `attempt` is the number of this one, if it is not the step of that subject that is counted.
    """

    order_id: str
    step: str
    subject: str
    reason: str
    pauses: tuple[timedelta, ...]
    attempt: int | None = field(default=None, metadata=ADDED)
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EndCheckout:
    order_id: str
    outcome: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryProcess:
    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipStep:
    """The failed step counts as done, whatever its outcome."""

    order_id: str
    step: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CompensateProcess:
    """`shipped`: something of the order has left the house, so it cannot be undone any more."""

    order_id: str
    reason: str
    shipped: bool
    at: datetime


CheckoutCommand = (
    StartCheckout
    | NoteStockReserved
    | NoteStockReleased
    | NotePaymentVoided
    | NoteStockCommitted
    | NoteStockTrimmed
    | NoteReturnRestocked
    | NoteStockReservedAgain
    | NoteReshipmentDropped
    | NoteShipmentRestocked
    | NoteFailure
    | EndCheckout
    | StartAsPlanned
    | RetryProcess
    | SkipStep
    | CompensateProcess
)
