"""One example of every event there is, and of what former shapes become."""

from server.domain.checkout.events import (
    CheckoutEnded,
    CheckoutGivenUp,
    CheckoutLine,
    CheckoutPaymentVoided,
    CheckoutRetried,
    CheckoutReturnRestocked,
    CheckoutStarted,
    CheckoutStepFailed,
    CheckoutStepSkipped,
    CheckoutStockCommitted,
    CheckoutStockReleased,
    CheckoutStockReserved,
    CheckoutStockTrimmed,
)
from server.domain.email.events import EmailClaimed, EmailReleased, EmailResolved
from server.domain.email.normal_form import email_hash
from server.domain.order.events import Condition
from server.domain.product.events import (
    PriceChanged,
    ProductActivated,
    ProductDiscontinued,
    ProductRegistered,
    ProductRenamed,
)
from server.domain.stock.events import (
    ReservationCommitted,
    ReservationExpired,
    ReservationPartlyCommitted,
    ReservationPartlyReleased,
    ReservationReleased,
    StockAdjusted,
    StockReceived,
    StockReserved,
    StockRestocked,
)
from server.domain.user.events import (
    AddressAdded,
    AddressChanged,
    AddressRemoved,
    DefaultAddressSet,
    EmailChanged,
    EmailChangeRequired,
    EmailClaimRevoked,
    NameChanged,
    UserBlocked,
    UserRegistered,
    UserUnblocked,
)
from server.eventstore.registry import DomainEvent
from tests.support import orders
from tests.support.orders import ANN, HOME, LATER, NOON, ORDER_ID, euros

BOB = "0198c0de-0000-7000-8000-0000000000bb"

