"""The events of a product's stock. Field for field the messages of protos/products/v1/events.proto."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReceived:
    sku: str
    quantity: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StockAdjusted:
    sku: str
    change: int
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReserved:
    sku: str
    reservation_id: str
    quantity: int
    expires_at: datetime | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationCommitted:
    sku: str
    reservation_id: str
    quantity: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationReleased:
    sku: str
    reservation_id: str
    quantity: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationPartlyCommitted:
    sku: str
    reservation_id: str
    quantity: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationPartlyReleased:
    sku: str
    reservation_id: str
    quantity: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationExpired:
    sku: str
    reservation_id: str
    quantity: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StockRestocked:
    sku: str
    return_id: str
    quantity: int
    at: datetime


StockEvent = (
    StockReceived
    | StockAdjusted
    | StockReserved
    | ReservationCommitted
    | ReservationReleased
    | ReservationPartlyCommitted
    | ReservationPartlyReleased
    | ReservationExpired
    | StockRestocked
)
