"""Constant load on a view while something is done to it, and a count of every reply that is not as it should be."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from client.sdk import OrderstreamClient
from client.sdk.errors import OrderstreamError
from protos.orders.v1.commands_pb2 import NewLine
from tests.support import buying
from tests.support.calling import HOME

STEADY = 12  # orders of a customer who buys no more


@dataclass
class Reads:
    """`failed`: no reply; `empty`, `mixed`: not the rows that stood there all the time; `older`: than its token."""

    reads: int = 0
    writes: int = 0
    failed: list[str] = field(default_factory=list)
    empty: int = 0
    mixed: int = 0
    older: int = 0

    async def so_far(self) -> int:
        return self.reads

    @property
    def wrong(self) -> tuple[list[str], int, int, int]:
        return (self.failed, self.empty, self.mixed, self.older)


@asynccontextmanager
async def under_load(shop: OrderstreamClient, readers: int = 3, writers: int = 2) -> AsyncIterator[Reads]:
    """Readers of rows that do not change, and buyers who look for what they bought with the token they were given."""
    customer, ids, token = await buying.orders(shop, STEADY)
    sku = await buying.product(shop)
    before = await shop.orders.ListOrders(customer_id=customer, consistency_token=token)
    assert {order.order_id for order in before.orders} == set(ids)
    wanted = [order.SerializeToString() for order in before.orders]
    seen, stop = Reads(), asyncio.Event()

    async def read() -> None:
        while not stop.is_set():
            reply = await _answered(shop.orders.ListOrders(customer_id=customer), seen)
            if reply is not None:
                seen.empty += not reply.orders
                seen.mixed += bool(reply.orders) and [x.SerializeToString() for x in reply.orders] != wanted

    async def buy() -> None:
        buyer = await buying.user(shop)
        while not stop.is_set():
            made = await shop.orders.CreateOrder(
                customer_id=buyer, currency="EUR", lines=[NewLine(sku=sku, quantity=1)], shipping_address=HOME
            )
            placed = await shop.orders.PlaceOrder(order_id=made.order_id)
            seen.writes += 2
            asked = shop.orders.ListOrders(customer_id=buyer, consistency_token=placed.consistency_token, page_size=1)
            reply = await _answered(asked, seen)
            if reply is not None:
                found = reply.orders[0] if reply.orders else None
                seen.older += found is None or found.order_id != made.order_id or not found.HasField("placed_at")

    async with asyncio.TaskGroup() as group:
        for _ in range(readers):
            group.create_task(read())
        for _ in range(writers):
            group.create_task(buy())
        try:
            yield seen
        finally:
            stop.set()


async def _answered(call: Awaitable[Any], seen: Reads) -> Any:
    seen.reads += 1
    try:
        return await call
    except OrderstreamError as error:
        seen.failed.append(f"{type(error).__name__}: {error}")
        return None
