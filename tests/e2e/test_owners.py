"""Projection processes whose owner of a view is killed or stopped at random: one owner, nothing counted twice."""

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from operator import le, ne
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from uuid_utils import uuid7

from core.eventstore.connection import Client, connect
from core.readmodel.checkpoints import CheckpointStore, Lease
from core.readmodel.view import View
from core.readmodel.views.customer_orders import customer_orders
from core.readmodel.views.order_detail import order_detail
from core.readmodel.views.order_list import order_list
from core.readmodel.views.order_timeline import order_timeline
from core.readmodel.views.sales_daily import sales_daily
from tests.support.eventually import eventually
from tests.support.orders import cancelled
from tests.support.processes import Running, running
from tests.support.viewing import fold
from tests.support.views import append, documents, new_order, reached

LONG = pytest.mark.long
LEASE = 1.0  # seconds
OF_ORDERS = (order_list, order_detail, order_timeline, customer_orders, sales_daily)


@dataclass
class Scene:
    """Stores, the events written so far, and how to start a projection process on them."""

    client: Client
    mongo: AsyncDatabase[Any]
    environment: dict[str, str]
    events: list[Any] = field(default_factory=list)
    last: int = 0

    async def lease(self) -> Lease:
        return await CheckpointStore(self.mongo).lease("sales_daily", 1) or Lease(owner="", epoch=0, heartbeats=0)

    async def owner(self) -> int:
        """The owner's pid; 0: there is none."""
        owner = (await self.lease()).owner
        return int(owner.split(":")[1]) if owner else 0

    async def position(self) -> int:
        """How far the view is."""
        checkpoint = await CheckpointStore(self.mongo).checkpoint("sales_daily")
        return 0 if checkpoint is None else checkpoint.position

    async def written(self) -> int:
        """How many documents a view has; they are there before its checkpoint says so."""
        return await self.mongo["order_list.g1"].count_documents({})

    async def write(self, stop: asyncio.Event) -> None:
        """Orders, one in three cancelled, until stopped."""
        while not stop.is_set():
            order: list[Any] = new_order(quantity=random.randint(1, 5))
            if random.random() < 0.3:
                order.append(replace(cancelled(), order_id=order[0].order_id, units=order[1].quantity))
            self.last = await append(self.client, order)
            self.events += order

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        writing = asyncio.create_task(self.write(stop))
        try:
            yield
        finally:
            stop.set()
            await writing

    async def holds(self, views: tuple[View[Any], ...] = (sales_daily,)) -> None:
        """The views are what the log says, whichever process wrote them."""
        for view in views:
            await reached(self.mongo, view, self.last)
            assert await documents(self.mongo, view) == fold(view, self.events)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    with (
        running("embedded", "eventstore", "--port", "0", "--memory") as log,
        running("embedded", "mongo", "--port", "0") as views,
    ):
        database = f"owners_{uuid7().hex}"
        environment = {
            "ORDERSTREAM_EVENTSTORE_URI": log.ready["uri"],
            "ORDERSTREAM_MONGO_URI": views.ready["uri"],
            "ORDERSTREAM_MONGO_DATABASE": database,
            "ORDERSTREAM_VIEWS": '["sales_daily"]',
            "ORDERSTREAM_LEASE": str(LEASE),
            "ORDERSTREAM_HEARTBEAT": "0.2",
        }
        client = await connect(log.ready["uri"])
        async with AsyncMongoClient[dict[str, Any]](views.ready["uri"]) as mongo:
            yield Scene(client, mongo[database], environment)
        await client.close()


def taken_from(pid: int, lease: Lease) -> bool:
    return bool(lease.owner) and f":{pid}:" not in lease.owner


@contextmanager
def projections(scene: Scene, number: int) -> Iterator[dict[int, Running]]:
    """So many processes, by pid; a test that stops one lets it go on again."""
    started = [Running("projections", "--port", "0", environment=scene.environment) for _ in range(number)]
    by_pid = {one.process.pid: one for one in started}
    try:
        yield by_pid
    finally:
        for one in by_pid.values():
            one.close()


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("rounds", [2, pytest.param(50, marks=LONG)])
async def test_three_processes_one_owner_whichever_is_killed_or_stopped(scene: Scene, rounds: int) -> None:
    took: dict[str, list[float]] = {"killed": [], "stopped": []}
    owners: dict[int, str] = {}
    with projections(scene, 3) as processes:
        async with scene.load():
            for number in range(rounds):
                owner = await eventually(scene.owner, lambda pid: pid in processes, within=60)
                what = "killed" if number % 2 else "stopped"
                started = time.monotonic()
                if what == "killed":
                    processes[owner].kill()
                else:
                    os.kill(owner, signal.SIGSTOP)
                lease = await eventually(scene.lease, partial(taken_from, owner), within=60)
                took[what].append(time.monotonic() - started)
                assert owners.setdefault(lease.epoch, lease.owner) == lease.owner, "one owner in each epoch"
                if what == "killed":
                    victim = processes.pop(owner)
                    victim.start()
                    processes[victim.process.pid] = victim
                else:
                    os.kill(owner, signal.SIGCONT)
        await scene.holds()
    assert len(owners) == rounds, "each time another took over, under an epoch of its own"
    for what, seconds in took.items():
        print(f"{what}: taken over after {max(seconds):.2f} s at most, lease {LEASE} s")  # noqa: T201  # a figure to read


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=LONG)])
async def test_all_views_of_a_process_are_right_after_kills_in_the_midst_of_a_batch(scene: Scene, kills: int) -> None:
    """Killed between the documents of a batch and the one write of all checkpoints, and at any other moment."""
    scene.environment["ORDERSTREAM_VIEWS"] = json.dumps([view.name for view in OF_ORDERS])
    with projections(scene, 1) as processes:
        [process] = processes.values()
        async with scene.load():
            for _ in range(kills):
                seen = scene.last
                await eventually(scene.position, partial(le, seen + 1), within=60)
                before = await scene.written()
                await eventually(scene.written, partial(ne, before), within=60)
                process.kill()
                process.start()
        await scene.holds(OF_ORDERS)


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("kills", [3, pytest.param(200, marks=LONG)])
async def test_a_counter_is_right_after_random_kills(scene: Scene, kills: int) -> None:
    with projections(scene, 1) as processes:
        [process] = processes.values()
        async with scene.load():
            for _ in range(kills):
                seen = scene.last
                more = random.randint(1, 20)
                await eventually(scene.position, partial(le, seen + more), within=60)
                process.kill()
                process.start()
        await scene.holds()
