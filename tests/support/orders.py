"""Builders: a test names only what matters to it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from core.domain.address import Address
from core.domain.money import Money
from core.domain.order.commands import (
    AddLine,
    AddNote,
    ApplyDiscount,
    ApproveReturn,
    CancelLineQuantity,
    CancelOrder,
    CancelShipment,
    CapturePayment,
    ChangeLineQuantity,
    ChangeShippingAddress,
    CompleteOrder,
    ConfirmDelivery,
    ConfirmOrder,
    CreateOrder,
    CreateShipment,
    Customer,
    DispatchShipment,
    ExpireOrder,
    HoldOrder,
    Listing,
    NewLine,
    PlaceOrder,
    ReceivedQuantity,
    ReceiveReturn,
    ReceiveReturnedShipment,
    RecordAuthorisation,
    RecordAuthorisationLapse,
    RecordDeliveryRefusal,
    RecordPaymentFailure,
    RecordRefundFailure,
    RecordShipmentLoss,
    RefreshPrices,
    RefundPayment,
    RejectOrder,
    RejectReturn,
    ReleaseHold,
    RemoveDiscount,
    RemoveLine,
    RequestReturn,
    SetShippingMethod,
    SettleRefund,
    VoidAuthorisation,
)
from core.domain.order.events import (
    AppliedDiscount,
    AuthorisationLapsed,
    Condition,
    DeliveryRefused,
    DiscountApplied,
    DiscountRemoved,
    ExcessReturned,
    HoldReleased,
    LineAdded,
    LineQuantity,
    LineQuantityCancelled,
    LineQuantityChanged,
    LineRemoved,
    LineRepriced,
    NoteAdded,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderCreated,
    OrderExpired,
    OrderHeld,
    OrderLine,
    OrderPlaced,
    OrderRejected,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentFailed,
    PaymentRefunded,
    PaymentVoided,
    ReceivedLine,
    RefundFailed,
    RefundRequested,
    ReturnApproved,
    ReturnedLine,
    ReturnReceived,
    ReturnRejected,
    ReturnRequested,
    ShipmentCancelled,
    ShipmentCreated,
    ShipmentDelivered,
    ShipmentDispatched,
    ShipmentLost,
    ShipmentReturned,
    ShippingAddressChanged,
    ShippingMethod,
    ShippingMethodSet,
)

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(days=3)
ORDER_ID = "0198c0de-0000-7000-8000-000000000001"
ANN = "0198c0de-0000-7000-8000-0000000000aa"
HOME = Address(name="Ann", line1="1 High Street", line2="", city="Ghent", postal_code="9000", country="BE")
WORK = Address(name="Ann", line1="2 Low Street", line2="", city="Ghent", postal_code="9000", country="BE")


def euros(amount_minor: int) -> Money:
    return Money(amount_minor=amount_minor, currency="EUR")


def order_line(line_id: str = "tea", quantity: int = 2, price: int = 350, discount: int = 0) -> OrderLine:
    return OrderLine(
        line_id=line_id,
        sku=line_id,
        name=line_id.title(),
        quantity=quantity,
        unit_price=euros(price),
        line_total=euros(price * quantity),
        discount=euros(discount),
    )


# ------------------------------------------------------------------ events


def created(**changes: Any) -> OrderCreated:
    fields: dict[str, Any] = {"order_id": ORDER_ID, "customer_id": ANN, "currency": "EUR", "at": NOON}
    return OrderCreated(**fields | changes)


def line_added(line_id: str = "tea", quantity: int = 2, price: int = 350, **changes: Any) -> LineAdded:
    fields: dict[str, Any] = {
        "order_id": ORDER_ID,
        "line_id": line_id,
        "sku": line_id,
        "name": line_id.title(),
        "quantity": quantity,
        "unit_price": euros(price),
        "at": NOON,
    }
    return LineAdded(**fields | changes)


def quantity_changed(line_id: str = "tea", quantity: int = 5) -> LineQuantityChanged:
    return LineQuantityChanged(order_id=ORDER_ID, line_id=line_id, quantity=quantity, at=NOON)


def line_repriced(line_id: str = "tea", price: int = 400, previous: int = 350) -> LineRepriced:
    return LineRepriced(order_id=ORDER_ID, line_id=line_id, unit_price=euros(price), previous=euros(previous), at=NOON)


def line_removed(line_id: str = "tea") -> LineRemoved:
    return LineRemoved(order_id=ORDER_ID, line_id=line_id, at=NOON)


def address_changed(address: Address = HOME) -> ShippingAddressChanged:
    return ShippingAddressChanged(order_id=ORDER_ID, address=address, at=NOON)


def placed(*lines: OrderLine, **changes: Any) -> OrderPlaced:
    """With `discounts` that are the sum of the lines' shares, if they are given."""
    lines = lines or (order_line(),)
    goods = sum(line.line_total.amount_minor for line in lines)
    off = sum(line.discount.amount_minor for line in lines)
    shipping = changes.get("shipping")
    fields: dict[str, Any] = {
        "order_id": ORDER_ID,
        "customer_id": ANN,
        "lines": lines,
        "discounts": (),
        "shipping": None,
        "goods_total": euros(goods),
        "discount_total": euros(off),
        "total": euros(goods - off + (shipping.price.amount_minor if shipping else 0)),
        "address": HOME,
        "expires_at": LATER,
        "at": NOON,
    }
    return OrderPlaced(**fields | changes)


