"""What deadlines do by themselves, and that no wrong clock makes them come early."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from core.config import Settings
from core.domain.order import ORDER
from core.domain.order.state import Confirmed
from core.domain.stock import STOCK
from core.eventstore.store import EventStore
from protos.orders.v1 import commands_pb2 as orders_pb
from protos.products.v1 import commands_pb2 as products_pb
from protos.products.v1 import commands_pb2_grpc as products_grpc
from server.app import serving
from tests.integration.processes.conftest import World, world_of
from tests.support.calling import DEADLINE, fresh_id, refusal, shop_at

AHEAD = timedelta(hours=2)


def ahead() -> datetime:
    return datetime.now(UTC) + AHEAD


async def reserve(world: World, sku: str, *, seconds: float) -> str:
    """By hand, until so many seconds from now."""
    until = Timestamp()
    until.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
    request = products_pb.ReserveStockRequest(
        request_id=fresh_id(), sku=sku, reservation_id=fresh_id(), quantity=2, expires_at=until
    )
    await world.stock.ReserveStock(request, timeout=DEADLINE)
    return request.reservation_id


async def test_a_reservation_ends_by_itself_when_its_time_has_passed(world: World) -> None:
    sku = await world.product_in_stock(5)
    await reserve(world, sku, seconds=0.3)
    await world.until(f"stock-{sku}", "ReservationExpired")
    stock = STOCK.fold(await world.decoded(f"stock-{sku}"))
    assert (stock.on_hand, stock.reserved) == (5, 0)


async def test_one_that_was_released_is_left_alone(world: World) -> None:
    sku = await world.product_in_stock(5)
    reservation = await reserve(world, sku, seconds=0.3)
    request = products_pb.ReleaseReservationRequest(request_id=fresh_id(), sku=sku, reservation_id=reservation)
    await world.stock.ReleaseReservation(request, timeout=DEADLINE)
    other = await reserve(world, sku, seconds=0.4)
    await world.until(f"stock-{sku}", "ReservationExpired")
    ended = {event.reservation_id: type(event).__name__ for event in (await world.decoded(f"stock-{sku}"))[2:]}
    assert ended == {reservation: "ReservationReleased", other: "ReservationExpired"}


class TestProcessesWithAClockTwoHoursAhead:
    @pytest.fixture
    async def world(self, settings: Settings, log: EventStore) -> AsyncIterator[World]:
        patient = settings.model_copy(update={"place_within": 3600.0})
        async with serving("commands", patient, port=0) as address, world_of(patient, address, log, clock=ahead) as it:
            yield it

    async def test_let_every_order_be_confirmed(self, world: World) -> None:
        sku = await world.product_in_stock(10)
        for order_id in [await world.shop.placed(sku, quantity=1) for _ in range(5)]:
            await world.until(f"order-{order_id}", "OrderConfirmed")
            assert isinstance(ORDER.fold(await world.decoded(f"order-{order_id}")), Confirmed)

    async def test_end_no_reservation_before_its_time(self, world: World) -> None:
        sku = await world.product_in_stock(5)
        await reserve(world, sku, seconds=3600)
        soon = await reserve(world, sku, seconds=0.5)
        await world.until(f"stock-{sku}", "ReservationExpired")
        [expired] = [x for x in await world.events(f"stock-{sku}") if x.type == "ReservationExpired"]
        stock = STOCK.fold(await world.decoded(f"stock-{sku}"))
        assert (stock.reserved, soon in stock.open) == (2, False)
        [made] = [x for x in await world.decoded(f"stock-{sku}") if getattr(x, "reservation_id", "") == soon][:1]
        assert expired.recorded_at >= made.expires_at


async def test_an_order_cannot_be_expired_by_hand_before_its_time_by_a_clock_that_is_ahead(settings: Settings) -> None:
    patient = settings.model_copy(update={"place_within": 3600.0, "run_by_hand": True})
    async with serving("commands", patient, port=0) as right, shop_at(right) as shop:
        order_id = await shop.placed(await shop.product(350), quantity=1)
    async with serving("commands", patient, port=0, clock=ahead) as wrong, shop_at(wrong) as shop:
        request = orders_pb.ExpireOrderRequest(request_id=fresh_id(), order_id=order_id)
        refused = await refusal(shop.orders.ExpireOrder(request, timeout=DEADLINE))
    assert refused.reason == "ORDER_NOT_EXPIRED"


async def test_a_reservation_cannot_be_expired_by_hand_before_its_time_by_a_clock_that_is_ahead(
    settings: Settings, world: World
) -> None:
    sku = await world.product_in_stock(5)
    reservation = await reserve(world, sku, seconds=3600)
    request = products_pb.ExpireReservationRequest(request_id=fresh_id(), sku=sku, reservation_id=reservation)
    async with (
        serving("commands", settings, port=0, clock=ahead) as wrong,
        grpc.aio.insecure_channel(wrong) as channel,
    ):
        stub = products_grpc.StockCommandServiceStub(channel)
        refused = await refusal(stub.ExpireReservation(request, timeout=DEADLINE))
    assert refused.reason == "RESERVATION_NOT_EXPIRED"
