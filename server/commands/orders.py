"""Maps order requests to commands."""

import asyncio

from core.domain.order import ORDER, commands
from core.domain.order.commands import NO_CUSTOMER, Customer, Listing, NewLine
from core.domain.order.events import Condition
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
from protos.orders.v1 import commands_pb2 as pb
from protos.orders.v1 import types_pb2 as types
from server.commands.converters import to_address
from server.commands.lookups import FRESH
from server.commands.routes import CommandContext, Row, routes


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


async def expire(
    _request: pb.ExpireOrderRequest, order_id: str, order: Order, context: CommandContext
) -> commands.ExpireOrder:
    now = await context.lookups.time.for_order(order) if isinstance(order, Placed) else context.at
    return commands.ExpireOrder(order_id=order_id, now=now, at=context.at)


async def _customer_of_draft(order: Order, context: CommandContext) -> Customer:
    return await context.lookups.customer(order.customer_id) if isinstance(order, Draft) else NO_CUSTOMER


async def _customer_now(order: Order, context: CommandContext) -> Customer:
    return await context.lookups.customer_now(order.customer_id) if isinstance(order, Draft | Placed) else NO_CUSTOMER


async def _listings_now(order: Order, context: CommandContext) -> tuple[Listing, ...]:
    skus = [line.sku for line in order.lines] if isinstance(order, Draft) else []
    return tuple((await context.lookups.listings(skus, max_age=FRESH)).values())


def _new_line(line: pb.NewLine, listings: dict[str, Listing]) -> NewLine:
    return NewLine(line_id=line.line_id or line.sku, listing=listings[line.sku], quantity=line.quantity)


_LINES = count(0, MAX_LINES)
_RECEIVED = count(0, MAX_LINES * len(Condition))  # the units of a line may be returned in each condition
_EXISTING = known_id()
_EXISTING_REFUND = known_id(80)  # the process numbers its refunds: the id of a return, then `~2`
ROUTES = routes(
    pb,
    ORDER,
    "order_id",
    {
        "CreateOrder": Row(
            create,
            id_may_be_empty=True,
            creates_stream=True,
            require_size=lambda request, order_id: require_line_count(order_id, len(request.lines)),
            rules={"customer_id": uuid, "lines[].sku": sku, "lines[].line_id": optional(new_id)},
        ),
        "AddLine": Row(add_line, required=("line",), rules={"line.sku": sku, "line.line_id": optional(new_id)}),
        "ChangeLineQuantity": Row(change_line_quantity, rules={"line_id": _EXISTING}),
        "RemoveLine": Row(commands.RemoveLine, rules={"line_id": _EXISTING}),
        "RefreshPrices": Row(refresh_prices),
        "ChangeShippingAddress": Row(change_shipping_address, required=("shipping_address",)),
        "SetShippingMethod": Row(commands.SetShippingMethod, required=("price",), rules={"method": text(1, 64)}),
        "ApplyDiscount": Row(commands.ApplyDiscount, rules={"discount_id": new_id, "name": text(1, 100)}),
        "RemoveDiscount": Row(commands.RemoveDiscount, rules={"discount_id": _EXISTING}),
        "PlaceOrder": Row(place),
        "ConfirmOrder": Row(confirm),
        "CancelOrder": Row(commands.CancelOrder, rules={"reason": REASON}),
        "HoldOrder": Row(commands.HoldOrder, rules={"reason": REASON}),
        "ReleaseHold": Row(commands.ReleaseHold),
        "CreateShipment": Row(
            commands.CreateShipment, rules={"shipment_id": new_id, "lines": _LINES, "lines[].line_id": _EXISTING}
        ),
        "DispatchShipment": Row(
            commands.DispatchShipment,
            rules={"shipment_id": _EXISTING, "carrier": text(1, 100), "tracking_number": text(0, 100)},
        ),
        "ConfirmDelivery": Row(commands.ConfirmDelivery, rules={"shipment_id": _EXISTING}),
        "CancelLineQuantity": Row(
            commands.CancelLineQuantity, rules={"cancellation_id": new_id, "line_id": _EXISTING, "reason": REASON}
        ),
        "CancelShipment": Row(commands.CancelShipment, rules={"shipment_id": _EXISTING}),
        "RecordShipmentLoss": Row(commands.RecordShipmentLoss, rules={"shipment_id": _EXISTING, "reason": REASON}),
        "RecordDeliveryRefusal": Row(
            commands.RecordDeliveryRefusal, rules={"shipment_id": _EXISTING, "reason": REASON}
        ),
        "ReceiveReturnedShipment": Row(
            commands.ReceiveReturnedShipment,
            rules={
                "shipment_id": _EXISTING,
                "lines": _RECEIVED,
                "lines[].line_id": _EXISTING,
                "lines[].condition": chosen(types.ReturnCondition.DESCRIPTOR),
            },
        ),
        "RequestReturn": Row(
            commands.RequestReturn,
            rules={"return_id": new_id, "lines": _LINES, "lines[].line_id": _EXISTING, "reason": REASON},
        ),
        "ApproveReturn": Row(commands.ApproveReturn, rules={"return_id": _EXISTING}),
        "RejectReturn": Row(commands.RejectReturn, rules={"return_id": _EXISTING, "reason": REASON}),
        "ReceiveReturn": Row(
            commands.ReceiveReturn,
            rules={
                "return_id": _EXISTING,
                "lines": _RECEIVED,
                "lines[].line_id": _EXISTING,
                "lines[].condition": chosen(types.ReturnCondition.DESCRIPTOR),
            },
        ),
        "AddNote": Row(commands.AddNote, rules={"note_id": new_id, "text": LINES_OF_TEXT}),
        "RejectOrder": Row(commands.RejectOrder, rules={"reason": REASON}),
        "ExpireOrder": Row(expire),
        "CompleteOrder": Row(commands.CompleteOrder),
        "RecordAuthorisation": Row(
            commands.RecordAuthorisation, required=("amount",), rules={"authorisation_id": not_of_a_process}
        ),
        "RecordPaymentFailure": Row(
            commands.RecordPaymentFailure, rules={"authorisation_id": not_of_a_process, "reason": REASON}
        ),
        "VoidAuthorisation": Row(commands.VoidAuthorisation, rules={"authorisation_id": _EXISTING}),
        "RecordAuthorisationLapse": Row(
            commands.RecordAuthorisationLapse, rules={"authorisation_id": _EXISTING, "reason": REASON}
        ),
        "CapturePayment": Row(
            commands.CapturePayment, required=("amount",), rules={"capture_id": new_id, "authorisation_id": _EXISTING}
        ),
        "RefundPayment": Row(
            commands.RefundPayment,
            required=("amount",),
            rules={"refund_id": new_id, "reason": REASON, "return_id": optional(_EXISTING)},
        ),
        "SettleRefund": Row(commands.SettleRefund, rules={"refund_id": _EXISTING_REFUND}),
        "RecordRefundFailure": Row(
            commands.RecordRefundFailure, rules={"refund_id": _EXISTING_REFUND, "reason": REASON}
        ),
    },
)