def confirmed() -> OrderConfirmed:
    return OrderConfirmed(order_id=ORDER_ID, at=NOON)


def hold() -> HoldOrder:
    return HoldOrder(order_id=ORDER_ID, reason="looks odd", at=NOON)


def release() -> ReleaseHold:
    return ReleaseHold(order_id=ORDER_ID, at=NOON)


def held() -> OrderHeld:
    return OrderHeld(order_id=ORDER_ID, reason="looks odd", at=NOON)


def hold_released() -> HoldReleased:
    return HoldReleased(order_id=ORDER_ID, at=NOON)


def cancelled(**changes: Any) -> OrderCancelled:
    fields: dict[str, Any] = {
        "order_id": ORDER_ID,
        "customer_id": ANN,
        "reason": "changed my mind",
        "total": euros(700),
        "placed_at": NOON,
        "units": 2,
        "at": NOON,
    }
    return OrderCancelled(**fields | changes)


def shipment_created(shipment_id: str = "s1", *lines: tuple[str, int]) -> ShipmentCreated:
    parts = tuple(LineQuantity(line_id=line_id, quantity=n) for line_id, n in lines or (("tea", 2),))
    return ShipmentCreated(order_id=ORDER_ID, shipment_id=shipment_id, lines=parts, at=NOON)


def dispatched(shipment_id: str = "s1", carrier: str = "bpost", tracking_number: str = "42") -> ShipmentDispatched:
    return ShipmentDispatched(
        order_id=ORDER_ID, shipment_id=shipment_id, carrier=carrier, tracking_number=tracking_number, at=NOON
    )


def delivered(shipment_id: str = "s1") -> ShipmentDelivered:
    return ShipmentDelivered(order_id=ORDER_ID, shipment_id=shipment_id, at=NOON)


def shipping_set(price: int = 500, method: str = "express") -> ShippingMethodSet:
    return ShippingMethodSet(order_id=ORDER_ID, method=method, price=euros(price), at=NOON)


def discounted(discount_id: str = "d1", *, amount: int = 0, basis_points: int = 0) -> DiscountApplied:
    return DiscountApplied(
        order_id=ORDER_ID,
        discount_id=discount_id,
        name="spring sale",
        amount=euros(amount) if amount else None,
        basis_points=basis_points,
        at=NOON,
    )


