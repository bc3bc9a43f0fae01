"""From "acknowledged" to "visible", at half the rate that all views together keep up with (G8).

The load is open. An order is created, then it or the list of orders is read with the token of its command. The lag is
the time from the command's answer to the query's. It is compared with the unavoidable cost: an append, the write of one
document, a query.
"""

import asyncio
import statistics
from typing import Any

import grpc
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from pymongo import AsyncMongoClient, InsertOne
from uuid_utils import uuid7

from bench.commands import raw_append
from bench.measuring import (
    Operation,
    Result,
    Size,
    at_most,
    latencies,
    latency_summary,
    median,
    open_loop,
    percentile,
    rate,
    schedule,
)
from bench.processes import Meter
from bench.running import fresh_stack, pids
from client.local.stack import Stack
from client.sdk import Addresses, OrderstreamClient
from protos.common.v1.types_pb2 import Address, Money
from protos.orders.v1.commands_pb2 import CreateOrderRequest, NewLine
from protos.orders.v1.commands_pb2_grpc import OrderCommandServiceStub
from protos.orders.v1.queries_pb2 import GetOrderRequest, ListOrdersRequest
from protos.orders.v1.queries_pb2_grpc import OrderQueryServiceStub

AT_ONCE = 32
OVER = "p99 over (append + bulk_write(1) + Get) p50"
DEADLINE = 60.0  # seconds
SKU = "tea"
HOME = Address(name="Ann", line1="1 High Street", city="Ghent", postal_code="9000", country="BE")


async def run(size: Size) -> Result:
    async with fresh_stack() as running:
        return await measure(running, size)


class Shop:
    """Orders of one customer and one product, each read back as soon as it is acknowledged."""

    def __init__(self, addresses: Addresses, customer: str) -> None:
        self._channels = [grpc.aio.insecure_channel(address) for address in (addresses.commands, addresses.queries)]
        self._commands: Any = OrderCommandServiceStub(self._channels[0])
        self._queries: Any = OrderQueryServiceStub(self._channels[1])
        self._customer = customer
        self.lags: list[float] = []
        self.others: list[float] = []  # until a view that the query waits for has it
        self.events = 0
        self.order_id = ""

    async def create_and_see(self) -> None:
        made = await self._commands.CreateOrder(self._new(), timeout=DEADLINE)
        self.events += made.revision + 1
        acknowledged = asyncio.get_running_loop().time()
        seen = GetOrderRequest(order_id=made.order_id, consistency_token=made.consistency_token)
        await self._queries.GetOrder(seen, timeout=DEADLINE)
        self.lags.append(asyncio.get_running_loop().time() - acknowledged)
        self.order_id = made.order_id

    async def create_and_see_in_a_list(self) -> None:
        """The same, in a view that is not answered from the order's own stream."""
        made = await self._commands.CreateOrder(self._new(), timeout=DEADLINE)
        acknowledged = asyncio.get_running_loop().time()
        seen = ListOrdersRequest(page_size=1, consistency_token=made.consistency_token)
        await self._queries.ListOrders(seen, timeout=DEADLINE)
        self.others.append(asyncio.get_running_loop().time() - acknowledged)
        self.order_id = made.order_id

    def _new(self) -> CreateOrderRequest:
        return CreateOrderRequest(
            request_id=str(uuid7()), customer_id=self._customer, currency="EUR",
            lines=[NewLine(sku=SKU, quantity=2)], shipping_address=HOME,
        )  # fmt: skip

    async def get(self) -> None:
        await self._queries.GetOrder(GetOrderRequest(order_id=self.order_id), timeout=DEADLINE)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


async def opened(addresses: Addresses) -> Shop:
    """With a customer and something to sell."""
    async with OrderstreamClient(addresses, deadline=DEADLINE) as client:
        customer = (await client.users.RegisterUser(name="Ann", email="ann@example.org")).user_id
        await client.products.RegisterProduct(sku=SKU, name="Tea", price=Money(amount_minor=350, currency="EUR"))
        await client.products.ActivateProduct(sku=SKU)
    return Shop(addresses, customer)


async def measure(running: Stack, size: Size) -> Result:
    members = running.members
    shop = await opened(running.addresses)
    raw = AsyncEventStoreDBClient(members["eventstore"].ready["uri"])
    await raw.connect()
    async with AsyncMongoClient[dict[str, Any]](members["mongo"].ready["uri"]) as mongo:
        floor_sides: dict[str, Operation] = {
            "append": raw_append(raw),
            "bulk_write": _one_write(mongo["bench"]["floor"]),
            "get": shop.get,
        }
        # an own order is answered from its stream, however far the views are behind: it does not bound the rate
        await rate(shop.create_and_see_in_a_list, max(AT_ONCE, size.operations // 4), AT_ONCE)  # warm
        top = await rate(shop.create_and_see_in_a_list, max(AT_ONCE, size.operations // 2), AT_ONCE)
        times = max(10, size.operations // 20)
        ratios, any_view, floors, every_lag = [], [], [], []
        meter = Meter(pids(running, *members))
        for _ in range(size.rounds):
            p50s = [percentile(await latencies(side, times), 0.5) for side in floor_sides.values()]
            shop.lags.clear()
            due = schedule(top / 2, size.seconds)
            meter.start()
            await open_loop(shop.create_and_see, due)
            meter.stop(len(due))
            floors.append(sum(p50s))
            ratios.append(percentile(shop.lags, 0.99) / floors[-1])
            every_lag += shop.lags
            shop.others.clear()
            await open_loop(shop.create_and_see_in_a_list, due)
            any_view.append(percentile(shop.others, 0.99) / floors[-1])
    await raw.close()
    await shop.close()
    return Result(
        [
            at_most("G8", f"acknowledged to visible, own order, {OVER}", ratios, 3.0),
            at_most("G8", f"acknowledged to visible, any view, {OVER}", any_view, 8.0),
        ],
        {
            "top_orders_per_second": round(top, 1),
            "load_per_second": round(top / 2, 1),
            "lag": latency_summary(every_lag),
            "cpu_us_per_order": meter.per_operation(),
            "floor_ms": median([floor * 1000 for floor in floors], 3),
            "lag_over_floor_median": round(percentile(every_lag, 0.5) / statistics.median(floors), 2),
        },
    )


def _one_write(documents: Any) -> Operation:
    async def write() -> None:
        await documents.bulk_write([InsertOne({"_id": str(uuid7()), "position": 1})])

    return write
