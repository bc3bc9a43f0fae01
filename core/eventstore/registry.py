"""The one explicit list of event types (wire names) and their classes.

A released shape is never edited. A new shape takes the row under a new name with the next version; the former one
goes to `upcasters.py`, and both golden files stay.
"""

from dataclasses import dataclass

from core.domain.checkout import events as checkout
from core.domain.email import events as email
from core.domain.order import events as order
from core.domain.product import events as product
from core.domain.stock import events as stock
from core.domain.user import events as user

DomainEvent = (
    order.OrderEvent
    | product.ProductEvent
    | stock.StockEvent
    | user.UserEvent
    | email.EmailEvent
    | checkout.CheckoutEvent
)


@dataclass(frozen=True, slots=True)
class Row:
    """`name` is the event type in the store; `version` counts the shapes of this event, and is part of the metadata."""

    name: str
    event: type[DomainEvent]
    category: str
    version: int = 1


ROWS = (
    Row("OrderCreated", order.OrderCreated, "order"),
    Row("LineAdded", order.LineAdded, "order"),
    Row("LineQuantityChanged", order.LineQuantityChanged, "order"),
    Row("LineRepriced", order.LineRepriced, "order"),
    Row("LineRemoved", order.LineRemoved, "order"),
    Row("ShippingAddressChanged", order.ShippingAddressChanged, "order"),
    Row("ShippingMethodSet", order.ShippingMethodSet, "order"),
    Row("DiscountApplied", order.DiscountApplied, "order"),
    Row("DiscountRemoved", order.DiscountRemoved, "order"),
    Row("OrderPlacedV2", order.OrderPlaced, "order", version=2),
    Row("OrderConfirmed", order.OrderConfirmed, "order"),
    Row("OrderCancelled", order.OrderCancelled, "order"),
    Row("OrderHeld", order.OrderHeld, "order"),
    Row("HoldReleased", order.HoldReleased, "order"),
    Row("ShipmentCreated", order.ShipmentCreated, "order"),
    Row("ShipmentDispatched", order.ShipmentDispatched, "order"),
    Row("ShipmentDelivered", order.ShipmentDelivered, "order"),
    Row("OrderRejected", order.OrderRejected, "order"),
    Row("OrderExpired", order.OrderExpired, "order"),
    Row("OrderCompleted", order.OrderCompleted, "order"),
    Row("PaymentAuthorised", order.PaymentAuthorised, "order"),
    Row("PaymentFailed", order.PaymentFailed, "order"),
    Row("PaymentVoided", order.PaymentVoided, "order"),
    Row("AuthorisationLapsed", order.AuthorisationLapsed, "order"),
    Row("PaymentCaptured", order.PaymentCaptured, "order"),
    Row("RefundRequestedV2", order.RefundRequested, "order", version=2),
    Row("PaymentRefunded", order.PaymentRefunded, "order"),
    Row("RefundFailed", order.RefundFailed, "order"),
    Row("LineQuantityCancelled", order.LineQuantityCancelled, "order"),
    Row("ShipmentCancelled", order.ShipmentCancelled, "order"),
    Row("ShipmentLost", order.ShipmentLost, "order"),
    Row("DeliveryRefused", order.DeliveryRefused, "order"),
    Row("ShipmentReturned", order.ShipmentReturned, "order"),
    Row("ReturnRequested", order.ReturnRequested, "order"),
    Row("ReturnApproved", order.ReturnApproved, "order"),
    Row("ReturnRejected", order.ReturnRejected, "order"),
    Row("ReturnReceived", order.ReturnReceived, "order"),
    Row("ExcessReturned", order.ExcessReturned, "order"),
    Row("NoteAdded", order.NoteAdded, "order"),
    Row("ProductRegistered", product.ProductRegistered, "product"),
    Row("ProductRenamed", product.ProductRenamed, "product"),
    Row("PriceChangedV2", product.PriceChanged, "product", version=2),
    Row("ProductActivated", product.ProductActivated, "product"),
    Row("ProductDiscontinued", product.ProductDiscontinued, "product"),
    Row("StockReceived", stock.StockReceived, "stock"),
    Row("StockAdjusted", stock.StockAdjusted, "stock"),
    Row("StockReserved", stock.StockReserved, "stock"),
    Row("ReservationCommitted", stock.ReservationCommitted, "stock"),
    Row("ReservationReleased", stock.ReservationReleased, "stock"),
    Row("ReservationPartlyCommitted", stock.ReservationPartlyCommitted, "stock"),
    Row("ReservationPartlyReleased", stock.ReservationPartlyReleased, "stock"),
    Row("ReservationExpired", stock.ReservationExpired, "stock"),
    Row("StockRestocked", stock.StockRestocked, "stock"),
    Row("UserRegistered", user.UserRegistered, "user"),
    Row("EmailChangedV2", user.EmailChanged, "user", version=2),
    Row("NameChanged", user.NameChanged, "user"),
    Row("UserBlocked", user.UserBlocked, "user"),
    Row("UserUnblocked", user.UserUnblocked, "user"),
    Row("AddressAdded", user.AddressAdded, "user"),
    Row("AddressChanged", user.AddressChanged, "user"),
    Row("AddressRemoved", user.AddressRemoved, "user"),
    Row("DefaultAddressSet", user.DefaultAddressSet, "user"),
    Row("EmailClaimRevoked", user.EmailClaimRevoked, "user"),
    Row("EmailChangeRequired", user.EmailChangeRequired, "user"),
    Row("EmailClaimed", email.EmailClaimed, "useremail"),
    Row("EmailReleased", email.EmailReleased, "useremail"),
    Row("EmailResolved", email.EmailResolved, "useremail"),
    Row("CheckoutStartedV2", checkout.CheckoutStarted, "checkout", version=2),
    Row("CheckoutStockReserved", checkout.CheckoutStockReserved, "checkout"),
    Row("CheckoutStockReleased", checkout.CheckoutStockReleased, "checkout"),
    Row("CheckoutPaymentVoided", checkout.CheckoutPaymentVoided, "checkout"),
    Row("CheckoutStockCommitted", checkout.CheckoutStockCommitted, "checkout"),
    Row("CheckoutStockTrimmed", checkout.CheckoutStockTrimmed, "checkout"),
    Row("CheckoutReturnRestocked", checkout.CheckoutReturnRestocked, "checkout"),
    Row("CheckoutStockReservedAgain", checkout.CheckoutStockReservedAgain, "checkout"),
    Row("CheckoutReshipmentDropped", checkout.CheckoutReshipmentDropped, "checkout"),
    Row("CheckoutShipmentRestocked", checkout.CheckoutShipmentRestocked, "checkout"),
    Row("CheckoutStepFailed", checkout.CheckoutStepFailed, "checkout"),
    Row("CheckoutRetried", checkout.CheckoutRetried, "checkout"),
    Row("CheckoutStepSkipped", checkout.CheckoutStepSkipped, "checkout"),
    Row("CheckoutGivenUp", checkout.CheckoutGivenUp, "checkout"),
    Row("CheckoutEnded", checkout.CheckoutEnded, "checkout"),
)

BY_NAME = {row.name: row for row in ROWS}
BY_EVENT: dict[type, Row] = {row.event: row for row in ROWS}
CATEGORIES = tuple(dict.fromkeys(row.category for row in ROWS))

if not len(ROWS) == len(BY_NAME) == len(BY_EVENT):
    raise RuntimeError("an event name or class stands in two rows of the registry")
