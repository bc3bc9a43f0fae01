"""The commands of an order. Time, prices and the state of other aggregates are part of the command."""

from dataclasses import dataclass, field
from datetime import datetime

from core.domain.address import Address
from core.domain.decider import FACT
from core.domain.money import Money
from core.domain.order.events import Condition, LineQuantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """The order's view of its user; `known` is False for an id that was never registered."""

    user_id: str
    known: bool
    blocked: bool


NO_CUSTOMER = Customer(user_id="", known=False, blocked=False)
"""For a command to an order in a later stage: no rule needs its user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The order's view of a product now; `price` is None if the product was never registered."""

    sku: str
    name: str
    price: Money | None
    sellable: bool


def unlisted(sku: str) -> Listing:
    """A product that was never registered."""
    return Listing(sku=sku, name="", price=None, sellable=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLine:
    line_id: str
    listing: Listing
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOrder:
    order_id: str
    customer: Customer
    currency: str
    lines: tuple[NewLine, ...]
    address: Address | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AddLine:
    order_id: str
    customer: Customer
    line: NewLine
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeLineQuantity:
    order_id: str
    customer: Customer
    line_id: str
    quantity: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveLine:
    order_id: str
    line_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshPrices:
    """`listings` has the current listing of every product in the order."""

    order_id: str
    listings: tuple[Listing, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeShippingAddress:
    order_id: str
    address: Address
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SetShippingMethod:
    order_id: str
    method: str
    price: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyDiscount:
    """Either an `amount` or `basis_points`; the other is None or 0."""

    order_id: str
    discount_id: str
    name: str
    amount: Money | None
    basis_points: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveDiscount:
    order_id: str
    discount_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder:
    """`listings` has the current listing of every product in the order."""

    order_id: str
    customer: Customer
    listings: tuple[Listing, ...]
    expires_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmOrder:
    order_id: str
    customer: Customer = field(metadata=FACT)
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder:
    order_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldOrder:
    order_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseHold:
    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateShipment:
    """No `lines` means all that is open."""

    order_id: str
    shipment_id: str
    lines: tuple[LineQuantity, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchShipment:
    order_id: str
    shipment_id: str
    carrier: str
    tracking_number: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmDelivery:
    order_id: str
    shipment_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectOrder:
    order_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireOrder:
    """`now` is the time compared with the deadline; it is never ahead of the event store's."""

    order_id: str
    now: datetime = field(metadata=FACT)
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteOrder:
    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAuthorisation:
    order_id: str
    authorisation_id: str
    amount: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPaymentFailure:
    order_id: str
    authorisation_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidAuthorisation:
    order_id: str
    authorisation_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAuthorisationLapse:
    order_id: str
    authorisation_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturePayment:
    order_id: str
    capture_id: str
    authorisation_id: str
    amount: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundPayment:
    """`return_id` is the received return that it pays, "" for none."""

    order_id: str
    refund_id: str
    amount: Money
    reason: str
    return_id: str = field(default="", metadata=FACT)
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleRefund:
    order_id: str
    refund_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRefundFailure:
    order_id: str
    refund_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelLineQuantity:
    order_id: str
    cancellation_id: str
    line_id: str
    quantity: int
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelShipment:
    order_id: str
    shipment_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReturn:
    """No `lines` means all that was delivered and not returned yet."""

    order_id: str
    return_id: str
    lines: tuple[LineQuantity, ...]
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveReturn:
    order_id: str
    return_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectReturn:
    order_id: str
    return_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedQuantity:
    line_id: str
    quantity: int
    condition: Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveReturn:
    order_id: str
    return_id: str
    lines: tuple[ReceivedQuantity, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordShipmentLoss:
    order_id: str
    shipment_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDeliveryRefusal:
    order_id: str
    shipment_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveReturnedShipment:
    order_id: str
    shipment_id: str
    lines: tuple[ReceivedQuantity, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AddNote:
    order_id: str
    note_id: str
    text: str
    at: datetime


ReturnCommand = RequestReturn | ApproveReturn | RejectReturn | ReceiveReturn
PaymentCommand = (
    RecordAuthorisation
    | RecordPaymentFailure
    | VoidAuthorisation
    | RecordAuthorisationLapse
    | CapturePayment
    | RefundPayment
    | SettleRefund
    | RecordRefundFailure
)
OrderCommand = (
    CreateOrder
    | AddLine
    | ChangeLineQuantity
    | RemoveLine
    | RefreshPrices
    | ChangeShippingAddress
    | SetShippingMethod
    | ApplyDiscount
    | RemoveDiscount
    | PlaceOrder
    | ConfirmOrder
    | CancelOrder
    | HoldOrder
    | ReleaseHold
    | CreateShipment
    | DispatchShipment
    | ConfirmDelivery
    | RejectOrder
    | ExpireOrder
    | CompleteOrder
    | CancelLineQuantity
    | CancelShipment
    | RecordShipmentLoss
    | RecordDeliveryRefusal
    | ReceiveReturnedShipment
    | AddNote
    | ReturnCommand
    | PaymentCommand
)
