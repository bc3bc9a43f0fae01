"""`make bench`, or `python -m bench [--json]`: commands through the service against raw appends, same node, same run.
`python -m bench node [--quick]`: the embedded node alone.

Both sides are interleaved over several rounds; the ratio is taken round by round and the median told with its spread.
Absolute figures belong to one machine and one moment.
"""

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from esdbclient import NewEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from uuid_utils import uuid7

from bench import node
from client.sdk import OrderstreamClient
from client.stack import stack

ROUNDS = 5
AT_ONCE = 128
OPERATIONS = 1_000  # per side and round
PACKAGES = ("grpcio", "esdbclient", "pymongo", "SecantusDB")

Operation = Callable[[], Awaitable[Any]]


async def rate(operation: Operation) -> float:
    """Operations a second with AT_ONCE in flight."""
    left = iter(range(OPERATIONS))

    async def worker() -> None:
        for _ in left:
            await operation()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return OPERATIONS / (time.perf_counter() - started)


async def median_latency(operation: Operation, times: int = 200) -> float:
    """Seconds, one at a time."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        await operation()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


async def measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="orderstream-bench-") as data:
        async with stack(Path(data)) as running, OrderstreamClient(running.addresses, deadline=60.0) as shop:
            await running.members["projections"].stop()  # the write side alone
            raw = AsyncEventStoreDBClient(running.members["eventstore"].ready["uri"])
            await raw.connect()

            async def command() -> None:
                await shop.users.RegisterUser(name="Ann", email="ann@example.org")

            async def append() -> None:
                event = NewEvent(type="UserRegistered", data=b'{"name":"Ann","email":"ann@example.org"}')
                await raw.append_to_stream(f"raw-{uuid7()}", current_version=StreamState.NO_STREAM, events=[event])

            await rate(command), await rate(append)  # warm
            rates, latencies = [], []
            for _ in range(ROUNDS):
                rates.append((await rate(command), await rate(append)))
                latencies.append((await median_latency(command), await median_latency(append)))
            await raw.close()
    return {
        "goals": [
            goal("G1", f"commands/s over raw appends/s at {AT_ONCE} at once", rates, 1.10, at_least=True),
            goal("G2", "command p50 over raw append p50, one at a time", latencies, 1.0, at_least=False),
        ],
        "figures": {
            "commands_per_second": round(statistics.median(a for a, _ in rates)),
            "appends_per_second": round(statistics.median(b for _, b in rates)),
            "command_p50_ms": round(statistics.median(a for a, _ in latencies) * 1000, 3),
            "append_p50_ms": round(statistics.median(b for _, b in latencies) * 1000, 3),
            "rounds": ROUNDS,
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        },
    }


def goal(id_: str, what: str, pairs: list[tuple[float, float]], wanted: float, *, at_least: bool) -> dict[str, Any]:
    ratios = sorted(a / b for a, b in pairs)
    ratio = statistics.median(ratios)
    return {
        "id": id_,
        "what": what,
        "ratio": round(ratio, 3),
        "low": round(ratios[0], 3),
        "high": round(ratios[-1], 3),
        "goal": wanted,
        "holds": ratio >= wanted if at_least else ratio <= wanted,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parts = parser.add_subparsers(dest="part")
    of_node = parts.add_parser("node", help="the embedded node: appends, reads, subscriptions, memory, start-up")
    of_node.add_argument("--quick", action="store_true", help="fewer rounds, and a log of 10,000 events only")
    arguments = parser.parse_args()
    if arguments.part == "node":
        print(json.dumps(node.run(quick=arguments.quick), indent=2))
        return
    result = asyncio.run(measure())
    if arguments.json:
        print(json.dumps(result))
        return
    for x in result["goals"]:
        verdict = "holds" if x["holds"] else "DOES NOT HOLD"
        print(f"{x['id']}  {x['what']}: {x['ratio']} ({x['low']} to {x['high']}), goal {x['goal']}: {verdict}")
    print(json.dumps(result["figures"], indent=2))


if __name__ == "__main__":
    main()
