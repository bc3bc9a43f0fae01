"""What a run of the demo came to, and what its parts share."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

AT_ONCE = 32
DEADLINE = 60.0  # seconds for one command, over all tries, and for views and processes to move at all
NAMES = UUID("6f0d1c4e-6a55-5b0e-9d6e-0c6f7a9f2b11")  # ids are derived, so the demo may be run again on the same data

Progress = Callable[[str, int, int], None]  # what, done, of


def derived(*parts: object) -> str:
    return str(uuid5(NAMES, ":".join(map(str, parts))))


@dataclass(slots=True)
class Outcome:
    """What was sent, and what the proof found. `processes` are counted by how they fared.

    `price_changes` are those of products, and of lines that were drafted at a price from before.
    `failures` are the attempts of processes at a step that came to nothing. Only placed orders are counted in
    `orders_without_process`. `refunds_retried` were asked for because an earlier try had failed; `refunds_failed` are
    debts that no try has settled. `money_owed` is in cents, of all orders together.
    """

    users: int = 0
    products: int = 0
    price_changes: int = 0
    orders: int = 0
    lines: int = 0
    commands: int = 0
    events: int = 0
    streams: int = 0
    documents: int = 0
    processes: Counter[str] = field(default_factory=Counter)
    orders_without_process: int = 0
    parcels_lost: int = 0
    parcels_refused: int = 0
    authorisations_lapsed: int = 0
    failures: int = 0
    refunds_retried: int = 0
    refunds_failed: int = 0
    money_owed: int = 0
    differences: list[str] = field(default_factory=list)
    seconds: float = 0.0
    left_out: Counter[str] = field(default_factory=Counter)


async def all_of(progress: Progress, what: str, jobs: Sequence[Callable[[], Any]]) -> None:
    places = asyncio.Semaphore(AT_ONCE)
    done = 0

    async def one(job: Callable[[], Any]) -> None:
        nonlocal done
        async with places:
            await job()
        done += 1
        progress(what, done, len(jobs))

    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(one(job))
