"""What the finders read, on the embedded store: the same pages however they are read."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from core.readmodel.checkpoints import CheckpointStore
from core.readmodel.finders import Finders
from core.readmodel.views.order_list import order_list

Database = AsyncDatabase[dict[str, Any]]
PAGE = 7


@pytest.fixture
async def views(mongo_uri: str, database: str) -> AsyncIterator[Database]:
    async with AsyncMongoClient[dict[str, Any]](mongo_uri) as client:
        yield client[database]
        await client.drop_database(database)


async def filled(views: Database) -> list[dict[str, Any]]:
    """Rows in bursts and after long silences, some in the same microsecond; in the order of creation."""
    chance = random.Random(7)
    at, rows = 0, []
    for number in range(120):
        at += chance.choice([0, 0, 1, 2, 50, 100_000])
        status = chance.choice(["DRAFT", "PLACED"])
        rows.append(
            {"_id": f"{chance.random():.9f}", "created_at": at, "status": status, "customer_id": f"c{number % 3}"}
        )
    documents = CheckpointStore(views).documents("order_list", 1)
    for index in order_list.indexes:
        await documents.create_index(list(index))
    await documents.insert_many([dict(row) for row in rows])
    return sorted(rows, key=lambda row: (row["created_at"], row["_id"]))


async def pages(finders: Finders, where: dict[str, Any], *, newest_first: bool) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while True:
        after = (rows[-1]["created_at"], rows[-1]["_id"]) if rows else None
        page = await finders.orders(1, where, after, newest_first=newest_first, most=PAGE)
        rows += page
        if len(page) < PAGE:
            return rows


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize(
    "where",
    [{}, {"status": "PLACED"}, {"customer_id": "c1"}, {"created_at": {"$gte": 100_000, "$lt": 900_000}}],
    ids=["all", "of a status", "of a customer", "of a time"],
)
async def test_the_pages_are_all_rows_in_order_also_for_one_who_has_read_before(
    views: Database, where: dict[str, Any], *, newest_first: bool
) -> None:
    rows = await filled(views)
    span = where.get("created_at", {"$gte": 0, "$lt": 2**62})
    wanted = [
        row
        for row in rows
        if all(row[name] == value for name, value in where.items() if name != "created_at")
        and span["$gte"] <= row["created_at"] < span["$lt"]
    ]
    finders = Finders(CheckpointStore(views))
    for _ in range(2):
        found = await pages(finders, where, newest_first=newest_first)
        assert found == (wanted[::-1] if newest_first else wanted)


async def test_rows_that_came_since_are_in_the_first_page(views: Database) -> None:
    rows = await filled(views)
    finders = Finders(CheckpointStore(views))
    await finders.orders(1, {}, None, newest_first=True, most=PAGE)
    new = {"_id": "new", "created_at": rows[-1]["created_at"] + 10**9, "status": "DRAFT", "customer_id": "c1"}
    await CheckpointStore(views).documents("order_list", 1).insert_one(dict(new))
    assert (await finders.orders(1, {}, None, newest_first=True, most=PAGE))[0] == new


async def test_a_crowd_gets_each_the_document_it_asked_for(views: Database) -> None:
    await filled(views)
    documents = CheckpointStore(views).documents("order_detail", 1)
    await documents.insert_many([{"_id": f"o{number}", "number": number} for number in range(250)])
    finders = Finders(CheckpointStore(views))
    keys = [f"o{number}" for number in range(-5, 250)] * 2
    found = await asyncio.gather(*(finders.one("order_detail", 1, key) for key in keys))
    assert [row and row["_id"] for row in found] == [None if key.startswith("o-") else key for key in keys]


async def test_one_of_a_crowd_may_go_without_the_others_losing_their_answer(views: Database) -> None:
    await CheckpointStore(views).documents("order_detail", 1).insert_one({"_id": "o1"})
    finders = Finders(CheckpointStore(views))
    going, staying = (asyncio.create_task(finders.one("order_detail", 1, "o1")) for _ in range(2))
    await asyncio.sleep(0)
    going.cancel()
    assert await staying == {"_id": "o1"}


async def test_what_was_written_before_the_question_is_in_the_answer_also_while_another_read_is_under_way(
    views: Database,
) -> None:
    documents = CheckpointStore(views).documents("order_detail", 1)
    await documents.insert_one({"_id": "o1", "n": 0})
    finders = Finders(CheckpointStore(views))
    for n in range(1, 30):
        earlier = asyncio.create_task(finders.one("order_detail", 1, "o1"))
        await documents.update_one({"_id": "o1"}, {"$set": {"n": n}})
        assert await finders.one("order_detail", 1, "o1") == {"_id": "o1", "n": n}
        await earlier


async def test_a_generation_that_became_the_live_one_is_read_from_then_on(views: Database) -> None:
    state = CheckpointStore(views)
    for generation in (1, 2):
        await state.documents("order_detail", generation).insert_one({"_id": "o1", "generation": generation})
    finders = Finders(state)
    assert await finders.one("order_detail", 1, "o1") == {"_id": "o1", "generation": 1}
    assert await finders.one("order_detail", 2, "o1") == {"_id": "o1", "generation": 2}
