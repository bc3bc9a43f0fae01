"""The verifier that looks at single documents: finds every damage in time, none where there is none, and heals."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from core.eventstore.connection import Client
from core.eventstore.registry import BY_EVENT
from core.readmodel.checkpoints import CheckpointStore
from core.readmodel.view import View
from core.readmodel.views import VIEWS
from core.readmodel.views.order_detail import order_detail
from core.readmodel.views.order_list import order_list
from core.readmodel.views.sales_daily import sales_daily
from projections.stores import Stores
from projections.verification.sampling import Sampler
from tests.support.events import EXAMPLES
from tests.support.eventually import eventually
from tests.support.orders import cancelled
from tests.support.processes import running
from tests.support.viewing import aggregate_id, recorded
from tests.support.views import QUICK, append, append_broken, documents, new_order, reached, supervised

Mongo = AsyncDatabase[Any]
AUDITING = QUICK.model_copy(update={"verify_every": 0.05, "verify_documents": 25})
HEALING = AUDITING.model_copy(update={"heal": True})


@pytest.fixture
def own_log() -> Iterator[str]:
    """An empty log for each test: what is folded is what the test wrote."""
    with running("embedded", "eventstore", "--port", "0", "--memory") as store:
        yield store.ready["uri"]


@pytest.mark.parametrize("view", [view for view in VIEWS if view.own_streams], ids=lambda view: view.name)
def test_a_view_that_says_its_documents_have_streams_of_their_own_keeps_to_it(view: View[Any]) -> None:
    followed = [event for event in EXAMPLES if BY_EVENT[type(event)].category in view.categories]
    handled = [(aggregate_id(event.data), view.handler(event)) for event in recorded(followed)]
    assert any(found for _, found in handled)
    assert all(found is None or found[0] == own for own, found in handled)


async def orders(client: Client, number: int) -> int:
    for n in range(number):
        order = new_order()
        last = await append(client, order)
        if n % 5 == 0:
            last = await append(client, [replace(cancelled(), order_id=order[0].order_id)])
    return last


DAMAGES: list[Any] = [
    lambda key: {"filter": {"_id": key}, "update": {"$set": {"status": "WRONG"}}},
    lambda key: {"filter": {"_id": key}, "update": {"$inc": {"position": -1}}},
    lambda key: {"filter": {"_id": key}, "update": {"$unset": {"customer_id": ""}}},
]


async def test_a_hundred_damaged_documents_are_all_found_and_healed(client: Client, mongo: Mongo) -> None:
    last = await orders(client, 130)
    rows = CheckpointStore(mongo).documents("order_list", 1)
    async with supervised(order_list, client, mongo):
        await reached(mongo, order_list, last)
    right = await documents(mongo, order_list)
    victims = sorted(right)[:100]
    for n, key in enumerate(victims):
        if n % 4 == 3:
            await rows.delete_one({"_id": key})
        else:
            await rows.update_one(**DAMAGES[n % 4](key))
    async with supervised(order_list, client, mongo, HEALING) as view:

        async def differences() -> int:
            return view.checks.differences

        await eventually(differences, lambda now: now >= 100, within=60)
        await eventually(partial(documents, mongo, order_list), lambda now: now == right, within=60)
    assert view.checks.differences == 100, "each is found once, and healed"


async def test_documents_that_the_log_knows_nothing_of_are_found_and_removed(client: Client, mongo: Mongo) -> None:
    last = await orders(client, 30)
    rows = CheckpointStore(mongo).documents("order_list", 1)
    async with supervised(order_list, client, mongo):
        await reached(mongo, order_list, last)
    right = await documents(mongo, order_list)
    await rows.insert_many([{"_id": f"nobody's {n}", "position": n, "status": "PLACED"} for n in (0, 7, last)])
    async with supervised(order_list, client, mongo, HEALING) as view:
        await eventually(partial(documents, mongo, order_list), lambda now: now == right, within=60)
    assert view.checks.differences == 3


async def test_a_sample_as_large_as_the_view_meets_every_document(client: Client, mongo: Mongo) -> None:
    last = await orders(client, 10)
    async with supervised(order_list, client, mongo):
        await reached(mongo, order_list, last)
    rows = CheckpointStore(mongo).documents("order_list", 1)
    missing = sorted(await documents(mongo, order_list))[4]
    await rows.delete_one({"_id": missing})
    await rows.insert_one({"_id": "nobody's", "position": last})
    sampler = Sampler(order_list, Stores.of(client, mongo))
    for _ in range(5):
        result = await sampler.check(24)
        assert (result.documents, result.keys) == (11, {missing, "nobody's"})


async def test_without_healing_it_heals_nothing(client: Client, mongo: Mongo) -> None:
    last = await orders(client, 5)
    rows = CheckpointStore(mongo).documents("order_list", 1)
    async with supervised(order_list, client, mongo, AUDITING) as view:
        await reached(mongo, order_list, last)
        await rows.update_many({"status": "CANCELLED"}, {"$set": {"status": "WRONG"}})

        async def differences() -> int:
            return view.checks.differences

        await eventually(differences)
        assert await rows.count_documents({"status": "WRONG"}) > 0


async def test_a_damaged_counter_is_found_and_healed(client: Client, mongo: Mongo) -> None:
    """Its documents share streams, so it is folded as a whole."""
    last = await orders(client, 5)
    whole = HEALING.model_copy(update={"full_verify_every": 0.05})
    async with supervised(sales_daily, client, mongo, whole) as view:
        await reached(mongo, sales_daily, last)
        right = await documents(mongo, sales_daily)
        await CheckpointStore(mongo).documents("sales_daily", 1).update_many({}, {"$inc": {"orders_placed": 1}})

        async def differences() -> int:
            return view.checks.differences

        await eventually(differences)
        await eventually(partial(documents, mongo, sales_daily), lambda now: now == right)


@pytest.mark.parametrize(("rounds", "enough"), [(15, 25), pytest.param(60, 100, marks=pytest.mark.long)])
async def test_a_clean_run_under_load_reports_nothing(client: Client, mongo: Mongo, rounds: int, enough: int) -> None:
    """Sixty rounds are an hour's at the shipped pace of one a minute."""
    await append_broken(client, (await _placed(client))[0].order_id)  # what is parked is no difference
    last = await orders(client, 3)
    async with supervised(order_detail, client, mongo, QUICK) as view:
        await reached(mongo, order_detail, last)
        sampler, stop = Sampler(order_detail, Stores.of(client, mongo)), asyncio.Event()

        async def load() -> None:
            while not stop.is_set():
                await orders(client, 1)

        async with asyncio.TaskGroup() as group:
            group.create_task(load())
            checked = 0
            for _ in range(rounds):
                result = await sampler.check(20)
                checked += result.documents
                assert result.differences == 0, result.listed
            stop.set()
        assert checked > enough
        assert view.runners.last_error, "the parked stream is reported elsewhere"


async def _placed(client: Client) -> list[Any]:
    order = new_order()
    await append(client, order)
    return list(order)
