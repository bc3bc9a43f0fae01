"""The outcome of a run of the demo, and what its parts share."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

from client.sdk.errors import Unavailable

AT_ONCE = 32
NAMES = UUID("6f0d1c4e-6a55-5b0e-9d6e-0c6f7a9f2b11")  # ids are derived, so the demo may be run again on the same data
LEAST_PATIENCE, MAX_PATIENCE = 60.0, 900.0  # seconds
LEAST_TRY = 1.0  # seconds
LONGER_THAN_SEEN = 20  # times the slowest answer so far

Progress = Callable[[str, int, int], None]  # name, done, total


@dataclass(slots=True)
class Patience:
    """Seconds for one command over all attempts, and for views and processes to make any progress.

    They grow with the slowest answer so far: on an overloaded machine everything takes longer, and nothing is wrong.
    """

    seconds: float = LEAST_PATIENCE

    def took(self, seconds: float) -> None:
        self.seconds = min(MAX_PATIENCE, max(self.seconds, LONGER_THAN_SEEN * seconds))

    async def ask(self, call: Callable[..., Awaitable[Any]], **fields: Any) -> Any:
        """The reply. A server cuts deadlines that are too long for it; so a call that was too late is repeated.

        That is safe for queries, and for commands, which keep their request_id.
        """
        began = time.monotonic()
        while True:
            tried = time.monotonic()
            left = max(LEAST_TRY, began + self.seconds - tried)
            try:
                reply = await call(deadline=left, **fields)
            except Unavailable:
                if time.monotonic() - began >= self.seconds:
                    raise
            else:
                self.took(time.monotonic() - tried)
                return reply


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a run. With its own name, its data is separate from all other data in the log."""

    run: str = ""

    def id_of(self, *parts: object) -> str:
        return str(uuid5(NAMES, ":".join(map(str, (self.run, *parts) if self.run else parts))))

    def email_of(self, household: int) -> str:
        return f"household-{household}@{f'{self.run}.' if self.run else ''}example.org"

    def sku_of(self, sku: str) -> str:
        return f"{self.run}-{sku}" if self.run else sku


OF_ALL_RUNS = Names()


@dataclass(slots=True)
class Outcome:
    """What was sent, and what the proof found. `processes` are counted by their outcome.

    `price_changes` are those of products, and of lines that were drafted at an earlier price. `failures` are the failed
    attempts of processes at a step. Only placed orders are counted in `orders_without_process`. `refunds_retried` were
    requested because an earlier attempt had failed; `refunds_failed` are debts that no attempt has settled.
    `money_owed` is in cents, of all orders together. `cpu_seconds` has the processor time of each process until the end
    of the proof.
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
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def cpu_per_1000_events(self) -> float:
        """Seconds of all processes together; the demo itself is one of them."""
        return round(1_000 * sum(self.cpu_seconds.values()) / self.events, 2) if self.events else 0.0


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