def discount_removed(discount_id: str = "d1") -> DiscountRemoved:
    return DiscountRemoved(order_id=ORDER_ID, discount_id=discount_id, at=NOON)


def off(discount_id: str = "d1", amount: int = 100) -> AppliedDiscount:
    return AppliedDiscount(discount_id=discount_id, name="spring sale", amount=euros(amount))


def by(method: str = "express", price: int = 500) -> ShippingMethod:
    return ShippingMethod(method=method, price=euros(price))


def quantity_cancelled(
    cancellation_id: str = "x1", line_id: str = "tea", quantity: int = 1, amount: int = 350
) -> LineQuantityCancelled:
    return LineQuantityCancelled(
        order_id=ORDER_ID,
        customer_id=ANN,
        cancellation_id=cancellation_id,
        line_id=line_id,
        quantity=quantity,
        amount=euros(amount),
        reason="too many",
        placed_at=NOON,
        at=NOON,
    )


def unpacked(shipment_id: str = "s1") -> ShipmentCancelled:
    return ShipmentCancelled(order_id=ORDER_ID, shipment_id=shipment_id, at=NOON)


def lost(shipment_id: str = "s1") -> ShipmentLost:
    return ShipmentLost(order_id=ORDER_ID, shipment_id=shipment_id, reason="not to be found", at=NOON)


def refused(shipment_id: str = "s1") -> DeliveryRefused:
    return DeliveryRefused(order_id=ORDER_ID, shipment_id=shipment_id, reason="nobody of that name", at=NOON)


def came_back(shipment_id: str = "s1", *lines: ReturnedLine) -> ShipmentReturned:
    return ShipmentReturned(order_id=ORDER_ID, shipment_id=shipment_id, lines=lines or (back_line(),), at=NOON)


def back_line(line_id: str = "tea", quantity: int = 2, condition: Condition = Condition.RESALEABLE) -> ReturnedLine:
    return ReturnedLine(line_id=line_id, sku=line_id, quantity=quantity, condition=condition)


def return_requested(return_id: str = "r1", *lines: tuple[str, int]) -> ReturnRequested:
    parts = tuple(LineQuantity(line_id=line_id, quantity=n) for line_id, n in lines or (("tea", 2),))
    return ReturnRequested(order_id=ORDER_ID, return_id=return_id, lines=parts, reason="too small", at=NOON)


def return_approved(return_id: str = "r1") -> ReturnApproved:
    return ReturnApproved(order_id=ORDER_ID, return_id=return_id, at=NOON)


def return_rejected(return_id: str = "r1") -> ReturnRejected:
    return ReturnRejected(order_id=ORDER_ID, return_id=return_id, reason="worn", at=NOON)


def returned(return_id: str = "r1", *lines: ReceivedLine) -> ReturnReceived:
    lines = lines or (received_line(),)
    amount = euros(sum(x.amount.amount_minor for x in lines))
    return ReturnReceived(
        order_id=ORDER_ID, customer_id=ANN, return_id=return_id, lines=lines, amount=amount, placed_at=NOON, at=NOON
    )


def empty_return(return_id: str = "r1") -> ReturnReceived:
    """All received units were beyond the order."""
    return replace(returned(return_id), lines=(), amount=euros(0))


def excess_returned(return_id: str = "r1", *lines: ReturnedLine) -> ExcessReturned:
    return ExcessReturned(order_id=ORDER_ID, return_id=return_id, lines=lines or (back_line(),), at=NOON)


def received_line(
    line_id: str = "tea", quantity: int = 2, amount: int = 700, condition: Condition = Condition.RESALEABLE
) -> ReceivedLine:
    return ReceivedLine(line_id=line_id, sku=line_id, quantity=quantity, condition=condition, amount=euros(amount))


def noted(note_id: str = "n1", text: str = "Rings twice.\nMind the dog.") -> NoteAdded:
    return NoteAdded(order_id=ORDER_ID, note_id=note_id, text=text, at=NOON)


