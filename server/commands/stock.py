"""Maps stock requests to commands."""

from datetime import UTC
from typing import Any

from core.domain.product.state import Discontinued, NoProduct
from core.domain.stock import STOCK, commands
from core.domain.stock.state import Stock
from core.rpc.validation import REASON, Rule, callers_uuid, sku, time
from protos.products.v1 import commands_pb2 as pb
from server.commands.routes import CommandContext, Route


async def receive(
    request: pb.ReceiveStockRequest, sku_: str, _: Stock, context: CommandContext
) -> commands.ReceiveStock:
    product = await context.lookups.product_now(sku_)
    return commands.ReceiveStock(
        sku=sku_,
        quantity=request.quantity,
        product_known=not isinstance(product, NoProduct),
        product_discontinued=isinstance(product, Discontinued),
        at=context.at,
    )


async def adjust(request: pb.AdjustStockRequest, sku_: str, _: Stock, context: CommandContext) -> commands.AdjustStock:
    return commands.AdjustStock(sku=sku_, change=request.change, reason=request.reason, at=context.at)


async def reserve(
    request: pb.ReserveStockRequest, sku_: str, _: Stock, context: CommandContext
) -> commands.ReserveStock:
    return commands.ReserveStock(
        sku=sku_,
        reservation_id=request.reservation_id,
        quantity=request.quantity,
        expires_at=request.expires_at.ToDatetime(tzinfo=UTC) if request.HasField("expires_at") else None,
        at=context.at,
    )


async def restock(
    request: pb.RestockReturnRequest, sku_: str, _: Stock, context: CommandContext
) -> commands.RestockReturn:
    return commands.RestockReturn(sku=sku_, return_id=request.return_id, quantity=request.quantity, at=context.at)


async def commit(
    request: pb.CommitReservationRequest, sku_: str, _: Stock, context: CommandContext
) -> commands.CommitReservation:
    return commands.CommitReservation(
        sku=sku_, reservation_id=request.reservation_id, quantity=request.quantity or None, at=context.at
    )


async def release(
    request: pb.ReleaseReservationRequest, sku_: str, _: Stock, context: CommandContext
) -> commands.ReleaseReservation:
    return commands.ReleaseReservation(
        sku=sku_, reservation_id=request.reservation_id, keep=request.keep, at=context.at
    )


async def expire(
    request: pb.ExpireReservationRequest, sku_: str, stock: Stock, context: CommandContext
) -> commands.ExpireReservation:
    known = stock.open.get(request.reservation_id)
    now = await context.lookups.time.at(known.expires_at) if known is not None and known.expires_at else context.at
    return commands.ExpireReservation(sku=sku_, reservation_id=request.reservation_id, now=now, at=context.at)


def _route(request: type[Any], response: type[Any], to_command: Any, **rules: Rule) -> Route:
    return Route(
        decider=STOCK,
        id_field="sku",
        request=request,
        response=response,
        rules={"sku": sku, **rules},
        to_command=to_command,
    )


ROUTES = {
    "ReceiveStock": _route(pb.ReceiveStockRequest, pb.ReceiveStockResponse, receive),
    "AdjustStock": _route(pb.AdjustStockRequest, pb.AdjustStockResponse, adjust, reason=REASON),
    "ReserveStock": _route(
        pb.ReserveStockRequest, pb.ReserveStockResponse, reserve, reservation_id=callers_uuid, expires_at=time
    ),
    "CommitReservation": _route(
        pb.CommitReservationRequest,
        pb.CommitReservationResponse,
        commit,
        reservation_id=callers_uuid,
    ),
    "ReleaseReservation": _route(
        pb.ReleaseReservationRequest,
        pb.ReleaseReservationResponse,
        release,
        reservation_id=callers_uuid,
    ),
    "ExpireReservation": _route(
        pb.ExpireReservationRequest,
        pb.ExpireReservationResponse,
        expire,
        reservation_id=callers_uuid,
    ),
    "RestockReturn": _route(pb.RestockReturnRequest, pb.RestockReturnResponse, restock, return_id=callers_uuid),
}
