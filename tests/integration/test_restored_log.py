"""An older copy of the log, grown past every checkpoint, is restored under a running shop: nothing is restarted."""

import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from esdbclient import NewEvent, StreamState
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from client.sdk import Addresses, OrderstreamClient
from client.sdk.errors import NotFound
from core.config import Settings
from core.eventstore.client import position_of
from core.eventstore.log import EventLog
from core.failures import LogMismatch
from core.readmodel.checkpoints import CheckpointStore
from core.readmodel.views import VIEWS
from embedded.stack import Uris, embedded_eventstore
from projections.app import serving as projecting
from protos.orders.v1.types_pb2 import OrderStatus
from server.app import serving
from tests.support.buying import user
from tests.support.calling import HOME, euros, fresh_id, fresh_sku
from tests.support.eventually import eventually
from tests.support.older_log import node
from tests.support.processes import free_port
from tests.support.views import QUICK

STOCK = 100
WITHIN = 60.0  # seconds


@asynccontextmanager
async def running_shop(stores: Uris, database: str) -> AsyncIterator[Mapping[str, str]]:
    """Every role in this process, over two stores; the addresses by role."""
    settings: dict[str, Any] = {
        "eventstore_uri": stores.eventstore,
        "mongo_uri": stores.mongo,
        "mongo_database": database,
    }
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        roles = ("commands", "queries", "processes")
        addresses = {role: await enter(serving(role, Settings(**settings, grace=1.0), 0)) for role in roles}
        follow = QUICK.model_copy(update={**settings, "heartbeat": 0.3, "lease": 3.0, "grace": 1.0})
        yield {**addresses, "projections": await enter(projecting(follow, 0))}


class Shop:
    """A customer who buys one product."""

    def __init__(self, client: OrderstreamClient) -> None:
        self._client = client
        self._customer = ""
        self.sku = fresh_sku()

    async def open(self) -> None:
        self._customer = await user(self._client)
        await self._client.products.RegisterProduct(sku=self.sku, name="Tea", price=euros(350))
        await self._client.products.ActivateProduct(sku=self.sku)
        await self._client.products.ReceiveStock(sku=self.sku, quantity=STOCK)

    async def draft(self) -> str:
        lines = [{"sku": self.sku, "quantity": 1}]
        made = await self._client.orders.CreateOrder(
            customer_id=self._customer, currency="EUR", lines=lines, shipping_address=HOME
        )
        return str(made.order_id)

    async def place(self, order_id: str, request_id: str = "") -> bool:
        """Whether that had been done before."""
        placed = await self._client.orders.PlaceOrder(order_id=order_id, request_id=request_id or fresh_id())
        return bool(placed.is_repeat)

    async def confirmed(self, order_id: str) -> None:
        async def status() -> str:
            try:
                found = await self._client.orders.GetOrder(order_id=order_id)
            except NotFound:  # the view has not come as far
                return ""
            return OrderStatus.Name(found.order.status)

        await eventually(status, lambda now: now == "ORDER_STATUS_CONFIRMED", WITHIN)


async def checkpoints(mongo: AsyncDatabase[Any]) -> dict[str, int]:
    """The position of each view at which it knows the event."""
    store = CheckpointStore(mongo)
    found = [await store.checkpoint(view.name) for view in VIEWS]
    return {one.view: one.last_event_position for one in found if one is not None}


async def grow(copy: Path, points: set[int]) -> None:
    """Let the log grow past all these positions, with another event at some of them."""
    async with node(copy) as client:
        log, filler = EventLog(client), f"elsewhere-{fresh_id()}"
        while await log.head() <= max(points):
            events = [NewEvent("SomethingElse", b"{}") for _ in range(20)]
            await client.append_to_stream(filler, current_version=StreamState.ANY, events=events)
        taken = set()
        for point in points:
            try:
                event = await log.at(point)
            except LogMismatch:
                continue
            assert event is not None
            taken.add(position_of(event))
        assert taken, "no record begins exactly at a checkpoint"


async def rebuilt(client: OrderstreamClient) -> dict[str, bool]:
    """Rebuild all views that have to be; for each whether readers see it."""
    plan = await client.operations.PlanRebuilds()
    views = [one.view for one in plan.views]
    messages = client.operations.RebuildAll(plan_id=plan.plan_id, views=views, reason="restored")
    return {message.view: message.result.switched async for message in messages if message.HasField("result")}


async def differences(client: OrderstreamClient) -> int:
    """As `orderstream verify` counts them."""
    found = 0
    async for message in client.operations.VerifyProjections():
        found += message.result.differences + message.snapshots.differences
        found += message.processes.missing + message.emails.shared
    return found


@pytest.mark.sends_unknown_positions
async def test_nothing_is_skipped_nor_acknowledged_that_the_restored_log_does_not_hold(
    tmp_path: Path, mongo_uri: str, database: str
) -> None:
    data, copy, port = tmp_path / "data", tmp_path / "copy", free_port()
    async with AsyncExitStack() as replaced, AsyncExitStack() as stack:
        uri = await replaced.enter_async_context(embedded_eventstore(data, port=port))
        mongo = (await stack.enter_async_context(AsyncMongoClient[dict[str, Any]](mongo_uri)))[database]
        running = await stack.enter_async_context(running_shop(Uris(uri, mongo_uri), database))
        client = await stack.enter_async_context(OrderstreamClient(Addresses(**running), deadline=30.0))
        shop = Shop(client)
        await shop.open()
        await shop.place(before := await shop.draft())
        await shop.confirmed(before)
        draft, request_id = await shop.draft(), fresh_id()
        await replaced.aclose()
        shutil.copytree(data, copy)
        await replaced.enter_async_context(embedded_eventstore(data, port=port))

        assert not await shop.place(draft, request_id)
        await shop.place(lost := await shop.draft())
        for order_id in (draft, lost):
            await shop.confirmed(order_id)
        common = await checkpoints(mongo)

        async def moved() -> dict[str, int]:
            return await checkpoints(mongo)

        marked = await eventually(moved, lambda now: min(now.values()) >= max(common.values()))
        await replaced.aclose()
        await grow(copy, set(marked.values()))
        await replaced.enter_async_context(embedded_eventstore(copy, port=port))

        assert not await shop.place(draft, request_id)
        assert await shop.place(draft, request_id)
        await shop.place(after := await shop.draft())

        async def of_another_log() -> set[str]:
            found = await client.operations.ListProjections()
            return {one.view for one in found.projections if one.log_mismatch}

        assert await eventually(of_another_log, lambda now: now == set(marked), WITHIN)
        listed = await client.orders.ListOrders()
        assert listed.freshness.log_mismatch
        assert await rebuilt(client) == dict.fromkeys(marked, True)

        for order_id in (before, draft, after):
            await shop.confirmed(order_id)
        with pytest.raises(NotFound):
            await client.orders.GetOrder(order_id=lost)
        stock = (await client.products.GetStock(sku=shop.sku)).stock
        assert (stock.on_hand, stock.reserved) == (STOCK, 3)
        assert await differences(client) == 0
        await stack.aclose()