def rejected(**changes: Any) -> OrderRejected:
    fields: dict[str, Any] = {
        "order_id": ORDER_ID,
        "customer_id": ANN,
        "reason": "out of stock",
        "total": euros(700),
        "placed_at": NOON,
        "units": 2,
        "at": NOON,
    }
    return OrderRejected(**fields | changes)


def expired(**changes: Any) -> OrderExpired:
    fields: dict[str, Any] = {
        "order_id": ORDER_ID,
        "customer_id": ANN,
        "total": euros(700),
        "placed_at": NOON,
        "units": 2,
        "at": LATER,
    }
    return OrderExpired(**fields | changes)


def completed() -> OrderCompleted:
    return OrderCompleted(order_id=ORDER_ID, at=NOON)


def authorised(authorisation_id: str = "a1", amount: int = 700) -> PaymentAuthorised:
    return PaymentAuthorised(order_id=ORDER_ID, authorisation_id=authorisation_id, amount=euros(amount), at=NOON)


def payment_failed(authorisation_id: str = "a1") -> PaymentFailed:
    return PaymentFailed(order_id=ORDER_ID, authorisation_id=authorisation_id, reason="card declined", at=NOON)


def voided(authorisation_id: str = "a1", amount: int = 700) -> PaymentVoided:
    return PaymentVoided(order_id=ORDER_ID, authorisation_id=authorisation_id, amount=euros(amount), at=NOON)


def lapsed(authorisation_id: str = "a1", amount: int = 700) -> AuthorisationLapsed:
    return AuthorisationLapsed(
        order_id=ORDER_ID, authorisation_id=authorisation_id, amount=euros(amount), reason="too old", at=NOON
    )


def captured(capture_id: str = "c1", amount: int = 700, authorisation_id: str = "a1") -> PaymentCaptured:
    return PaymentCaptured(
        order_id=ORDER_ID, capture_id=capture_id, authorisation_id=authorisation_id, amount=euros(amount), at=NOON
    )


def refund_requested(refund_id: str = "r1", amount: int = 700, return_id: str | None = "") -> RefundRequested:
    return RefundRequested(
        order_id=ORDER_ID, refund_id=refund_id, amount=euros(amount), reason="sent back", return_id=return_id, at=NOON
    )


def refunded(refund_id: str = "r1", amount: int = 700) -> PaymentRefunded:
    return PaymentRefunded(order_id=ORDER_ID, refund_id=refund_id, amount=euros(amount), at=NOON)


def refund_failed(refund_id: str = "r1", amount: int = 700) -> RefundFailed:
    return RefundFailed(order_id=ORDER_ID, refund_id=refund_id, amount=euros(amount), reason="card closed", at=NOON)


# ------------------------------------------------------------------ commands


def listing(sku: str = "tea", price: int = 350, *, sellable: bool = True, currency: str = "EUR") -> Listing:
    return Listing(sku=sku, name=sku.title(), price=Money(amount_minor=price, currency=currency), sellable=sellable)


def new_line(line_id: str = "tea", quantity: int = 2, the_listing: Listing | None = None) -> NewLine:
    return NewLine(line_id=line_id, listing=the_listing or listing(line_id), quantity=quantity)


def customer(*, blocked: bool = False) -> Customer:
    return Customer(user_id=ANN, known=True, blocked=blocked)


def create(*lines: NewLine, **changes: Any) -> CreateOrder:
    fields: dict[str, Any] = {
        "order_id": ORDER_ID,
        "customer": customer(),
        "currency": "EUR",
        "lines": lines,
        "address": None,
        "at": NOON,
    }
    return CreateOrder(**fields | changes)


def add_line(line: NewLine | None = None, *, blocked: bool = False) -> AddLine:
    return AddLine(order_id=ORDER_ID, customer=customer(blocked=blocked), line=line or new_line(), at=NOON)


