"""Stock requests as commands."""

from datetime import UTC, datetime
from typing import Any

from protos.products.v1 import commands_pb2 as pb
from server.commands.routes import Route, World
from server.domain.stock import STOCK, commands
from server.domain.stock.state import Stock
from server.rpc.validation import sku, text, time, uuid


async def receive(request: pb.ReceiveStockRequest, sku_: str, _: Stock, world: World) -> commands.ReceiveStock:
    known = await world.facts.is_product(sku_)
    return commands.ReceiveStock(sku=sku_, quantity=request.quantity, product_known=known, at=world.at)


async def adjust(request: pb.AdjustStockRequest, sku_: str, _: Stock, world: World) -> commands.AdjustStock:
    return commands.AdjustStock(sku=sku_, change=request.change, reason=request.reason, at=world.at)


async def reserve(request: pb.ReserveStockRequest, sku_: str, _: Stock, world: World) -> commands.ReserveStock:
    return commands.ReserveStock(
        sku=sku_,
        reservation_id=request.reservation_id,
        quantity=request.quantity,
        expires_at=_time(request, "expires_at"),
        at=world.at,
    )


async def commit(request: pb.CommitReservationRequest, sku_: str, _: Stock, world: World) -> commands.CommitReservation:
    return commands.CommitReservation(sku=sku_, reservation_id=request.reservation_id, at=world.at)


async def release(
    request: pb.ReleaseReservationRequest, sku_: str, _: Stock, world: World
) -> commands.ReleaseReservation:
    return commands.ReleaseReservation(sku=sku_, reservation_id=request.reservation_id, at=world.at)


async def expire(request: pb.ExpireReservationRequest, sku_: str, _: Stock, world: World) -> commands.ExpireReservation:
    return commands.ExpireReservation(sku=sku_, reservation_id=request.reservation_id, at=world.at)


async def restock(request: pb.RestockReturnRequest, sku_: str, _: Stock, world: World) -> commands.RestockReturn:
    return commands.RestockReturn(sku=sku_, return_id=request.return_id, quantity=request.quantity, at=world.at)


def _time(request: Any, field: str) -> datetime | None:
    return getattr(request, field).ToDatetime(tzinfo=UTC) if request.HasField(field) else None


ROUTES = {
    "ReceiveStock": Route(
        decider=STOCK,
        id_field="sku",
        request=pb.ReceiveStockRequest,
        response=pb.ReceiveStockResponse,
        rules={"sku": sku},
        to_command=receive,
    ),
    "AdjustStock": Route(
        decider=STOCK,
        id_field="sku",
        request=pb.AdjustStockRequest,
        response=pb.AdjustStockResponse,
        rules={"sku": sku, "reason": text(1, 500)},
        to_command=adjust,
    ),
    "ReserveStock": Route(
        decider=STOCK,
        id_field="sku",
        request=pb.ReserveStockRequest,
        response=pb.ReserveStockResponse,
        rules={"sku": sku, "reservation_id": uuid, "expires_at": time},
        to_command=reserve,
    ),
    "CommitReservation": Route(
        decider=STOCK,
        id_field="sku",
        request=pb.CommitReservationRequest,
        response=pb.CommitReservationResponse,
        rules={"sku": sku, "reservation_id": uuid},
        to_command=commit,
    ),
    "ReleaseReservation": Route(
        decider=STOCK,
        id_field="sku",
        request=pb.ReleaseReservationRequest,
        response=pb.ReleaseReservationResponse,
        rules={"sku": sku, "reservation_id": uuid},
        to_command=release,
    ),
    "ExpireReservation": Route(
        decider=STOCK,
        id_field="sku",
        request=pb.ExpireReservationRequest,
        response=pb.ExpireReservationResponse,
        rules={"sku": sku, "reservation_id": uuid},
        to_command=expire,
    ),
    "RestockReturn": Route(
        decider=STOCK,
        id_field="sku",
        request=pb.RestockReturnRequest,
        response=pb.RestockReturnResponse,
        rules={"sku": sku, "return_id": uuid},
        to_command=restock,
    ),
}
