"""Maps order requests to commands."""

import asyncio
from typing import Any

from core.domain.money import Money
from core.domain.order import ORDER, commands
from core.domain.order.commands import NO_CUSTOMER, Customer, Listing, NewLine
from core.domain.order.events import Condition, LineQuantity
from core.domain.order.limits import MAX_LINES, require_line_count
from core.domain.order.state import Draft, Order, Placed
from core.rpc.validation import (
    LINES_OF_TEXT,
    REASON,
    chosen,
    count,
    known_id,
    new_id,
    not_of_a_process,
    optional,
    sku,
    text,
    uuid,
)
from protos.common.v1 import types_pb2 as common
from protos.orders.v1 import commands_pb2 as pb
from protos.orders.v1 import types_pb2 as types
from server.commands.addresses import to_address
from server.commands.lookups import FRESH
from server.commands.routes import CommandContext, Route


async def create(
    request: pb.CreateOrderRequest, order_id: str, _: Order, context: CommandContext
) -> commands.CreateOrder:
    customer = await context.lookups.customer(request.customer_id)
    listings = await context.lookups.listings(line.sku for line in request.lines)
    return commands.CreateOrder(
        order_id=order_id,
        customer=customer,
        currency=request.currency,
        lines=tuple(_new_line(line, listings) for line in request.lines),
        address=to_address(request.shipping_address) if request.HasField("shipping_address") else None,
        at=context.at,
    )


async def add_line(
    request: pb.AddLineRequest, order_id: str, order: Order, context: CommandContext
) -> commands.AddLine:
    customer, listings = await asyncio.gather(
        _customer_of_draft(order, context), context.lookups.listings([request.line.sku])
    )
    return commands.AddLine(order_id=order_id, customer=customer, line=_new_line(request.line, listings), at=context.at)


async def change_line_quantity(
    request: pb.ChangeLineQuantityRequest, order_id: str, order: Order, context: CommandContext
) -> commands.ChangeLineQuantity:
    return commands.ChangeLineQuantity(
        order_id=order_id,
        customer=await _customer_of_draft(order, context),
        line_id=request.line_id,
        quantity=request.quantity,
        at=context.at,
    )


async def remove_line(
    request: pb.RemoveLineRequest, order_id: str, _: Order, context: CommandContext
) -> commands.RemoveLine:
    return commands.RemoveLine(order_id=order_id, line_id=request.line_id, at=context.at)


async def refresh_prices(
    _request: pb.RefreshPricesRequest, order_id: str, order: Order, context: CommandContext
) -> commands.RefreshPrices:
    return commands.RefreshPrices(order_id=order_id, listings=await _listings_now(order, context), at=context.at)


async def change_shipping_address(
    request: pb.ChangeShippingAddressRequest, order_id: str, _: Order, context: CommandContext
) -> commands.ChangeShippingAddress:
    return commands.ChangeShippingAddress(
        order_id=order_id, address=to_address(request.shipping_address), at=context.at
    )


async def set_shipping_method(
    request: pb.SetShippingMethodRequest, order_id: str, _: Order, context: CommandContext
) -> commands.SetShippingMethod:
    return commands.SetShippingMethod(
        order_id=order_id, method=request.method, price=_money(request.price), at=context.at
    )


async def apply_discount(
    request: pb.ApplyDiscountRequest, order_id: str, _: Order, context: CommandContext
) -> commands.ApplyDiscount:
    return commands.ApplyDiscount(
        order_id=order_id,
        discount_id=request.discount_id,
        name=request.name,
        amount=_money(request.amount) if request.HasField("amount") else None,
        basis_points=request.basis_points,
        at=context.at,
    )


async def remove_discount(
    request: pb.RemoveDiscountRequest, order_id: str, _: Order, context: CommandContext
) -> commands.RemoveDiscount:
    return commands.RemoveDiscount(order_id=order_id, discount_id=request.discount_id, at=context.at)


async def place(
    _request: pb.PlaceOrderRequest, order_id: str, order: Order, context: CommandContext
) -> commands.PlaceOrder:
    customer, listings = await asyncio.gather(_customer_now(order, context), _listings_now(order, context))
    return commands.PlaceOrder(
        order_id=order_id,
        customer=customer,
        listings=listings,
        expires_at=context.expires_at,
        at=context.at,
    )


async def confirm(
    _request: pb.ConfirmOrderRequest, order_id: str, order: Order, context: CommandContext
) -> commands.ConfirmOrder:
    return commands.ConfirmOrder(order_id=order_id, customer=await _customer_now(order, context), at=context.at)


