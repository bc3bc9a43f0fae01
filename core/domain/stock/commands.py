"""The commands of a product's stock. Quantities are units of sale."""

from dataclasses import dataclass, field
from datetime import datetime

from core.domain.decider import FACT


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveStock:
    """`product_known` and `product_discontinued` are what the product's stream says."""

    sku: str
    quantity: int
    product_known: bool
    product_discontinued: bool
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustStock:
    """`change` is what the count found more (positive) or less (negative) than was on hand."""

    sku: str
    change: int
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveStock:
    """`expires_at`: from then on the reservation may be expired; None: never."""

    sku: str
    reservation_id: str
    quantity: int
    expires_at: datetime | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitReservation:
    """`quantity` is how much has left under it in all; None: all of it."""

    sku: str
    reservation_id: str
    at: datetime
    quantity: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseReservation:
    """`keep` is how much of it stays, what has left included."""

    sku: str
    reservation_id: str
    at: datetime
    keep: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireReservation:
    """`now` is the time by which the deadline is judged; it is never ahead of the event store's."""

    sku: str
    reservation_id: str
    now: datetime = field(metadata=FACT)
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RestockReturn:
    """`return_id` makes it repeatable: the units of one id are received once."""

    sku: str
    return_id: str
    quantity: int
    at: datetime


StockCommand = (
    ReceiveStock
    | AdjustStock
    | ReserveStock
    | CommitReservation
    | ReleaseReservation
    | ExpireReservation
    | RestockReturn
)
