"""The events of an order's process. Field for field the messages of protos/processes/v1/events.proto."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutLine:
    """The reservation of one line of the order."""

    line_id: str
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutStarted:
    """`id_version` is the version of the UUIDs under which the process sends its commands and reserves stock."""

    order_id: str
    lines: tuple[CheckoutLine, ...]
    deadline: datetime
    id_version: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutStockReserved:
    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutStockReleased:
    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutPaymentVoided:
    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutStockCommitted:
    order_id: str
    shipment_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutStockTrimmed:
    order_id: str
    cancellation_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutReturnRestocked:
    order_id: str
    return_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutStockReservedAgain:
    order_id: str
    shipment_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutReshipmentDropped:
    order_id: str
    shipment_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutShipmentRestocked:
    order_id: str
    shipment_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutStepFailed:
    order_id: str
    step: str
    subject: str
    reason: str
    attempt: int
    retry_at: datetime | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutRetried:
    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutStepSkipped:
    order_id: str
    step: str
    subject: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutGivenUp:
    order_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutEnded:
    order_id: str
    outcome: str
    at: datetime


CheckoutEvent = (
    CheckoutStarted
    | CheckoutStockReserved
    | CheckoutStockReleased
    | CheckoutPaymentVoided
    | CheckoutStockCommitted
    | CheckoutStockTrimmed
    | CheckoutReturnRestocked
    | CheckoutStockReservedAgain
    | CheckoutReshipmentDropped
    | CheckoutShipmentRestocked
    | CheckoutStepFailed
    | CheckoutRetried
    | CheckoutStepSkipped
    | CheckoutGivenUp
    | CheckoutEnded
)
