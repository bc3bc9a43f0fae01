"""The events of an order. Field for field the newest messages of protos/orders/v1/events.proto."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from core.domain.address import Address
from core.domain.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    line_id: str
    sku: str
    name: str
    quantity: int
    unit_price: Money
    line_total: Money
    discount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedDiscount:
    discount_id: str
    name: str
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippingMethod:
    method: str
    price: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class LineQuantity:
    line_id: str
    quantity: int


class Condition(StrEnum):
    """The condition of returned goods, by the name in the contract."""

    RESALEABLE = "RETURN_CONDITION_RESALEABLE"
    DAMAGED = "RETURN_CONDITION_DAMAGED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedLine:
    line_id: str
    sku: str
    quantity: int
    condition: Condition
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCreated:
    order_id: str
    customer_id: str
    currency: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LineAdded:
    order_id: str
    line_id: str
    sku: str
    name: str
    quantity: int
    unit_price: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LineQuantityChanged:
    order_id: str
    line_id: str
    quantity: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRepriced:
    order_id: str
    line_id: str
    unit_price: Money
    previous: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRemoved:
    order_id: str
    line_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippingAddressChanged:
    order_id: str
    address: Address
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippingMethodSet:
    order_id: str
    method: str
    price: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscountApplied:
    order_id: str
    discount_id: str
    name: str
    amount: Money | None
    basis_points: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscountRemoved:
    order_id: str
    discount_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPlaced:
    order_id: str
    customer_id: str
    lines: tuple[OrderLine, ...]
    discounts: tuple[AppliedDiscount, ...]
    shipping: ShippingMethod | None
    goods_total: Money
    discount_total: Money
    total: Money
    address: Address
    expires_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderConfirmed:
    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCancelled:
    order_id: str
    customer_id: str
    reason: str
    total: Money
    placed_at: datetime | None
    units: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderHeld:
    order_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldReleased:
    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentCreated:
    order_id: str
    shipment_id: str
    lines: tuple[LineQuantity, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentDispatched:
    order_id: str
    shipment_id: str
    carrier: str
    tracking_number: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentDelivered:
    order_id: str
    shipment_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRejected:
    order_id: str
    customer_id: str
    reason: str
    total: Money
    placed_at: datetime
    units: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderExpired:
    order_id: str
    customer_id: str
    total: Money
    placed_at: datetime
    units: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCompleted:
    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentAuthorised:
    order_id: str
    authorisation_id: str
    amount: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFailed:
    order_id: str
    authorisation_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentVoided:
    order_id: str
    authorisation_id: str
    amount: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorisationLapsed:
    """`amount` was held until then and had not been captured."""

    order_id: str
    authorisation_id: str
    amount: Money
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCaptured:
    order_id: str
    capture_id: str
    authorisation_id: str
    amount: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequested:
    """`return_id` is "" if it pays no return, and None if that was not recorded."""

    order_id: str
    refund_id: str
    amount: Money
    reason: str
    return_id: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRefunded:
    order_id: str
    refund_id: str
    amount: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundFailed:
    order_id: str
    refund_id: str
    amount: Money
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LineQuantityCancelled:
    order_id: str
    customer_id: str
    cancellation_id: str
    line_id: str
    quantity: int
    amount: Money
    reason: str
    placed_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentCancelled:
    order_id: str
    shipment_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnedLine:
    line_id: str
    sku: str
    quantity: int
    condition: Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentLost:
    order_id: str
    shipment_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRefused:
    order_id: str
    shipment_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentReturned:
    order_id: str
    shipment_id: str
    lines: tuple[ReturnedLine, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnRequested:
    order_id: str
    return_id: str
    lines: tuple[LineQuantity, ...]
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnApproved:
    order_id: str
    return_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnRejected:
    order_id: str
    return_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnReceived:
    order_id: str
    customer_id: str
    return_id: str
    lines: tuple[ReceivedLine, ...]
    amount: Money
    placed_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ExcessReturned:
    """Of a return: the units that the customer had beyond the order. They were not paid for."""

    order_id: str
    return_id: str
    lines: tuple[ReturnedLine, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteAdded:
    order_id: str
    note_id: str
    text: str
    at: datetime


PaymentEvent = (
    PaymentAuthorised
    | PaymentFailed
    | PaymentVoided
    | AuthorisationLapsed
    | PaymentCaptured
    | RefundRequested
    | PaymentRefunded
    | RefundFailed
)
OrderEvent = (
    OrderCreated
    | LineAdded
    | LineQuantityChanged
    | LineRepriced
    | LineRemoved
    | ShippingAddressChanged
    | ShippingMethodSet
    | DiscountApplied
    | DiscountRemoved
    | OrderPlaced
    | OrderConfirmed
    | OrderCancelled
    | OrderHeld
    | HoldReleased
    | ShipmentCreated
    | ShipmentDispatched
    | ShipmentDelivered
    | OrderRejected
    | OrderExpired
    | OrderCompleted
    | LineQuantityCancelled
    | ShipmentCancelled
    | ShipmentLost
    | DeliveryRefused
    | ShipmentReturned
    | ReturnRequested
    | ReturnApproved
    | ReturnRejected
    | ReturnReceived
    | ExcessReturned
    | NoteAdded
    | PaymentEvent
)
