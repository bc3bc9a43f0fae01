"""The view store is cut off, changes its primary, or hangs: nothing is lost, and all goes on soon after."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from core.eventstore.connection import Client
from core.eventstore.log import EventLog
from core.failures import StoreUnavailable
from core.readmodel.checkpoints import Checkpoint, CheckpointStore
from core.readmodel.dataloader import DocumentLoader
from core.readmodel.mongo import mongo_client, mongo_errors
from core.readmodel.views.order_list import order_list
from projections.config import Settings
from server.queries.freshness import FreshViews
from tests.support.eventually import eventually
from tests.support.view_store_wire import ViewStoreWire, view_store_wire
from tests.support.viewing import fold
from tests.support.views import append, begin_at_the_end, documents, new_order, reached, supervised

OUTAGE = 10.0  # seconds: time enough for every pause between two tries to reach its longest
SOON = 8.0  # seconds; it takes less than 5 on a machine that has time


@dataclass
class Store:
    """`direct` is what it holds; `database` is how a process reaches it, over the wire."""

    wire: ViewStoreWire
    direct: AsyncDatabase[Any]
    database: AsyncDatabase[Any]


class Caller:
    def time_remaining(self) -> float:
        return 1.0


@pytest.fixture
async def store(mongo_uri: str, database: str) -> AsyncIterator[Store]:
    async with (
        view_store_wire(mongo_uri) as (wire, uri),
        AsyncMongoClient[dict[str, Any]](mongo_uri) as direct,
        mongo_client(Settings(mongo_uri=uri), socketTimeoutMS=20_000) as client,
    ):
        yield Store(wire, direct[database], client[database])
        wire.heal()
        await direct.drop_database(database)


@pytest.mark.parametrize("outage", ["a cut", "a change of its primary"])
async def test_a_view_loses_nothing_and_is_fresh_soon_after(client: Client, store: Store, outage: str) -> None:
    await begin_at_the_end(client, store.direct, order_list)
    written: list[Any] = []

    async def order() -> int:
        written.extend(placed := new_order())
        return await append(client, placed)

    async with supervised(order_list, client, store.database, Settings()):
        await reached(store.direct, order_list, await order())
        if outage == "a cut":
            store.wire.cut()
        else:
            store.wire.is_secondary = True
        began = time.monotonic()
        for _ in range(5):
            last = await order()

        async def lasted() -> float:
            return time.monotonic() - began

        await eventually(lasted, lambda seconds: seconds >= OUTAGE)
        store.wire.heal()
        store.wire.is_secondary = False

        async def position() -> int:
            found = await CheckpointStore(store.direct).checkpoint("order_list")
            return 0 if found is None else found.position

        await eventually(position, lambda now: now >= last, within=SOON)
    assert await documents(store.direct, order_list) == fold(order_list, written)


async def test_a_query_answers_soon_after_a_cut(client: Client, store: Store) -> None:
    fresh = FreshViews(CheckpointStore(store.database), {"order_list": "order-.*"}, EventLog(client))
    await answered(fresh)
    store.wire.cut()
    await eventually(lambda: tried(fresh), lambda well: not well)
    store.wire.heal()
    await eventually(lambda: tried(fresh), within=SOON)


async def test_a_read_that_hangs_keeps_no_later_call_waiting(client: Client, store: Store) -> None:
    fresh = FreshViews(CheckpointStore(store.database), {"order_list": "order-.*"}, EventLog(client))
    documents = DocumentLoader(store.database["documents"])
    store.wire.hangs = True
    for call in (answered(fresh), documents.one("1")):
        with pytest.raises((StoreUnavailable, TimeoutError)):
            await asyncio.wait_for(call, 1.0)
    store.wire.hangs = False
    await eventually(lambda: tried(fresh), within=SOON)
    assert await asyncio.wait_for(documents.one("1"), SOON) is None


async def answered(fresh: FreshViews) -> Checkpoint:
    with mongo_errors():
        return await fresh.at_least("order_list", "", Caller())


async def tried(fresh: FreshViews) -> bool:
    try:
        await asyncio.wait_for(answered(fresh), 1.0)
    except (StoreUnavailable, TimeoutError):
        return False
    return True


async def test_calls_that_are_cancelled_while_there_is_no_store_leave_the_client_usable(store: Store) -> None:
    documents = store.database["documents"]
    await documents.find_one({})
    store.wire.cut()

    async def given_up(after: float) -> None:
        with suppress(TimeoutError, PyMongoError, RuntimeError):
            async with asyncio.timeout(after):
                await documents.find_one({})

    for _ in range(3):  # the driver looks up from its wait for a server every half second
        await asyncio.gather(*(given_up(0.5 * (1 + n % 5) + 0.0001 * n) for n in range(500)))
    store.wire.heal()

    async def answers() -> bool:
        try:
            await asyncio.wait_for(documents.find_one({}), 1.0)
        except (TimeoutError, PyMongoError):
            return False
        return True

    await eventually(answers, within=SOON)
