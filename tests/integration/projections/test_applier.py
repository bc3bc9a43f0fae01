"""Batches into the real view store: each event once, whatever is replayed; a failing stream is parked alone."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from esdbclient import RecordedEvent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.monitoring import CommandListener, CommandStartedEvent

from core.domain.order.events import OrderPlaced
from core.readmodel.checkpoints import CheckpointStore, Fenced
from core.readmodel.view import View
from core.readmodel.views.order_list import order_list
from core.readmodel.views.order_timeline import order_timeline
from core.readmodel.views.sales_daily import sales_daily
from projections.engine.applier import BatchApplier
from projections.engine.parked_events import ParkedEvents
from tests.support.orders import confirmed, created, line_added, order_line, placed
from tests.support.viewing import fold, stored


@pytest.fixture
async def mongo(mongo_uri: str, database: str) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    async with AsyncMongoClient[dict[str, Any]](mongo_uri) as client:
        yield client[database]
        await client.drop_database(database)


async def applier(mongo: AsyncDatabase[Any], view: View[Any], collection: str = "") -> BatchApplier:
    parked_events = ParkedEvents(mongo, collection or view.name, 1)
    await parked_events.load()
    return BatchApplier(view, mongo[collection or view.name], parked_events)


async def documents(mongo: AsyncDatabase[Any], collection: str) -> dict[str, Any]:
    found = {}
    async for document in mongo[collection].find({}):
        key = document.pop("_id")
        document.pop("position")
        found[key] = document
    return found


def orders(number: int) -> list[Any]:
    events: list[Any] = []
    for n in range(number):
        changes: dict[str, Any] = {"order_id": f"o{n}"}
        line = order_line(quantity=n + 1)
        events += [created(**changes), line_added(quantity=n + 1, **changes), placed(line, **changes)]
    return events


@pytest.mark.parametrize("view", [order_list, sales_daily], ids=lambda view: view.name)
async def test_a_batch_is_the_fold(mongo: AsyncDatabase[Any], view: View[Any]) -> None:
    await (await applier(mongo, view)).apply(stored(orders(7)))
    assert await documents(mongo, view.name) == fold(view, orders(7))


@given(cuts=st.lists(st.tuples(st.integers(0, 24), st.integers(0, 24)), max_size=8))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_replayed_from_anywhere_in_any_cuts_a_counter_stays_right(
    mongo: AsyncDatabase[Any], cuts: list[tuple[int, int]]
) -> None:
    """A replay begins at or before where the view is, as a subscription from an older checkpoint does."""
    collection = f"sales_{abs(hash(tuple(cuts)))}"
    await mongo[collection].delete_many({})
    events, reached = stored(orders(8)), 0
    for start, end in [*cuts, (0, len(events))]:
        fresh = await applier(mongo, sales_daily, collection)  # as after a crash: nothing remembered
        await fresh.apply(events[min(start, reached) : end])
        reached = max(reached, end)
    assert await documents(mongo, collection) == fold(sales_daily, orders(8))


class Commands(CommandListener):
    """The names of all commands that the driver sends."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.names.append(event.command_name)

    def succeeded(self, event: object) -> None: ...

    def failed(self, event: object) -> None: ...


async def test_documents_of_one_event_each_are_looked_for_in_a_replay_only(mongo_uri: str, database: str) -> None:
    commands, events = Commands(), stored(orders(3))
    async with AsyncMongoClient[dict[str, Any]](mongo_uri, event_listeners=[commands]) as client:
        worker = await applier(client[database], order_timeline)
        commands.names.clear()
        await worker.apply(events)
        assert commands.names == ["insert"]
        await (await applier(client[database], order_timeline)).apply(events)  # as after a crash before the checkpoint
        assert await documents(client[database], "order_timeline") == fold(order_timeline, orders(3))
        await client.drop_database(database)


async def test_a_worker_that_was_taken_for_dead_changes_nothing(mongo: AsyncDatabase[Any]) -> None:
    events = stored(orders(4))
    zombie, successor = await applier(mongo, sales_daily), await applier(mongo, sales_daily)
    await zombie.apply(events[:3])
    await successor.apply(events)
    await zombie.apply(events[3:9])
    assert await documents(mongo, "sales_daily") == fold(sales_daily, orders(4))


