"""The rulebook of an order: (state, command) → events. Rules of more than a line are in the modules beside it."""

from collections.abc import Sequence

from core.domain.order import cancelling, discounts, editing, notes, payments, placing, returns, shipping
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
    DispatchShipment,
    ExpireOrder,
    HoldOrder,
    OrderCommand,
    PlaceOrder,
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
from core.domain.order.events import HoldReleased, OrderEvent, OrderHeld
from core.domain.order.state import (
    Cancelled,
    Completed,
    Confirmed,
    Draft,
    Expired,
    NoOrder,
    Order,
    Placed,
    Rejected,
)
from core.domain.rejection import CommandRejected, Reason


def decide(state: Order, command: OrderCommand) -> Sequence[OrderEvent]:  # noqa: C901, PLR0912  # the rulebook: a row a rule
    match state, command:
        case NoOrder(), CreateOrder():
            return editing.create(command)
        case _, CreateOrder():
            raise CommandRejected(Reason.ORDER_EXISTS, order_id=command.order_id)
        case NoOrder(), _:
            raise CommandRejected(Reason.ORDER_NOT_FOUND, order_id=command.order_id)

        case Draft(), AddLine():
            return editing.add_line(state, command)
        case Draft(), ChangeLineQuantity():
            return editing.change_quantity(state, command)
        case Draft(), RemoveLine():
            return editing.remove_line(state, command)
        case Draft(), RefreshPrices():
            return editing.refresh_prices(state, command)
        case Draft(), SetShippingMethod():
            return discounts.set_shipping_method(state, command)
        case Draft(), ApplyDiscount():
            return discounts.apply(state, command)
        case Draft(), RemoveDiscount():
            return discounts.remove(state, command)
        case _, (
            AddLine()
            | ChangeLineQuantity()
            | RemoveLine()
            | RefreshPrices()
            | SetShippingMethod()
            | ApplyDiscount()
            | RemoveDiscount()
        ):
            raise CommandRejected(Reason.ORDER_NOT_EDITABLE, order_id=command.order_id, status=state.status)

        case ((Draft() | Placed() | Confirmed()), ChangeShippingAddress()):
            return editing.change_address(state, command)

        case Draft(), PlaceOrder():
            return placing.place(state, command)
        case ((Placed() | Confirmed() | Completed()), PlaceOrder()):
            return []

        case ((Placed() | Confirmed()), HoldOrder()):
            held = OrderHeld(order_id=state.order_id, reason=command.reason, at=command.at)
            return [] if state.held else [held]
        case ((Placed() | Confirmed()), ReleaseHold()):
            return [HoldReleased(order_id=state.order_id, at=command.at)] if state.held else []
        case Placed(held=True), ConfirmOrder():
            raise CommandRejected(Reason.ORDER_ON_HOLD, order_id=state.order_id)
        case Confirmed(held=True), CompleteOrder():
            raise CommandRejected(Reason.ORDER_ON_HOLD, order_id=state.order_id)
        case Confirmed(held=True), (CreateShipment() | DispatchShipment()) if not shipping.is_done(state, command):
            raise CommandRejected(Reason.ORDER_ON_HOLD, order_id=state.order_id)

        case Placed(), ConfirmOrder():
            return placing.confirm(state, command)
        case ((Confirmed() | Completed()), ConfirmOrder()):
            return []

        case ((Draft() | Placed() | Confirmed()), CancelOrder()):
            return cancelling.cancel(state, command)
        case ((Placed() | Confirmed() | Completed()), CancelLineQuantity()):
            return cancelling.cancel_quantity(state, command)
        case Cancelled(), (CancelOrder() | CancelLineQuantity()):
            return []

        case Placed(), RejectOrder():
            return placing.reject(state, command)
        case Rejected(), RejectOrder():
            return []
        case Placed(), ExpireOrder():
            return placing.expire(state, command)
        case Expired(), ExpireOrder():
            return []
        case Confirmed(), CompleteOrder():
            return placing.complete(state, command)
        case Completed(), CompleteOrder():
            return []

        case (
            (Placed() | Confirmed() | Completed() | Cancelled() | Rejected() | Expired()),
            (
                RecordAuthorisation()
                | RecordPaymentFailure()
                | VoidAuthorisation()
                | RecordAuthorisationLapse()
                | CapturePayment()
                | RefundPayment()
                | SettleRefund()
                | RecordRefundFailure()
            ),
        ):
            return payments.decide(state, command)

        case ((Confirmed() | Completed()), CreateShipment()):
            return shipping.create_shipment(state, command)
        case ((Confirmed() | Completed()), DispatchShipment()):
            return shipping.dispatch(state, command)
        case ((Confirmed() | Completed() | Cancelled(shipments=(_, *_))), ConfirmDelivery()):
            return shipping.deliver(state, command)
        case ((Confirmed() | Completed()), CancelShipment()):
            return shipping.cancel(state, command)
        case ((Confirmed() | Completed() | Cancelled()), RecordShipmentLoss()):
            return shipping.lose(state, command)
        case ((Confirmed() | Completed() | Cancelled()), RecordDeliveryRefusal()):
            return shipping.refuse(state, command)
        case ((Confirmed() | Completed() | Cancelled()), ReceiveReturnedShipment()):
            return shipping.take_back(state, command)
        case (
            (Confirmed() | Completed() | Cancelled(shipments=(_, *_))),
            (RequestReturn() | ApproveReturn() | RejectReturn() | ReceiveReturn()),
        ):
            return returns.decide(state, command)
        case _, AddNote():
            return notes.add(state, command)
        case _:
            raise CommandRejected(
                Reason.ORDER_STATE, order_id=command.order_id, status=state.status, command=type(command).__name__
            )
