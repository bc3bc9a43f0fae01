"""`python -m bench.compare OTHER`: two checkouts side by side, in the same run.

OTHER is another checkout with its own `.venv`, made by `make .venv/.installed` there. Each one runs its own
`orderstream up`; the load comes from this checkout, over the contract. Rounds are interleaved and begin with an empty
stack each.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bench.lag import Shop, opened
from bench.live import GOAL_LOAD, SETTLE
from bench.measuring import median, open_loop, percentile, schedule
from client.local.processor_time import cpu_seconds
from client.local.stack import unused_port
from client.sdk import Addresses, OrderstreamClient, OrderstreamError

HERE = Path(__file__).parent.parent
ROLES = ("commands", "queries", "projections", "processes")
STORES = ("eventstore", "mongo")
READY_WITHIN, STOP_WITHIN = 120.0, 30.0  # seconds
LOOK_EVERY = 0.05  # seconds
IDLE_FOR, LIVE_FOR = 15.0, 8.0  # seconds


@asynccontextmanager
async def up(checkout: Path) -> AsyncIterator[tuple[Process, Addresses, float]]:
    """Its complete stack, empty, and the seconds until every service answered."""
    ports = {name: unused_port() for name in (*ROLES, *STORES)}
    options = [word for name, port in ports.items() for word in (f"--{name}-port", str(port))]
    program = checkout / ".venv" / "bin" / "orderstream"
    with tempfile.TemporaryDirectory(prefix="orderstream-compare-") as data:
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            program, "up", "--data", data, *options, cwd=checkout, stdout=DEVNULL, stderr=DEVNULL
        )
        try:
            addresses = Addresses(**{name: f"127.0.0.1:{ports[name]}" for name in ROLES})
            await _answering(process, addresses)
            yield process, addresses, time.monotonic() - began
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), STOP_WITHIN)


async def _answering(process: Process, addresses: Addresses) -> None:
    async with OrderstreamClient(addresses, deadline=2.0) as shop, asyncio.timeout(READY_WITHIN):
        for ask in (shop.orders.ListOrders, shop.operations.ListProjections, shop.processes.ListProcesses):
            while True:
                try:
                    await ask()
                    break
                except OrderstreamError:
                    if process.returncode is not None:
                        raise RuntimeError(f"it ended with exit code {process.returncode}") from None
                    await asyncio.sleep(LOOK_EVERY)


async def measured(checkout: Path) -> dict[str, float]:
    """One round of a checkout. CPU is that of all processes of its stack."""
    async with up(checkout) as (process, addresses, ready):
        shop = await opened(addresses)
        await _load(shop)  # warm
        await asyncio.sleep(SETTLE)
        before = cpu_seconds(process.pid)
        await asyncio.sleep(IDLE_FOR)
        idle = (cpu_seconds(process.pid) - before) / IDLE_FOR
        before = cpu_seconds(process.pid)
        await _load(shop)
        live = cpu_seconds(process.pid) - before
        await shop.close()
        return {
            "ready, s": ready,
            "idle, ms of CPU a second": idle * 1e3,
            f"an event at {GOAL_LOAD} orders/s, ms of CPU": live / shop.events * 1e3,
            f"own order visible at {GOAL_LOAD} orders/s, p50, ms": percentile(shop.lags, 0.5) * 1e3,
            f"own order visible at {GOAL_LOAD} orders/s, p99, ms": percentile(shop.lags, 0.99) * 1e3,
        }


async def _load(shop: Shop) -> None:
    shop.lags.clear()
    shop.events = 0
    await open_loop(shop.create_and_see, schedule(GOAL_LOAD, LIVE_FOR))


async def compared(checkouts: Mapping[str, Path], rounds: int) -> dict[str, dict[str, list[float]]]:
    """By figure and checkout, the values of all rounds."""
    found: dict[str, dict[str, list[float]]] = {}
    for number in range(rounds):
        for name in list(checkouts)[:: 1 if number % 2 else -1]:
            print(f"round {number + 1} of {rounds}: {name} …", file=sys.stderr, flush=True)
            for what, value in (await measured(checkouts[name])).items():
                found.setdefault(what, {}).setdefault(name, []).append(value)
    return found


def table(found: Mapping[str, Mapping[str, list[float]]]) -> str:
    rows = ["| | other | this |", "|---|---|---|"]
    for what, sides in found.items():
        cells = [
            f"{median(values, 1)} ({min(values):.1f} to {max(values):.1f})"
            for values in map(sides.get, ("other", "this"))
            if values
        ]
        rows.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("other", type=Path, help="another checkout, with its .venv")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="the values of all rounds, as one JSON object")
    arguments = parser.parse_args()
    other = arguments.other.resolve()
    if not (other / ".venv" / "bin" / "orderstream").exists():
        parser.error(f"{other} has no .venv/bin/orderstream; run make .venv/.installed there")
    found = asyncio.run(compared({"other": other, "this": HERE}, arguments.rounds))
    print(json.dumps(found) if arguments.json else table(found))


if __name__ == "__main__":
    main()
