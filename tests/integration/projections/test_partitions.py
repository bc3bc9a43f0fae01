"""A view split over several workers: each key's events in order, a token waits for the slowest of them."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from core.eventstore.connection import Client
from core.eventstore.consistency_token import to_token
from core.eventstore.log import EventLog
from core.failures import NotFreshEnough
from core.readmodel.checkpoints import CheckpointStore
from core.readmodel.views.order_list import order_list
from core.readmodel.views.sales_daily import sales_daily
from projections.engine import live_group
from projections.engine.applier import Partition
from projections.engine.runner import Runner
from protos.operations.v1 import projections_pb2 as pb
from server.queries.freshness import FreshViews
from tests.support.eventually import eventually
from tests.support.orders import cancelled
from tests.support.processes import running
from tests.support.viewing import fold
from tests.support.views import QUICK, Operator, append, append_broken, documents, new_order, reached, supervised

Mongo = AsyncDatabase[Any]
THREE = QUICK.model_copy(update={"partitions": {"order_list": 3, "sales_daily": 3}})


@pytest.fixture
def own_log() -> Iterator[str]:
    """An empty log for each test: what is folded is what the test wrote."""
    with running("embedded", "eventstore", "--port", "0", "--memory") as store:
        yield store.ready["uri"]


class Waiting:
    """A call whose caller waits for half a second."""

    def time_remaining(self) -> float:
        return 0.5


def test_every_key_is_one_worker_s() -> None:
    keys = [new_order()[0].order_id for _ in range(200)]
    owners = [[part for part in range(3) if Partition(part, 3).owns(key)] for key in keys]
    assert {len(parts) for parts in owners} == {1}
    assert {parts[0] for parts in owners} == {0, 1, 2}
    assert all(Partition().owns(key) for key in keys)


@pytest.mark.parametrize("view", [order_list, sales_daily], ids=lambda view: view.name)
async def test_several_workers_make_what_one_makes(client: Client, mongo: Mongo, view: Any) -> None:
    events: list[Any] = []
    operator = Operator(view, client, mongo, THREE)
    async with supervised(view, client, mongo, THREE) as supervisor:
        for n in range(30):
            order: list[Any] = new_order(quantity=n % 4 + 1)
            if n % 3 == 0:
                order.append(replace(cancelled(), order_id=order[0].order_id, units=n % 4 + 1))
            events += order
            last = await append(client, order)
        await reached(mongo, view, last)
        assert len(supervisor.runners.live) == 3
        assert await documents(mongo, view) == fold(view, events)
        ended = await operator.rebuilt()
        assert (ended.switched, ended.differences) == (True, 0)
        assert await documents(mongo, view, 2) == fold(view, events)


async def test_a_token_waits_for_the_slowest_worker(
    client: Client, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = CheckpointStore(mongo)
    fresh = FreshViews(state, {"order_list": "order-.*"}, EventLog(client))
    async with supervised(order_list, client, mongo, THREE):
        last = await append(client, new_order())
        await reached(mongo, order_list, last)
        apply, goes_on = Runner.apply, asyncio.Event()

        async def stands_still(runner: Runner, *arguments: Any) -> None:
            if runner.part == 1:
                await goes_on.wait()
            await apply(runner, *arguments)

        monkeypatch.setattr(Runner, "apply", stands_still)
        monkeypatch.setattr(live_group, "PATIENCE", 0.1)
        last = await append(client, new_order())
        pointer = await state.generations.get("order_list")

        async def furthest() -> int:
            return max(part.position for part in await state.parts(pointer, 1))

        try:
            await eventually(furthest, lambda now: now >= last)
            with pytest.raises(NotFreshEnough):
                await fresh.at_least("order_list", to_token(last), Waiting())
        finally:
            goes_on.set()
        await reached(mongo, order_list, last)


async def test_what_cannot_be_read_is_parked_once_for_every_reader(client: Client, mongo: Mongo) -> None:
    """Nobody knows whose key it would have been, so every worker holds the stream back; one skip lets all go on."""
    operator = Operator(order_list, client, mongo, THREE)
    async with supervised(order_list, client, mongo, THREE):
        order = new_order()
        await append(client, order[:2])
        await append_broken(client, order[0].order_id)
        last = await append(client, order[2:])
        await reached(mongo, order_list, last)
        parked = await operator.changes.parked(await operator.pointer())
        assert [(one.failed.stream, one.failed.revision) for one in parked] == [(f"order-{order[0].order_id}", 2)]
        done, _ = await operator.outcome(skip=pb.SkipParked(stream=f"order-{order[0].order_id}"))
        assert done
        assert await operator.changes.parked(await operator.pointer()) == []
        assert (await documents(mongo, order_list))[order[0].order_id]["status"] == "CONFIRMED"


async def test_the_number_of_workers_changes_with_the_next_generation(client: Client, mongo: Mongo) -> None:
    async with supervised(order_list, client, mongo, QUICK):
        last = await append(client, new_order())
        await reached(mongo, order_list, last)
    operator = Operator(order_list, client, mongo, THREE)
    async with supervised(order_list, client, mongo, THREE) as supervisor:
        await eventually(operator.pointer, lambda now: bool(now.made))
        assert (await operator.pointer()).info(1).partitions == 1, "a generation keeps the number it was made by"
        await operator.rebuilt()
        assert (await operator.pointer()).info(2).partitions == 3

        async def live() -> int:
            return len(supervisor.runners.live)

        await eventually(live, lambda now: now == 3)