def change_quantity(line_id: str = "tea", quantity: int = 5, *, blocked: bool = False) -> ChangeLineQuantity:
    return ChangeLineQuantity(
        order_id=ORDER_ID, customer=customer(blocked=blocked), line_id=line_id, quantity=quantity, at=NOON
    )


def remove_line(line_id: str = "tea") -> RemoveLine:
    return RemoveLine(order_id=ORDER_ID, line_id=line_id, at=NOON)


def refresh_prices(*listings: Listing) -> RefreshPrices:
    return RefreshPrices(order_id=ORDER_ID, listings=listings or (listing(),), at=NOON)


def change_address(address: Address = HOME) -> ChangeShippingAddress:
    return ChangeShippingAddress(order_id=ORDER_ID, address=address, at=NOON)


def place(*listings: Listing, blocked: bool = False) -> PlaceOrder:
    return PlaceOrder(
        order_id=ORDER_ID,
        customer=customer(blocked=blocked),
        listings=listings or (listing(),),
        expires_at=LATER,
        at=NOON,
    )


def confirm(*, blocked: bool = False) -> ConfirmOrder:
    return ConfirmOrder(order_id=ORDER_ID, customer=customer(blocked=blocked), at=NOON)


def cancel(reason: str = "changed my mind") -> CancelOrder:
    return CancelOrder(order_id=ORDER_ID, reason=reason, at=NOON)


def create_shipment(shipment_id: str = "s1", *lines: tuple[str, int]) -> CreateShipment:
    parts = tuple(LineQuantity(line_id=line_id, quantity=n) for line_id, n in lines)
    return CreateShipment(order_id=ORDER_ID, shipment_id=shipment_id, lines=parts, at=NOON)


def dispatch(shipment_id: str = "s1", carrier: str = "bpost", tracking_number: str = "42") -> DispatchShipment:
    return DispatchShipment(
        order_id=ORDER_ID, shipment_id=shipment_id, carrier=carrier, tracking_number=tracking_number, at=NOON
    )


def deliver(shipment_id: str = "s1") -> ConfirmDelivery:
    return ConfirmDelivery(order_id=ORDER_ID, shipment_id=shipment_id, at=NOON)


def set_shipping(price: int = 500, method: str = "express", currency: str = "EUR") -> SetShippingMethod:
    money = Money(amount_minor=price, currency=currency)
    return SetShippingMethod(order_id=ORDER_ID, method=method, price=money, at=NOON)


def discount(
    discount_id: str = "d1", *, amount: int | None = None, basis_points: int = 0, currency: str = "EUR"
) -> ApplyDiscount:
    return ApplyDiscount(
        order_id=ORDER_ID,
        discount_id=discount_id,
        name="spring sale",
        amount=None if amount is None else Money(amount_minor=amount, currency=currency),
        basis_points=basis_points,
        at=NOON,
    )


def remove_discount(discount_id: str = "d1") -> RemoveDiscount:
    return RemoveDiscount(order_id=ORDER_ID, discount_id=discount_id, at=NOON)


def cancel_quantity(cancellation_id: str = "x1", line_id: str = "tea", quantity: int = 1) -> CancelLineQuantity:
    return CancelLineQuantity(
        order_id=ORDER_ID,
        cancellation_id=cancellation_id,
        line_id=line_id,
        quantity=quantity,
        reason="too many",
        at=NOON,
    )


def unpack(shipment_id: str = "s1") -> CancelShipment:
    return CancelShipment(order_id=ORDER_ID, shipment_id=shipment_id, at=NOON)


def lose(shipment_id: str = "s1") -> RecordShipmentLoss:
    return RecordShipmentLoss(order_id=ORDER_ID, shipment_id=shipment_id, reason="not to be found", at=NOON)


def refuse(shipment_id: str = "s1") -> RecordDeliveryRefusal:
    return RecordDeliveryRefusal(order_id=ORDER_ID, shipment_id=shipment_id, reason="nobody of that name", at=NOON)