def broken(event: RecordedEvent) -> RecordedEvent:
    return replace(event, data=b'{"order_id": 7')


async def test_an_event_that_cannot_be_read_parks_its_stream_and_no_other(mongo: AsyncDatabase[Any]) -> None:
    events = stored([*orders(3), replace(confirmed(), order_id="o1"), replace(confirmed(), order_id="o2")])
    events[4] = broken(events[4])  # the line of o1
    worker = await applier(mongo, order_list)
    await worker.apply(events)

    found = await documents(mongo, "order_list")
    assert {key: row["status"] for key, row in found.items()} == {"o0": "PLACED", "o1": "DRAFT", "o2": "CONFIRMED"}
    waiting = [x async for x in mongo["parked"].find({}).sort("position", 1)]
    assert [(x["stream"], x["revision"], bool(x["error"])) for x in waiting] == [
        ("order-o1", 1, True),
        ("order-o1", 2, False),
        ("order-o1", 3, False),
    ]
    assert "LineAdded 1@order-o1" in worker.last_error


async def test_a_parked_stream_stays_parked_after_a_restart(mongo: AsyncDatabase[Any]) -> None:
    events = stored([*orders(2), replace(confirmed(), order_id="o0"), replace(confirmed(), order_id="o1")])
    events[1] = broken(events[1])
    await (await applier(mongo, order_list)).apply(events[:6])
    await (await applier(mongo, order_list)).apply(events[6:])
    await (await applier(mongo, order_list)).apply(events)  # and a replay parks nothing twice
    found = await documents(mongo, "order_list")
    assert {key: row["status"] for key, row in found.items()} == {"o0": "DRAFT", "o1": "CONFIRMED"}
    assert await mongo["parked"].count_documents({}) == 3


async def test_a_handler_that_raises_parks_too(mongo: AsyncDatabase[Any]) -> None:
    picky = View[dict[str, Any]]("picky", key=lambda e: str(e.data.order_id), categories=("order",))

    @picky.on(OrderPlaced)
    def _(_: dict[str, Any] | None, e: Any) -> dict[str, Any]:
        if e.data.order_id == "o1":
            raise ZeroDivisionError("no")
        return {"units": sum(line.quantity for line in e.data.lines)}

    worker = await applier(mongo, picky)
    await worker.apply(stored(orders(3)))
    assert await documents(mongo, "picky") == {"o0": {"units": 1}, "o2": {"units": 3}}
    assert "ZeroDivisionError" in worker.last_error


async def test_an_event_type_that_nobody_knows_parks_its_stream(mongo: AsyncDatabase[Any]) -> None:
    events = stored(orders(1))
    worker = await applier(mongo, order_list)
    await worker.apply([events[0], replace(events[1], type="FromTheFuture"), events[2]])
    assert (worker.skipped, worker.last_error.partition(": ")[2].partition(":")[0]) == (0, "UnknownEventType")
    assert list(await documents(mongo, "order_list")) == ["o0"]
    parked_events = ParkedEvents(mongo, "order_list", 1)
    assert [(one.failed.event_type, one.waiting) for one in await parked_events.streams()] == [("FromTheFuture", 1)]


async def test_an_event_of_the_store_itself_is_skipped_and_counted(mongo: AsyncDatabase[Any]) -> None:
    events = stored(orders(1))
    worker = await applier(mongo, order_list)
    await worker.apply([events[0], replace(events[1], type="$>")])
    assert worker.skipped == 1
    assert await ParkedEvents(mongo, "order_list", 1).streams() == []


async def test_only_the_owner_moves_the_checkpoint(mongo: AsyncDatabase[Any]) -> None:
    state = CheckpointStore(mongo)
    first = await state.take_over("sales_daily", 1)
    second = await state.take_over("sales_daily", 1)
    await state.advance(replace(second, position=20))
    with pytest.raises(Fenced):
        await state.advance(replace(first, position=10))
    now = await state.checkpoint("sales_daily")
    assert now is not None
    assert (now.position, now.epoch) == (20, 2)
