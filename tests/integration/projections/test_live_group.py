"""Views of one process that are live share a subscription and the write of their checkpoints, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from core.eventstore.connection import Client
from core.readmodel.checkpoints import PARTS, CheckpointStore
from core.readmodel.view import View
from core.readmodel.views import VIEWS
from core.readmodel.views.customer_orders import customer_orders
from core.readmodel.views.order_list import order_list
from core.readmodel.views.sales_daily import sales_daily
from projections.config import Settings
from projections.engine import live_group
from projections.engine.catch_up import CatchUp
from projections.engine.host import Host
from projections.engine.lease import process_id
from projections.engine.part import Status
from projections.engine.runner import Runner
from projections.stores import Stores
from tests.support.calling import fresh_id
from tests.support.eventually import eventually
from tests.support.viewing import fold
from tests.support.views import QUICK, append, append_broken, begin_at_the_end, documents, is_, new_order, reached

Mongo = AsyncDatabase[Any]
OF_ORDERS = (order_list, customer_orders, sales_daily)


@asynccontextmanager
async def process(
    client: Client, mongo: Mongo, views: tuple[View[Any], ...] = OF_ORDERS, settings: Settings = QUICK
) -> AsyncIterator[dict[str, Runner]]:
    """The runners of one process, by view, once all of them are the owners and live, or stand by."""
    async with Host(views, Stores.of(client, mongo), settings).running() as host:
        runners = {view.name: Runner(view, host, settings) for view in views}
        tasks = [asyncio.create_task(runner.run()) for runner in runners.values()]
        try:
            yield runners
        finally:
            for runner in runners.values():
                runner.stop()
            await asyncio.gather(*tasks)


async def live(runners: dict[str, Runner]) -> None:
    for runner in runners.values():
        await is_(runner, Status.LIVE)


class CheckpointWrites(CommandListener):
    """How many parts each write advances."""

    def __init__(self) -> None:
        self.parts: list[int] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command.get("update") == "checkpoints":
            for update in event.command["updates"]:
                advanced = [name for name in update["u"].get("$set", {}) if name.startswith("parts.")]
                self.parts += [len(advanced)] if advanced else []

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


@pytest.fixture
async def start(client: Client, mongo: Mongo) -> None:
    for view in OF_ORDERS:
        await begin_at_the_end(client, mongo, view)


async def test_one_write_advances_every_live_view(client: Client, mongo: Mongo, mongo_uri: str) -> None:
    writes = CheckpointWrites()
    async with (
        AsyncMongoClient[dict[str, Any]](mongo_uri, event_listeners=[writes]) as watched,
        process(client, watched[mongo.name], VIEWS) as runners,
    ):
        await live(runners)
        await eventually(lambda: _last(writes), lambda now: now == len(VIEWS))
        writes.parts.clear()
        last = await append(client, new_order())
        for view in VIEWS:
            await reached(mongo, view, last)
        assert set(writes.parts) == {len(VIEWS)}


async def _last(writes: CheckpointWrites) -> int:
    return writes.parts[-1] if writes.parts else 0


@pytest.mark.usefixtures("start")
async def test_each_view_is_the_fold_of_what_it_follows(client: Client, mongo: Mongo) -> None:
    events: list[Any] = []
    async with process(client, mongo) as runners:
        await live(runners)
        for _ in range(30):
            last = await append(client, order := new_order())
            events += order
        for view in OF_ORDERS:
            await reached(mongo, view, last)
            assert await documents(mongo, view) == fold(view, events)


@pytest.mark.usefixtures("start")
async def test_a_view_that_is_lost_leaves_the_others_alone(client: Client, mongo: Mongo) -> None:
    store = CheckpointStore(mongo)
    async with process(client, mongo) as runners:
        await live(runners)
        restarts = {view: runners[view].epoch for view in ("order_list", "customer_orders")}
        usurper = await store.take_over("sales_daily", 1, process_id())
        await is_(runners["sales_daily"], Status.STANDBY)
        last = await append(client, order := new_order())
        for view in (order_list, customer_orders):
            await reached(mongo, view, last)
        assert restarts == {view: runners[view].epoch for view in restarts}
        assert await documents(mongo, sales_daily) == {}
        await store.release(usurper)
        await reached(mongo, sales_daily, last)
        assert await documents(mongo, sales_daily) == fold(sales_daily, order)


@pytest.mark.usefixtures("start")
async def test_a_broken_event_parks_its_stream_in_each_view_and_stops_none(client: Client, mongo: Mongo) -> None:
    async with process(client, mongo) as runners:
        await live(runners)
        await append_broken(client, fresh_id())
        last = await append(client, order := new_order())
        for view in OF_ORDERS:
            await reached(mongo, view, last)
            assert await documents(mongo, view) == fold(view, order)
        assert {runner.parked_streams for runner in runners.values()} == {1}
        assert {runner.status for runner in runners.values()} == {Status.LIVE}


@pytest.mark.usefixtures("start")
async def test_a_view_that_keeps_the_others_waiting_goes_on_alone(
    client: Client, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_group, "PATIENCE", 0.1)
    apply, goes_on = Runner.apply, asyncio.Event()

    async def slowly(runner: Runner, *arguments: Any) -> None:
        if runner.view is sales_daily:
            await goes_on.wait()
        await apply(runner, *arguments)

    async with process(client, mongo) as runners:
        await live(runners)
        monkeypatch.setattr(Runner, "apply", slowly)
        last = await append(client, order := new_order())
        for view in (order_list, customer_orders):
            await reached(mongo, view, last)
        assert await documents(mongo, sales_daily) == {}
        goes_on.set()
        await reached(mongo, sales_daily, last)
        await live(runners)
        assert await documents(mongo, sales_daily) == fold(sales_daily, order)


@pytest.mark.usefixtures("start")
@pytest.mark.usefixtures("start")
async def test_a_view_that_is_slow_to_join_keeps_no_other_waiting(
    client: Client, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    catch_up, apply = CatchUp.run, Runner.apply
    may_join, goes_on = asyncio.Event(), asyncio.Event()

    async def joins_late(self: CatchUp, part: Runner, is_over: Any) -> None:
        """The first time it takes nothing, so that it lacks events when it joins."""
        if part.view is sales_daily and not may_join.is_set():
            await may_join.wait()
        else:
            await catch_up(self, part, is_over)

    async def stands_still(runner: Runner, *arguments: Any) -> None:
        if runner.view is sales_daily:
            await goes_on.wait()
        await apply(runner, *arguments)

    monkeypatch.setattr(CatchUp, "run", joins_late)
    monkeypatch.setattr(Runner, "apply", stands_still)
    monkeypatch.setattr(live_group, "PATIENCE", 0.1)
    async with process(client, mongo) as runners:
        try:
            await is_(runners["order_list"], Status.LIVE)
            await is_(runners["sales_daily"], Status.CATCHING_UP)
            await reached(mongo, order_list, await append(client, first := new_order()))
            may_join.set()
            last = await append(client, second := new_order())
            await reached(mongo, order_list, last)
        finally:
            may_join.set()
            goes_on.set()
        await reached(mongo, sales_daily, last)
        assert await documents(mongo, sales_daily) == fold(sales_daily, [*first, *second])


async def test_lag_is_what_was_received_and_not_applied(
    client: Client, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply, goes_on = Runner.apply, asyncio.Event()

    async def slowly(runner: Runner, *arguments: Any) -> None:
        await goes_on.wait()
        await apply(runner, *arguments)

    async with Host([sales_daily], Stores.of(client, mongo), QUICK).running() as host:
        runner = Runner(sales_daily, host, QUICK)
        task = asyncio.create_task(runner.run())

        async def lag() -> int:
            found = host.live.lag_of(runner)
            return -1 if found is None else found.events

        await eventually(lag, lambda now: now == 0)
        monkeypatch.setattr(Runner, "apply", slowly)
        for _ in range(3):
            await append(client, new_order())
        await eventually(lag, lambda now: now == 12)
        goes_on.set()
        await eventually(lag, lambda now: now == 0)
        runner.stop()
        await task
        assert await lag() == -1, "nobody follows any more"


async def test_a_checkpoint_of_a_former_release_counts_and_is_gone_on_from(client: Client, mongo: Mongo) -> None:
    await append(client, new_order())
    head = await begin_at_the_end(client, mongo, order_list)
    [entry] = (await mongo["checkpoints"].find_one_and_delete({"_id": PARTS}) or {})["parts"].values()
    await mongo["checkpoints"].insert_one({**entry, "_id": "order_list.g1", "beats": 7, "epoch": 5})
    store = CheckpointStore(mongo)
    before = await store.checkpoint("order_list")
    assert before is not None
    assert (before.position, before.epoch) == (head, 5)
    async with process(client, mongo, (order_list,)) as runners:
        await live(runners)
        last = await append(client, order := new_order())
        await reached(mongo, order_list, last)
        assert runners["order_list"].epoch > 5, "the former owner is fenced"
        assert await documents(mongo, order_list) == fold(order_list, order), "nothing before was read again"
    former = await mongo["checkpoints"].find_one({"_id": "order_list.g1"})
    assert former is not None
    assert former["epoch"] == 6, "what the former owner still holds it cannot write"


async def test_a_former_owner_that_is_alive_keeps_its_view(client: Client, mongo: Mongo) -> None:
    old = {"_id": "order_list.g1", "owner": "another", "epoch": 1, "beats": 0, "position": 0, "caught_up_at": 0}
    await mongo["checkpoints"].insert_one({**old, "updated_at": 0})
    alive = asyncio.create_task(_beating(mongo))
    async with process(client, mongo, (order_list,)) as runners:
        await is_(runners["order_list"], Status.STANDBY)
        alive.cancel()
        await is_(runners["order_list"], Status.LIVE)


async def _beating(mongo: Mongo) -> None:
    while True:
        await mongo["checkpoints"].update_one({"_id": "order_list.g1"}, {"$inc": {"beats": 1}})
        await asyncio.sleep(0.05)


def _owned(runners: dict[str, Runner]) -> int:
    return sum(runner.owns for runner in runners.values())


async def test_processes_share_the_views_evenly_and_take_over_what_another_leaves(client: Client, mongo: Mongo) -> None:
    counts: list[tuple[int, ...]] = []

    async def shared(*processes: dict[str, Runner]) -> tuple[int, ...]:
        counts.append(tuple(_owned(one) for one in processes))
        return counts[-1]

    async with process(client, mongo, VIEWS) as first:
        await live(first)
        async with process(client, mongo, VIEWS) as second:
            await eventually(lambda: shared(first, second), lambda now: sorted(now) == [4, 5], within=30)
            async with process(client, mongo, VIEWS) as third:
                await eventually(lambda: shared(first, second, third), lambda now: now == (3, 3, 3), within=30)
                last = await append(client, new_order())
                for view in VIEWS:
                    await reached(mongo, view, last)
            await eventually(lambda: shared(first, second), lambda now: sorted(now) == [4, 5], within=30)
        await eventually(lambda: shared(first), lambda now: now == (9,), within=30)


async def test_a_paused_view_is_run_by_no_process(client: Client, mongo: Mongo) -> None:
    store = CheckpointStore(mongo)
    async with process(client, mongo, (order_list,)) as first:
        await live(first)
        async with process(client, mongo, (order_list,)) as second:
            await is_(second["order_list"], Status.STANDBY)
            await store.pause("order_list")
            await is_(first["order_list"], Status.PAUSED)
            await is_(second["order_list"], Status.PAUSED)
            await store.resume("order_list")
            last = await append(client, new_order())
            await reached(mongo, order_list, last)