def take_back(shipment_id: str = "s1", *lines: tuple[str, int, Condition]) -> ReceiveReturnedShipment:
    parts = tuple(ReceivedQuantity(line_id=line_id, quantity=n, condition=how) for line_id, n, how in lines)
    return ReceiveReturnedShipment(order_id=ORDER_ID, shipment_id=shipment_id, lines=parts, at=NOON)


def request_return(return_id: str = "r1", *lines: tuple[str, int]) -> RequestReturn:
    parts = tuple(LineQuantity(line_id=line_id, quantity=n) for line_id, n in lines)
    return RequestReturn(order_id=ORDER_ID, return_id=return_id, lines=parts, reason="too small", at=NOON)


def approve_return(return_id: str = "r1") -> ApproveReturn:
    return ApproveReturn(order_id=ORDER_ID, return_id=return_id, at=NOON)


def reject_return(return_id: str = "r1") -> RejectReturn:
    return RejectReturn(order_id=ORDER_ID, return_id=return_id, reason="worn", at=NOON)


def receive_return(return_id: str = "r1", *lines: tuple[str, int, Condition]) -> ReceiveReturn:
    parts = tuple(ReceivedQuantity(line_id=line_id, quantity=n, condition=how) for line_id, n, how in lines)
    return ReceiveReturn(order_id=ORDER_ID, return_id=return_id, lines=parts, at=NOON)


def note(note_id: str = "n1", text: str = "Rings twice.\nMind the dog.") -> AddNote:
    return AddNote(order_id=ORDER_ID, note_id=note_id, text=text, at=NOON)


def reject() -> RejectOrder:
    return RejectOrder(order_id=ORDER_ID, reason="out of stock", at=NOON)


def expire(at: datetime = LATER) -> ExpireOrder:
    return ExpireOrder(order_id=ORDER_ID, now=at, at=at)


def complete() -> CompleteOrder:
    return CompleteOrder(order_id=ORDER_ID, at=NOON)


def authorise(authorisation_id: str = "a1", amount: int = 700, currency: str = "EUR") -> RecordAuthorisation:
    money = Money(amount_minor=amount, currency=currency)
    return RecordAuthorisation(order_id=ORDER_ID, authorisation_id=authorisation_id, amount=money, at=NOON)


def fail_payment(authorisation_id: str = "a1") -> RecordPaymentFailure:
    return RecordPaymentFailure(order_id=ORDER_ID, authorisation_id=authorisation_id, reason="card declined", at=NOON)


def void(authorisation_id: str = "a1") -> VoidAuthorisation:
    return VoidAuthorisation(order_id=ORDER_ID, authorisation_id=authorisation_id, at=NOON)


def lapse(authorisation_id: str = "a1") -> RecordAuthorisationLapse:
    return RecordAuthorisationLapse(order_id=ORDER_ID, authorisation_id=authorisation_id, reason="too old", at=NOON)


def capture(
    capture_id: str = "c1", amount: int = 700, authorisation_id: str = "a1", currency: str = "EUR"
) -> CapturePayment:
    return CapturePayment(
        order_id=ORDER_ID,
        capture_id=capture_id,
        authorisation_id=authorisation_id,
        amount=Money(amount_minor=amount, currency=currency),
        at=NOON,
    )


def refund(refund_id: str = "r1", amount: int = 700, currency: str = "EUR", return_id: str = "") -> RefundPayment:
    money = Money(amount_minor=amount, currency=currency)
    return RefundPayment(
        order_id=ORDER_ID, refund_id=refund_id, amount=money, reason="sent back", return_id=return_id, at=NOON
    )


def settle(refund_id: str = "r1") -> SettleRefund:
    return SettleRefund(order_id=ORDER_ID, refund_id=refund_id, at=NOON)


def fail_refund(refund_id: str = "r1") -> RecordRefundFailure:
    return RecordRefundFailure(order_id=ORDER_ID, refund_id=refund_id, reason="card closed", at=NOON)