async def cancel(
    request: pb.CancelOrderRequest, order_id: str, _: Order, context: CommandContext
) -> commands.CancelOrder:
    return commands.CancelOrder(order_id=order_id, reason=request.reason, at=context.at)


async def hold(request: pb.HoldOrderRequest, order_id: str, _: Order, context: CommandContext) -> commands.HoldOrder:
    return commands.HoldOrder(order_id=order_id, reason=request.reason, at=context.at)


async def release(
    _request: pb.ReleaseHoldRequest, order_id: str, _: Order, context: CommandContext
) -> commands.ReleaseHold:
    return commands.ReleaseHold(order_id=order_id, at=context.at)


async def create_shipment(
    request: pb.CreateShipmentRequest, order_id: str, _: Order, context: CommandContext
) -> commands.CreateShipment:
    return commands.CreateShipment(
        order_id=order_id,
        shipment_id=request.shipment_id,
        lines=tuple(_line_quantity(line) for line in request.lines),
        at=context.at,
    )


async def dispatch_shipment(
    request: pb.DispatchShipmentRequest, order_id: str, _: Order, context: CommandContext
) -> commands.DispatchShipment:
    return commands.DispatchShipment(
        order_id=order_id,
        shipment_id=request.shipment_id,
        carrier=request.carrier,
        tracking_number=request.tracking_number,
        at=context.at,
    )


async def confirm_delivery(
    request: pb.ConfirmDeliveryRequest, order_id: str, _: Order, context: CommandContext
) -> commands.ConfirmDelivery:
    return commands.ConfirmDelivery(order_id=order_id, shipment_id=request.shipment_id, at=context.at)


async def reject(
    request: pb.RejectOrderRequest, order_id: str, _: Order, context: CommandContext
) -> commands.RejectOrder:
    return commands.RejectOrder(order_id=order_id, reason=request.reason, at=context.at)


async def expire(
    _request: pb.ExpireOrderRequest, order_id: str, order: Order, context: CommandContext
) -> commands.ExpireOrder:
    now = await context.lookups.time.for_order(order) if isinstance(order, Placed) else context.at
    return commands.ExpireOrder(order_id=order_id, now=now, at=context.at)


async def complete(
    _request: pb.CompleteOrderRequest, order_id: str, _: Order, context: CommandContext
) -> commands.CompleteOrder:
    return commands.CompleteOrder(order_id=order_id, at=context.at)


async def record_authorisation(
    request: pb.RecordAuthorisationRequest, order_id: str, _: Order, context: CommandContext
) -> commands.RecordAuthorisation:
    return commands.RecordAuthorisation(
        order_id=order_id, authorisation_id=request.authorisation_id, amount=_money(request.amount), at=context.at
    )


async def record_payment_failure(
    request: pb.RecordPaymentFailureRequest, order_id: str, _: Order, context: CommandContext
) -> commands.RecordPaymentFailure:
    return commands.RecordPaymentFailure(
        order_id=order_id, authorisation_id=request.authorisation_id, reason=request.reason, at=context.at
    )


async def void_authorisation(
    request: pb.VoidAuthorisationRequest, order_id: str, _: Order, context: CommandContext
) -> commands.VoidAuthorisation:
    return commands.VoidAuthorisation(order_id=order_id, authorisation_id=request.authorisation_id, at=context.at)


async def record_authorisation_lapse(
    request: pb.RecordAuthorisationLapseRequest, order_id: str, _: Order, context: CommandContext
) -> commands.RecordAuthorisationLapse:
    return commands.RecordAuthorisationLapse(
        order_id=order_id, authorisation_id=request.authorisation_id, reason=request.reason, at=context.at
    )


async def capture_payment(
    request: pb.CapturePaymentRequest, order_id: str, _: Order, context: CommandContext
) -> commands.CapturePayment:
    return commands.CapturePayment(
        order_id=order_id,
        capture_id=request.capture_id,
        authorisation_id=request.authorisation_id,
        amount=_money(request.amount),
        at=context.at,
    )


async def refund_payment(
    request: pb.RefundPaymentRequest, order_id: str, _: Order, context: CommandContext
) -> commands.RefundPayment:
    return commands.RefundPayment(
        order_id=order_id,
        refund_id=request.refund_id,
        amount=_money(request.amount),
        reason=request.reason,
        return_id=request.return_id,
        at=context.at,
    )


