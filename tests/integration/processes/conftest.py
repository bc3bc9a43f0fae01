"""Commands, processes and the log on the embedded event store, in this process."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from core.config import Settings
from core.eventstore import codec
from core.eventstore.connection import connect
from core.eventstore.log import EventLog
from core.eventstore.store import EventStore
from protos.orders.v1 import commands_pb2 as orders_pb
from protos.orders.v1.types_pb2 import LineQuantity, ReceivedQuantity
from protos.processes.v1 import commands_pb2 as pb
from protos.processes.v1 import commands_pb2_grpc as pb_grpc
from protos.products.v1 import commands_pb2 as products_pb
from protos.products.v1 import commands_pb2_grpc as products_grpc
from server.app import serving
from tests.support.calling import DEADLINE, Shop, fresh_id, shop_at
from tests.support.eventually import eventually

# the last two digits of amounts, in cents, that the payment provider treats so
DECLINED, MUTE, REFUSED = 13, 17, 19
PLACE_WITHIN, SOON = 60.0, 5.0  # seconds


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class World:
    """A shop whose orders are seen to, and its log."""

    shop: Shop
    stock: Any
    processes: Any
    log: EventStore

    async def product_in_stock(self, quantity: int, price: int = 350) -> str:
        sku = await self.shop.product(price)
        received = products_pb.ReceiveStockRequest(request_id=fresh_id(), sku=sku, quantity=quantity)
        await self.stock.ReceiveStock(received, timeout=DEADLINE)
        return sku

    async def types_in(self, stream: str) -> list[str]:
        return [event.type async for event in self.log.read(stream)]

    async def until(self, stream: str, event_type: str) -> list[str]:
        """Wait for an event in a stream; the types there are then."""
        return await eventually(lambda: self.types_in(stream), lambda types: event_type in types, within=30.0)

    async def events(self, stream: str) -> list[Any]:
        return [event async for event in self.log.read(stream)]

    async def decoded(self, stream: str) -> list[Any]:
        return [codec.decode(event.type, event.data) async for event in self.log.read(stream)]

    async def send(self, order_id: str, shipment_id: str, line_id: str, units: int) -> None:
        """Pack, hand over, deliver."""
        named: Any = {"order_id": order_id, "shipment_id": shipment_id}
        lines = [LineQuantity(line_id=line_id, quantity=units)]
        orders = self.shop.orders
        for request, call in (
            (orders_pb.CreateShipmentRequest(request_id=fresh_id(), lines=lines, **named), orders.CreateShipment),
            (
                orders_pb.DispatchShipmentRequest(request_id=fresh_id(), carrier="bpost", **named),
                orders.DispatchShipment,
            ),
            (orders_pb.ConfirmDeliveryRequest(request_id=fresh_id(), **named), orders.ConfirmDelivery),
        ):
            await call(request, timeout=DEADLINE)

    async def hand_over(self, order_id: str, shipment_id: str) -> None:
        """All that is open, to the carrier."""
        named: Any = {"order_id": order_id, "shipment_id": shipment_id}
        orders = self.shop.orders
        await orders.CreateShipment(orders_pb.CreateShipmentRequest(request_id=fresh_id(), **named), timeout=DEADLINE)
        await orders.DispatchShipment(
            orders_pb.DispatchShipmentRequest(request_id=fresh_id(), carrier="bpost", **named), timeout=DEADLINE
        )

    async def lose(self, order_id: str, shipment_id: str) -> None:
        lost = orders_pb.RecordShipmentLossRequest(
            request_id=fresh_id(), order_id=order_id, shipment_id=shipment_id, reason="not to be found"
        )
        await self.shop.orders.RecordShipmentLoss(lost, timeout=DEADLINE)

    async def take_back(self, order_id: str, return_id: str, *parts: tuple[str, int, Any]) -> None:
        """Request, approve, receive: line, units, condition."""
        named: Any = {"order_id": order_id, "return_id": return_id}
        orders, total = self.shop.orders, Counter[str]()
        for line_id, units, _ in parts:
            total[line_id] += units
        wanted = [LineQuantity(line_id=line_id, quantity=units) for line_id, units in total.items()]
        come = [ReceivedQuantity(line_id=line, quantity=units, condition=state) for line, units, state in parts]
        for request, call in (
            (
                orders_pb.RequestReturnRequest(request_id=fresh_id(), lines=wanted, reason="no", **named),
                orders.RequestReturn,
            ),
            (orders_pb.ApproveReturnRequest(request_id=fresh_id(), **named), orders.ApproveReturn),
            (orders_pb.ReceiveReturnRequest(request_id=fresh_id(), lines=come, **named), orders.ReceiveReturn),
        ):
            await call(request, timeout=DEADLINE)

    async def retry(self, order_id: str) -> None:
        await self.processes.RetryProcess(
            pb.RetryProcessRequest(request_id=fresh_id(), order_id=order_id), timeout=DEADLINE
        )

    async def skip(self, order_id: str, step: str) -> None:
        request = pb.SkipStepRequest(request_id=fresh_id(), order_id=order_id, step=step, reason="seen to by hand")
        await self.processes.SkipStep(request, timeout=DEADLINE)

    async def compensate(self, order_id: str) -> None:
        request = pb.CompensateProcessRequest(request_id=fresh_id(), order_id=order_id, reason="looks like fraud")
        await self.processes.CompensateProcess(request, timeout=DEADLINE)


@pytest.fixture
def settings(eventstore_uri: str) -> Settings:
    return Settings(
        eventstore_uri=eventstore_uri,
        grace=1.0,
        first_retry=0.05,
        max_retry_pause=0.1,
        step_attempts=3,
        place_within=PLACE_WITHIN,
        payments=f"simulator?decline={DECLINED}&mute={MUTE}&refuse={REFUSED}",
    )


@pytest.fixture
def impatient(settings: Settings) -> Settings:
    """Orders that are not confirmed expire soon; for others that is long, since a busy machine is slow."""
    return settings.model_copy(update={"place_within": SOON})


@pytest.fixture
async def log(eventstore_uri: str) -> AsyncIterator[EventStore]:
    client = await connect(eventstore_uri)
    events = EventStore(EventLog(client))
    yield events
    await events.close()
    await client.close()


@pytest.fixture
async def commands(settings: Settings) -> AsyncIterator[str]:
    async with serving("commands", settings, port=0) as address:
        yield address


@pytest.fixture
async def impatient_commands(impatient: Settings) -> AsyncIterator[str]:
    async with serving("commands", impatient, port=0) as address:
        yield address


@asynccontextmanager
async def world_of(
    settings: Settings, commands: str, log: EventStore, *, clock: Callable[[], datetime] = now
) -> AsyncIterator[World]:
    """With processes of its own."""
    async with (
        serving("processes", settings, port=0, clock=clock) as processes,
        shop_at(commands) as shop,
        grpc.aio.insecure_channel(commands) as stock,
        grpc.aio.insecure_channel(processes) as channel,
    ):
        yield World(
            shop=shop,
            stock=products_grpc.StockCommandServiceStub(stock),
            processes=pb_grpc.ProcessCommandServiceStub(channel),
            log=log,
        )


@pytest.fixture
async def world(settings: Settings, commands: str, log: EventStore) -> AsyncIterator[World]:
    async with world_of(settings, commands, log) as world:
        yield world
