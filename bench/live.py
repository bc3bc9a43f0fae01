"""The cost of a low load: CPU per event of every process at some orders a second, and of a stack without work.

An order is created and read back with the token of its command; its events are counted by the revision that the command
answered. All views and the processes of orders run. `idle` is the same stack with nothing to do.
"""

import asyncio
import statistics
import time
from typing import Any

from esdbclient.asyncio_client import AsyncEventStoreDBClient

from bench.lag import Shop, opened
from bench.measuring import Result, Size, at_most, latency_summary, median, open_loop, schedule
from bench.processes import Meter
from bench.running import fresh_stack, pids
from client.local.processor_time import cpu_seconds
from client.local.stack import Stack

LOADS = (5, 20, 80)  # orders a second
GOAL_LOAD = 20
MILLISECONDS_PER_EVENT = 2.5
IDLE_MILLISECONDS = 20.0  # per second
LAST_MILLISECONDS = 0.5
SETTLE = 5.0  # seconds after a start, until caches and connections are as they stay


async def run(size: Size) -> Result:
    async with fresh_stack(processes=True) as running:
        shop = await opened(running.addresses)
        await at_load(running, shop, GOAL_LOAD, size.seconds)  # warm
        rounds: list[float] = []
        by_load: list[dict[str, Any]] = []
        for _ in range(size.rounds):
            by_load = [await at_load(running, shop, load, size.seconds) for load in LOADS]
            [at_goal] = [one for one in by_load if one["orders_per_second"] == GOAL_LOAD]
            rounds.append(sum(at_goal["cpu_us_per_event"].values()) / 1_000)
        last = await _last_event(running, size)
        await shop.close()
    return Result(
        [
            at_most("live", f"ms of CPU per event at {GOAL_LOAD} orders/s", rounds, MILLISECONDS_PER_EVENT),
            at_most("last", "ms of CPU of the node for the last event of the log", last, LAST_MILLISECONDS),
        ],
        {"by_load": by_load, "last_event_ms": median(last, 3)},
    )


async def at_load(running: Stack, shop: Shop, per_second: float, seconds: float) -> dict[str, Any]:
    """The lag at this many orders a second, and what an event costs in each process."""
    meter, due = Meter(pids(running, *running.members)), schedule(per_second, seconds)
    shop.lags.clear()
    shop.events = 0
    meter.start()
    await open_loop(shop.create_and_see, due)
    meter.stop(shop.events)
    costs = {name: cost for name, cost in meter.per_operation().items() if name != "bench"}
    return {
        "orders_per_second": per_second,
        "lag": latency_summary(shop.lags),
        "events": shop.events,
        "cpu_us_per_event": costs,
    }


async def _last_event(running: Stack, size: Size) -> list[float]:
    """Milliseconds of the node's CPU for each read, by round."""
    client = AsyncEventStoreDBClient(running.eventstore_uri)
    await client.connect()
    found = []
    try:
        for _ in range(size.rounds):
            meter, times = Meter(pids(running, "eventstore")), max(20, size.operations)
            meter.start()
            for _ in range(times):
                assert [one async for one in await client.read_all(backwards=True, limit=1)]
            meter.stop(times)
            found.append(meter.per_operation()["eventstore"] / 1_000)
    finally:
        await client.close()
    return found


async def run_idle(size: Size) -> Result:
    """Nothing is asked of the stack. Each round is long, since the clock of a process ticks in hundredths."""
    async with fresh_stack(processes=True) as running:
        await opened(running.addresses)
        await asyncio.sleep(min(SETTLE, 5 * size.seconds))
        rounds = [await _idle(running, 5 * size.seconds) for _ in range(min(3, size.rounds))]
    by_process = {name: median([one[name] for one in rounds], 1) for name in running.members}
    return Result(
        [at_most("idle", "ms of CPU a second without work", [sum(one.values()) for one in rounds], IDLE_MILLISECONDS)],
        {"cpu_ms_per_second": by_process, "all": round(statistics.median(sum(one.values()) for one in rounds), 1)},
    )


async def _idle(running: Stack, seconds: float) -> dict[str, float]:
    members = pids(running, *running.members)
    before, began = {name: cpu_seconds(pid) for name, pid in members.items()}, time.monotonic()
    await asyncio.sleep(seconds)
    took = time.monotonic() - began
    return {name: (cpu_seconds(pid) - before[name]) * 1_000 / took for name, pid in members.items()}
