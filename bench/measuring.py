"""Measurement for every part of the bench: rounds that interleave both sides, ratios per round, latencies.

Absolute figures belong to one machine and one moment. A goal is a ratio: both sides run in the same rounds, the ratio
is taken round by round, and its median is reported with the lowest and the highest.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Operation = Callable[[], Awaitable[object]]
Side = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is done: rounds of each comparison, operations per side and round, seconds of open load."""

    rounds: int
    operations: int
    seconds: float
    events: tuple[int, ...]  # sizes of the log, for what depends on it


FULL = Size(rounds=5, operations=1_200, seconds=8.0, events=(10_000, 100_000, 1_000_000))
QUICK = Size(rounds=5, operations=250, seconds=1.0, events=(1_000, 10_000))
SMALLEST = Size(rounds=1, operations=20, seconds=0.5, events=(200,))  # does it work at all


@dataclass(frozen=True, slots=True)
class Goal:
    """One row of the goals. `ratio` is the median over the rounds; None where it could not be measured."""

    id: str
    what: str
    ratio: float | None
    low: float | None
    high: float | None
    goal: float
    holds: bool | None
    why_not: str = ""

    def line(self) -> str:
        if self.ratio is None:
            return f"{self.id}  {self.what}: not measured, {self.why_not}"
        verdict = "holds" if self.holds else "DOES NOT HOLD"
        return f"{self.id}  {self.what}: {self.ratio:g} ({self.low:g} to {self.high:g}), goal {self.goal:g}: {verdict}"


@dataclass(frozen=True, slots=True)
class Result:
    """What a part found: goals, and figures by name."""

    goals: Sequence[Goal]
    figures: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {"goals": [asdict(goal) for goal in self.goals], "figures": dict(self.figures)}


def at_least(id_: str, what: str, ratios: Sequence[float], wanted: float) -> Goal:
    return _goal(id_, what, ratios, wanted, statistics.median(ratios) >= wanted)


def at_most(id_: str, what: str, ratios: Sequence[float], wanted: float) -> Goal:
    return _goal(id_, what, ratios, wanted, statistics.median(ratios) <= wanted)


def not_measured(id_: str, what: str, wanted: float, why_not: str) -> Goal:
    return Goal(id_, what, None, None, None, wanted, holds=None, why_not=why_not)


def _goal(id_: str, what: str, ratios: Sequence[float], wanted: float, holds: bool) -> Goal:  # noqa: FBT001  # of a row
    low, high = min(ratios), max(ratios)
    return Goal(id_, what, round(statistics.median(ratios), 3), round(low, 3), round(high, 3), wanted, holds)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(ours, theirs, strict=True)]


async def interleaved(sides: Mapping[str, Side], rounds: int) -> dict[str, list[float]]:
    """What each side gave, by round. The order turns around every round; a first one warms up and is left out."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name in list(sides)[:: 1 if number % 2 else -1]:
            found[name].append(await sides[name]())
    return {name: values[1:] for name, values in found.items()}


async def rate(operation: Operation, times: int, at_once: int) -> float:
    """Operations a second with so many in flight."""
    return times / await _closed(operation, times, at_once, [])


async def latencies(operation: Operation, times: int, at_once: int = 1) -> list[float]:
    """Seconds each operation took, with so many in flight all the time."""
    taken: list[float] = []
    await _closed(operation, times, at_once, taken)
    return taken


async def _closed(operation: Operation, times: int, at_once: int, taken: list[float]) -> float:
    left = iter(range(times))

    async def worker() -> None:
        for _ in left:
            began = time.perf_counter()
            await operation()
            taken.append(time.perf_counter() - began)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, times)):
            group.create_task(worker())
    return time.perf_counter() - began


def schedule(per_second: float, seconds: float) -> list[float]:
    """When each call of an open load is due, in seconds from its beginning."""
    return [number / per_second for number in range(int(per_second * seconds))]


async def open_loop(
    operation: Operation, due: Sequence[float], clock: Callable[[], float] = time.monotonic
) -> list[float]:
    """Latencies of a load that does not wait for answers, each from the moment the call was *due*.

    A system that stalls is charged for every call that should have been made meanwhile (no coordinated omission).
    """
    taken: list[float] = []

    async def one(at: float) -> None:
        await operation()
        taken.append(clock() - at)

    began = clock()
    async with asyncio.TaskGroup() as group:
        for offset in due:
            at = began + offset
            await asyncio.sleep(max(0.0, at - clock()))
            group.create_task(one(at))
    return taken


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def latency_summary(seconds: Sequence[float]) -> dict[str, float]:
    """Latencies in the form of the bench, in milliseconds."""
    return {
        f"p{name}_ms": round(percentile(seconds, share) * 1000, 3)
        for name, share in (("50", 0.5), ("99", 0.99), ("99.9", 0.999))
    }


def median(values: Sequence[float], digits: int = 0) -> float:
    middle = statistics.median(values)
    return round(middle, digits) if digits else round(middle)
