"""`python -m bench [PART …] [--quick] [--json]`: the one place that measures speed.

Starts what it needs on free ports, with embedded stores and durable settings. Without a part: all of them.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from bench import (
    commands,
    growth,
    hotpaths,
    lag,
    live,
    node,
    noisy,
    partitions,
    peer,
    projections,
    queries,
    rebuild,
    report,
    verified,
)
from bench.measuring import FULL, QUICK, Goal, Result, Size
from bench.minute import minute
from bench.running import about

PARTS: Mapping[str, Callable[[Size], Awaitable[Result]]] = {
    "commands": commands.run,
    "node": node.run,
    "projections": projections.run,
    "rebuild": rebuild.run,
    "partitions": partitions.run,
    "queries": queries.run,
    "lag": lag.run,
    "live": live.run,
    "idle": live.run_idle,
    "peer": peer.run,
    "hotpaths": hotpaths.run,
    "growth": growth.run,
    "verified": verified.run,
    "noisy": noisy.run,
}


async def measure(parts: Sequence[str], size: Size, report: Callable[[Result], None]) -> Result:
    """The results of all parts; `report` receives them after each, so that a failing part affects no other."""
    goals: list[Goal] = []
    figures: dict[str, Any] = {"about": {**about(), "rounds": size.rounds, "operations": size.operations}}
    for part in parts:
        began = time.monotonic()
        print(f"{part} …", end=" ", file=sys.stderr, flush=True)
        machine = await minute()
        result = await PARTS[part](size)
        goals += result.goals
        figures[part] = {**result.figures, "machine": machine, "took_seconds": round(time.monotonic() - began)}
        print(f"{figures[part]['took_seconds']} s", file=sys.stderr, flush=True)
        report(Result(goals, figures))
    return Result(goals, figures)


def _write(result: Result) -> None:
    report.write(result.as_json())


def _nothing(_: Result) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="within three minutes instead of twenty")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, nothing else")
    parser.add_argument("--write-docs", action="store_true", help="fill docs/performance.md and draw its plots")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - PARTS.keys():
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    report = _write if arguments.write_docs else _nothing
    result = asyncio.run(measure(arguments.parts or list(PARTS), QUICK if arguments.quick else FULL, report))
    if arguments.json:
        print(json.dumps(result.as_json()))
        return
    for goal in result.goals:
        print(goal.line())
    print(json.dumps(result.figures, indent=2))


if __name__ == "__main__":
    main()