async def settle_refund(
    request: pb.SettleRefundRequest, order_id: str, _: Order, context: CommandContext
) -> commands.SettleRefund:
    return commands.SettleRefund(order_id=order_id, refund_id=request.refund_id, at=context.at)


async def record_refund_failure(
    request: pb.RecordRefundFailureRequest, order_id: str, _: Order, context: CommandContext
) -> commands.RecordRefundFailure:
    return commands.RecordRefundFailure(
        order_id=order_id, refund_id=request.refund_id, reason=request.reason, at=context.at
    )


async def cancel_line_quantity(
    request: pb.CancelLineQuantityRequest, order_id: str, _: Order, context: CommandContext
) -> commands.CancelLineQuantity:
    return commands.CancelLineQuantity(
        order_id=order_id,
        cancellation_id=request.cancellation_id,
        line_id=request.line_id,
        quantity=request.quantity,
        reason=request.reason,
        at=context.at,
    )


async def cancel_shipment(
    request: pb.CancelShipmentRequest, order_id: str, _: Order, context: CommandContext
) -> commands.CancelShipment:
    return commands.CancelShipment(order_id=order_id, shipment_id=request.shipment_id, at=context.at)


async def request_return(
    request: pb.RequestReturnRequest, order_id: str, _: Order, context: CommandContext
) -> commands.RequestReturn:
    return commands.RequestReturn(
        order_id=order_id,
        return_id=request.return_id,
        lines=tuple(_line_quantity(line) for line in request.lines),
        reason=request.reason,
        at=context.at,
    )


async def approve_return(
    request: pb.ApproveReturnRequest, order_id: str, _: Order, context: CommandContext
) -> commands.ApproveReturn:
    return commands.ApproveReturn(order_id=order_id, return_id=request.return_id, at=context.at)


async def reject_return(
    request: pb.RejectReturnRequest, order_id: str, _: Order, context: CommandContext
) -> commands.RejectReturn:
    return commands.RejectReturn(order_id=order_id, return_id=request.return_id, reason=request.reason, at=context.at)


async def receive_return(
    request: pb.ReceiveReturnRequest, order_id: str, _: Order, context: CommandContext
) -> commands.ReceiveReturn:
    return commands.ReceiveReturn(
        order_id=order_id,
        return_id=request.return_id,
        lines=tuple(_received_quantity(line) for line in request.lines),
        at=context.at,
    )


async def record_shipment_loss(
    request: pb.RecordShipmentLossRequest, order_id: str, _: Order, context: CommandContext
) -> commands.RecordShipmentLoss:
    return commands.RecordShipmentLoss(
        order_id=order_id, shipment_id=request.shipment_id, reason=request.reason, at=context.at
    )


async def record_delivery_refusal(
    request: pb.RecordDeliveryRefusalRequest, order_id: str, _: Order, context: CommandContext
) -> commands.RecordDeliveryRefusal:
    return commands.RecordDeliveryRefusal(
        order_id=order_id, shipment_id=request.shipment_id, reason=request.reason, at=context.at
    )


async def receive_returned_shipment(
    request: pb.ReceiveReturnedShipmentRequest, order_id: str, _: Order, context: CommandContext
) -> commands.ReceiveReturnedShipment:
    return commands.ReceiveReturnedShipment(
        order_id=order_id,
        shipment_id=request.shipment_id,
        lines=tuple(_received_quantity(line) for line in request.lines),
        at=context.at,
    )


async def add_note(request: pb.AddNoteRequest, order_id: str, _: Order, context: CommandContext) -> commands.AddNote:
    return commands.AddNote(order_id=order_id, note_id=request.note_id, text=request.text, at=context.at)


async def _customer_of_draft(order: Order, context: CommandContext) -> Customer:
    return await context.lookups.customer(order.customer_id) if isinstance(order, Draft) else NO_CUSTOMER


async def _customer_now(order: Order, context: CommandContext) -> Customer:
    return await context.lookups.customer_now(order.customer_id) if isinstance(order, Draft | Placed) else NO_CUSTOMER


async def _listings_now(order: Order, context: CommandContext) -> tuple[Listing, ...]:
    skus = [line.sku for line in order.lines] if isinstance(order, Draft) else []
    return tuple((await context.lookups.listings(skus, max_age=FRESH)).values())


def _new_line(line: pb.NewLine, listings: dict[str, Listing]) -> NewLine:
    return NewLine(line_id=line.line_id or line.sku, listing=listings[line.sku], quantity=line.quantity)


def _line_quantity(line: types.LineQuantity) -> LineQuantity:
    return LineQuantity(line_id=line.line_id, quantity=line.quantity)