EXAMPLES: tuple[DomainEvent, ...] = (
    orders.created(),
    orders.line_added(),
    orders.quantity_changed(),
    orders.line_removed(),
    orders.address_changed(),
    orders.shipping_set(),
    orders.discounted(amount=100),
    orders.discount_removed(),
    orders.placed(
        orders.order_line("tea", 2, 350, discount=70),
        orders.order_line("milk", 3, 101, discount=30),
        discounts=(orders.off(amount=100),),
        shipping=orders.by("express", 500),
    ),
    orders.confirmed(),
    orders.cancelled(),
    orders.held(),
    orders.hold_released(),
    orders.shipment_created("s1", ("tea", 2), ("milk", 1)),
    orders.dispatched(),
    orders.delivered(),
    orders.quantity_cancelled(),
    orders.unpacked(),
    orders.return_requested("r1", ("tea", 2), ("milk", 1)),
    orders.return_approved(),
    orders.return_rejected(),
    orders.returned("r1", orders.received_line(), orders.received_line("milk", 1, 101, Condition.DAMAGED)),
    orders.noted(),
    orders.rejected(),
    orders.expired(),
    orders.completed(),
    orders.authorised(),
    orders.payment_failed(),
    orders.voided(),
    orders.captured(),
    orders.refund_requested(),
    orders.refunded(),
    orders.refund_failed(),
    ProductRegistered(sku="tea", name="Tea", price=euros(2**53 - 1), at=NOON),
    ProductRenamed(sku="tea", name="Green tea", at=NOON),
    PriceChanged(sku="tea", price=euros(400), previous=euros(350), at=NOON.replace(microsecond=123456)),
    ProductActivated(sku="tea", at=NOON),
    ProductDiscontinued(sku="tea", at=NOON),
    StockReceived(sku="tea", quantity=100, at=NOON),
    StockAdjusted(sku="tea", change=-3, reason="broken", at=NOON),
    StockReserved(sku="tea", reservation_id=ANN, quantity=2, expires_at=NOON, at=NOON),
    ReservationCommitted(sku="tea", reservation_id=ANN, quantity=2, at=NOON),
    ReservationReleased(sku="tea", reservation_id=ANN, quantity=2, at=NOON),
    ReservationPartlyCommitted(sku="tea", reservation_id=ANN, quantity=1, at=NOON),
    ReservationPartlyReleased(sku="tea", reservation_id=ANN, quantity=1, at=NOON),
    ReservationExpired(sku="tea", reservation_id=ANN, quantity=2, at=NOON),
    StockRestocked(sku="tea", return_id=ANN, quantity=1, at=NOON),
    UserRegistered(user_id=ANN, email="ann@example.org", name="Änn 安", at=NOON),
    EmailChanged(user_id=ANN, email="ann@example.com", previous_email="ann@example.org", at=NOON),
    NameChanged(user_id=ANN, name="Anne", at=NOON),
    UserBlocked(user_id=ANN, reason="chargeback", at=NOON),
    UserUnblocked(user_id=ANN, at=NOON),
    AddressAdded(user_id=ANN, address_id="home", address=HOME, at=NOON),
    AddressChanged(user_id=ANN, address_id="home", address=HOME, at=NOON),
    AddressRemoved(user_id=ANN, address_id="home", at=NOON),
    DefaultAddressSet(user_id=ANN, address_id="home", at=NOON),
    EmailClaimRevoked(user_id=ANN, email_hash=email_hash("ann@example.org"), at=NOON),
    EmailChangeRequired(
        user_id=ANN, email_hash=email_hash("ann@example.org"), kept_by_user_id=BOB, reason="Bob proved it", at=NOON
    ),
    EmailClaimed(email_hash=email_hash("ann@example.org"), user_id=ANN, at=NOON),
    EmailReleased(email_hash=email_hash("ann@example.org"), user_id=ANN, at=NOON),
    EmailResolved(
        email_hash=email_hash("ann@example.org"), user_id=BOB, other_user_ids=(ANN,), reason="Bob proved it", at=NOON
    ),
    CheckoutStarted(
        order_id=ORDER_ID,
        lines=(
            CheckoutLine(line_id="tea", sku="tea", quantity=2),
            CheckoutLine(line_id="milk", sku="milk-1l", quantity=3),
        ),
        deadline=LATER,
        at=NOON,
    ),
    CheckoutStockReserved(order_id=ORDER_ID, at=NOON),
    CheckoutStockReleased(order_id=ORDER_ID, at=NOON),
    CheckoutPaymentVoided(order_id=ORDER_ID, at=NOON),
    CheckoutStockCommitted(order_id=ORDER_ID, shipment_id="s1", at=NOON),
    CheckoutStockTrimmed(order_id=ORDER_ID, cancellation_id="c1", at=NOON),
    CheckoutReturnRestocked(order_id=ORDER_ID, return_id="r1", at=NOON),
    CheckoutStepFailed(
        order_id=ORDER_ID,
        step="CAPTURE_PAYMENT",
        subject="s1",
        reason="PAYMENT_PROVIDER: no answer",
        attempt=3,
        retry_at=LATER,
        at=NOON,
    ),
    CheckoutRetried(order_id=ORDER_ID, at=NOON),
    CheckoutStepSkipped(order_id=ORDER_ID, step="CAPTURE_PAYMENT", subject="s1", reason="paid in cash", at=NOON),
    CheckoutGivenUp(order_id=ORDER_ID, reason="looks like fraud", at=NOON),
    CheckoutEnded(order_id=ORDER_ID, outcome="COMPLETED", at=NOON),
)

# golden file of a former shape → what it is read as
LIFTED: dict[str, DomainEvent] = {
    "PriceChanged.v1": PriceChanged(sku="tea", price=euros(400), previous=None, at=NOON.replace(microsecond=123456)),
    "OrderPlaced.v1": orders.placed(orders.order_line("tea", 2, 350), orders.order_line("milk", 3, 101)),
    "EmailChanged.v1": EmailChanged(user_id=ANN, email="ann@example.com", previous_email="", at=NOON),
}
