"""Maps stock requests to commands."""

from core.domain.product.state import Discontinued, NoProduct
from core.domain.stock import STOCK, commands
from core.domain.stock.state import Stock
from core.rpc.validation import REASON, callers_uuid, sku, time
from protos.products.v1 import commands_pb2 as pb
from server.commands.routes import CommandContext, Row, routes


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


async def commit(
    request: pb.CommitReservationRequest, sku_: str, _: Stock, context: CommandContext
) -> commands.CommitReservation:
    return commands.CommitReservation(
        sku=sku_, reservation_id=request.reservation_id, quantity=request.quantity or None, at=context.at
    )


async def expire(
    request: pb.ExpireReservationRequest, sku_: str, stock: Stock, context: CommandContext
) -> commands.ExpireReservation:
    known = stock.open.get(request.reservation_id)
    now = await context.lookups.time.at(known.expires_at) if known is not None and known.expires_at else context.at
    return commands.ExpireReservation(sku=sku_, reservation_id=request.reservation_id, now=now, at=context.at)


ROUTES = routes(
    pb,
    STOCK,
    "sku",
    {
        "ReceiveStock": Row(receive, rules={"sku": sku}),
        "AdjustStock": Row(commands.AdjustStock, rules={"sku": sku, "reason": REASON}),
        "ReserveStock": Row(
            commands.ReserveStock, rules={"sku": sku, "reservation_id": callers_uuid, "expires_at": time}
        ),
        "CommitReservation": Row(commit, rules={"sku": sku, "reservation_id": callers_uuid}),
        "ReleaseReservation": Row(commands.ReleaseReservation, rules={"sku": sku, "reservation_id": callers_uuid}),
        "ExpireReservation": Row(expire, rules={"sku": sku, "reservation_id": callers_uuid}),
        "RestockReturn": Row(commands.RestockReturn, rules={"sku": sku, "return_id": callers_uuid}),
    },
)