def _received_quantity(line: types.ReceivedQuantity) -> commands.ReceivedQuantity:
    return commands.ReceivedQuantity(
        line_id=line.line_id,
        quantity=line.quantity,
        condition=Condition(types.ReturnCondition.Name(line.condition)),
    )


def _money(money: common.Money) -> Money:
    return Money(amount_minor=money.amount_minor, currency=money.currency)


def _route(request: type[Any], response: type[Any], to_command: Any, **fields: Any) -> Route:
    rules = fields.pop("rules", {})
    return Route(
        decider=ORDER,
        id_field="order_id",
        request=request,
        response=response,
        rules=rules,
        to_command=to_command,
        **fields,
    )


_LINES = count(0, MAX_LINES)
_RECEIVED = count(0, MAX_LINES * len(Condition))  # the units of a line may be returned in each condition
_EXISTING = known_id()
_EXISTING_REFUND = known_id(80)  # the process numbers its refunds: the id of a return, then `~2`
ROUTES = {
    "CreateOrder": _route(
        pb.CreateOrderRequest,
        pb.CreateOrderResponse,
        create,
        id_may_be_empty=True,
        creates_stream=True,
        require_size=lambda request, order_id: require_line_count(order_id, len(request.lines)),
        rules={"customer_id": uuid, "lines[].sku": sku, "lines[].line_id": optional(new_id)},
    ),
    "AddLine": _route(
        pb.AddLineRequest,
        pb.AddLineResponse,
        add_line,
        required=("line",),
        rules={"line.sku": sku, "line.line_id": optional(new_id)},
    ),
    "ChangeLineQuantity": _route(
        pb.ChangeLineQuantityRequest, pb.ChangeLineQuantityResponse, change_line_quantity, rules={"line_id": _EXISTING}
    ),
    "RemoveLine": _route(pb.RemoveLineRequest, pb.RemoveLineResponse, remove_line, rules={"line_id": _EXISTING}),
    "RefreshPrices": _route(pb.RefreshPricesRequest, pb.RefreshPricesResponse, refresh_prices),
    "ChangeShippingAddress": _route(
        pb.ChangeShippingAddressRequest,
        pb.ChangeShippingAddressResponse,
        change_shipping_address,
        required=("shipping_address",),
    ),
    "SetShippingMethod": _route(
        pb.SetShippingMethodRequest,
        pb.SetShippingMethodResponse,
        set_shipping_method,
        required=("price",),
        rules={"method": text(1, 64)},
    ),
    "ApplyDiscount": _route(
        pb.ApplyDiscountRequest,
        pb.ApplyDiscountResponse,
        apply_discount,
        rules={"discount_id": new_id, "name": text(1, 100)},
    ),
    "RemoveDiscount": _route(
        pb.RemoveDiscountRequest, pb.RemoveDiscountResponse, remove_discount, rules={"discount_id": _EXISTING}
    ),
    "PlaceOrder": _route(pb.PlaceOrderRequest, pb.PlaceOrderResponse, place),
    "ConfirmOrder": _route(pb.ConfirmOrderRequest, pb.ConfirmOrderResponse, confirm),
    "CancelOrder": _route(pb.CancelOrderRequest, pb.CancelOrderResponse, cancel, rules={"reason": REASON}),
    "HoldOrder": _route(pb.HoldOrderRequest, pb.HoldOrderResponse, hold, rules={"reason": REASON}),
    "ReleaseHold": _route(pb.ReleaseHoldRequest, pb.ReleaseHoldResponse, release),
    "CreateShipment": _route(
        pb.CreateShipmentRequest,
        pb.CreateShipmentResponse,
        create_shipment,
        rules={"shipment_id": new_id, "lines": _LINES, "lines[].line_id": _EXISTING},
    ),
    "DispatchShipment": _route(
        pb.DispatchShipmentRequest,
        pb.DispatchShipmentResponse,
        dispatch_shipment,
        rules={"shipment_id": _EXISTING, "carrier": text(1, 100), "tracking_number": text(0, 100)},
    ),
    "ConfirmDelivery": _route(
        pb.ConfirmDeliveryRequest, pb.ConfirmDeliveryResponse, confirm_delivery, rules={"shipment_id": _EXISTING}
    ),
    "CancelLineQuantity": _route(
        pb.CancelLineQuantityRequest,
        pb.CancelLineQuantityResponse,
        cancel_line_quantity,
        rules={"cancellation_id": new_id, "line_id": _EXISTING, "reason": REASON},
    ),
    "CancelShipment": _route(
        pb.CancelShipmentRequest, pb.CancelShipmentResponse, cancel_shipment, rules={"shipment_id": _EXISTING}
    ),
    "RecordShipmentLoss": _route(
        pb.RecordShipmentLossRequest,
        pb.RecordShipmentLossResponse,
        record_shipment_loss,
        rules={"shipment_id": _EXISTING, "reason": REASON},
    ),
    "RecordDeliveryRefusal": _route(
        pb.RecordDeliveryRefusalRequest,
        pb.RecordDeliveryRefusalResponse,
        record_delivery_refusal,
        rules={"shipment_id": _EXISTING, "reason": REASON},
    ),
    "ReceiveReturnedShipment": _route(
        pb.ReceiveReturnedShipmentRequest,
        pb.ReceiveReturnedShipmentResponse,
        receive_returned_shipment,
        rules={
            "shipment_id": _EXISTING,
            "lines": _RECEIVED,
            "lines[].line_id": _EXISTING,
            "lines[].condition": chosen(types.ReturnCondition.DESCRIPTOR),
        },
    ),
    "RequestReturn": _route(
        pb.RequestReturnRequest,
        pb.RequestReturnResponse,
        request_return,
        rules={"return_id": new_id, "lines": _LINES, "lines[].line_id": _EXISTING, "reason": REASON},
    ),
    "ApproveReturn": _route(
        pb.ApproveReturnRequest, pb.ApproveReturnResponse, approve_return, rules={"return_id": _EXISTING}
    ),
    "RejectReturn": _route(
        pb.RejectReturnRequest,
        pb.RejectReturnResponse,
        reject_return,
        rules={"return_id": _EXISTING, "reason": REASON},
    ),
    "ReceiveReturn": _route(
        pb.ReceiveReturnRequest,
        pb.ReceiveReturnResponse,
        receive_return,
        rules={
            "return_id": _EXISTING,
            "lines": _RECEIVED,
            "lines[].line_id": _EXISTING,
            "lines[].condition": chosen(types.ReturnCondition.DESCRIPTOR),
        },
    ),
    "AddNote": _route(
        pb.AddNoteRequest, pb.AddNoteResponse, add_note, rules={"note_id": new_id, "text": LINES_OF_TEXT}
    ),
    "RejectOrder": _route(pb.RejectOrderRequest, pb.RejectOrderResponse, reject, rules={"reason": REASON}),
    "ExpireOrder": _route(pb.ExpireOrderRequest, pb.ExpireOrderResponse, expire),
    "CompleteOrder": _route(pb.CompleteOrderRequest, pb.CompleteOrderResponse, complete),
    "RecordAuthorisation": _route(
        pb.RecordAuthorisationRequest,
        pb.RecordAuthorisationResponse,
        record_authorisation,
        required=("amount",),
        rules={"authorisation_id": not_of_a_process},
    ),
    "RecordPaymentFailure": _route(
        pb.RecordPaymentFailureRequest,
        pb.RecordPaymentFailureResponse,
        record_payment_failure,
        rules={"authorisation_id": not_of_a_process, "reason": REASON},
    ),
    "VoidAuthorisation": _route(
        pb.VoidAuthorisationRequest,
        pb.VoidAuthorisationResponse,
        void_authorisation,
        rules={"authorisation_id": _EXISTING},
    ),
    "RecordAuthorisationLapse": _route(
        pb.RecordAuthorisationLapseRequest,
        pb.RecordAuthorisationLapseResponse,
        record_authorisation_lapse,
        rules={"authorisation_id": _EXISTING, "reason": REASON},
    ),
    "CapturePayment": _route(
        pb.CapturePaymentRequest,
        pb.CapturePaymentResponse,
        capture_payment,
        required=("amount",),
        rules={"capture_id": new_id, "authorisation_id": _EXISTING},
    ),
    "RefundPayment": _route(
        pb.RefundPaymentRequest,
        pb.RefundPaymentResponse,
        refund_payment,
        required=("amount",),
        rules={"refund_id": new_id, "reason": REASON, "return_id": optional(_EXISTING)},
    ),
    "SettleRefund": _route(
        pb.SettleRefundRequest, pb.SettleRefundResponse, settle_refund, rules={"refund_id": _EXISTING_REFUND}
    ),
    "RecordRefundFailure": _route(
        pb.RecordRefundFailureRequest,
        pb.RecordRefundFailureResponse,
        record_refund_failure,
        rules={"refund_id": _EXISTING_REFUND, "reason": REASON},
    ),
}
