"""A view with several workers against one: events a second while catching up. A figure, no goal.

The workers share this process, as they do in a projection process; each receives every event and folds its keys.
"""

import asyncio
import time
from functools import partial
from typing import Any

from pymongo import AsyncMongoClient
from uuid_utils import uuid7

from bench.history import write_orders
from bench.measuring import Result, Size, interleaved, median
from bench.running import fresh_stack
from core.eventstore.connection import connect
from core.readmodel.views.order_list import order_list
from projections.config import Settings
from projections.engine.host import Host
from projections.engine.runner import Runner
from projections.stores import Stores

WORKERS = (1, 2, 4)
LOOK_EVERY = 0.005  # seconds


async def run(size: Size) -> Result:
    async with fresh_stack() as running:
        for name in ("projections", "queries", "commands"):
            await running.members[name].stop()
        history = await write_orders(running.eventstore_uri, max(40, size.operations))
        client = await connect(running.eventstore_uri)
        async with AsyncMongoClient[dict[str, Any]](running.members["mongo"].ready["uri"]) as mongo:

            async def rate(workers: int) -> float:
                database = mongo[f"bench_{uuid7().hex}"]
                began = time.perf_counter()
                host = Host([order_list], Stores.of(client, database), Settings())
                runners = [Runner(order_list, host, Settings(), part=part, parts=workers) for part in range(workers)]
                async with host.running(), asyncio.TaskGroup() as group:
                    for runner in runners:
                        group.create_task(runner.run())
                    while not all(_come_to(runner, history.head) for runner in runners):  # noqa: ASYNC110  # a watcher
                        await asyncio.sleep(LOOK_EVERY)
                    for runner in runners:
                        runner.stop()
                seconds = time.perf_counter() - began
                await mongo.drop_database(database)
                return history.events / seconds

            rates = await interleaved({str(workers): partial(rate, workers) for workers in WORKERS}, size.rounds)
        await client.close()
    per_second = {workers: median(values) for workers, values in rates.items()}
    return Result([], {"events": history.events, "events_per_second_by_workers": per_second})


def _come_to(runner: Runner, head: int) -> bool:
    return runner.checkpoint is not None and runner.checkpoint.position >= head
