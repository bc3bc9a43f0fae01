"""What the projection processes know of each other: who is alive, and who runs which part of which view.

Each process has one heartbeat, whatever it runs: a count that others see move. They measure with their own monotonic
clock for how long it has not moved; wall clocks are never compared. All of it is one document, read once for all parts
of a process (`core.readmodel.checkpoints`).

Parts are shared out evenly. A process takes a free part if no other process that wants it runs fewer. It gives one away
as soon as such a process runs at least two fewer.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog
from pymongo.errors import PyMongoError

from core.background import beside
from core.error_text import error_text
from core.readmodel.checkpoints import CheckpointStore, LeaseTable, ProcessEntry, process_key
from core.recent import Recent

log = structlog.get_logger()

FORGET_AFTER = 20  # times the lease that a process was silent
LOOK_WHILE_ALONE = 3  # heartbeats between two looks for other processes, while none is known


class Membership:
    """Of one process, `owner`. `heartbeat` and `lease` are in seconds."""

    def __init__(self, store: CheckpointStore, owner: str, heartbeat: float, lease: float) -> None:
        self.owner = owner
        self._store = store
        self._heartbeat = heartbeat
        self._lease = lease
        self._table = Recent(self._read, min(heartbeat / 2, lease / 10))
        self._moved: dict[str, tuple[int, float]] = {}  # the heartbeats of a process, and when they last moved
        self._free_since: dict[str, float] = {}
        self._wanted: dict[str, Callable[[], None]] = {}
        self._owned: set[str] = set()
        self._published: frozenset[str] | None = None
        self._beaten_at = float("-inf")

    # ------------------------------------------------------------------ this process

    def want(self, key: str, give_away: Callable[[], None]) -> None:
        """This process would run the part. `give_away` is called when it runs it and another should."""
        self._wanted[key] = give_away

    def unwant(self, key: str) -> None:
        self._wanted.pop(key, None)
        self._owned.discard(key)

    def took(self, key: str) -> None:
        self._owned.add(key)
        self.is_taken(key)
        self._table.forget()

    def lost(self, key: str) -> None:
        self._owned.discard(key)
        self._table.forget()

    def has_beaten(self) -> None:
        """A checkpoint was written, which is a heartbeat too."""
        self._beaten_at = time.monotonic()

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        """While this is open, the process has a heartbeat, and gives parts away that others should run."""
        async with beside(self._keep_alive()):
            yield
        with suppress(PyMongoError):  # then the others find out by its silence
            entry = (await self._store.leases()).processes.get(process_key(self.owner))
            if entry is not None:
                await self._store.leave(entry)

    async def _keep_alive(self) -> None:
        for number in itertools.count():
            try:
                await self._beat()
                if number % LOOK_WHILE_ALONE == 0 or len(self._moved) > 1:
                    await self._give_away()
            except PyMongoError as error:  # without a heartbeat the others take over
                log.warning("no heartbeat", error=error_text(error))
            await asyncio.sleep(self._heartbeat)

    async def _beat(self) -> None:
        wants = frozenset(self._wanted)
        if wants != self._published or time.monotonic() - self._beaten_at > self._heartbeat:
            await self._store.join(self.owner, wants)
            self._published = wants
            self.has_beaten()

    async def _give_away(self) -> None:
        table = await self.table()
        for name, process in table.processes.items():
            if self._silent(name) > FORGET_AFTER * self._lease:
                await self._store.leave(process)
        for key in sorted(self._owned & self._wanted.keys()):
            fewest = min((self._count(table, other) for other in self._others(table, key)), default=None)
            if fewest is not None and len(self._owned) - fewest >= 2:
                log.info("a part is given away", part=key)
                self._wanted[key]()
                return

    # ------------------------------------------------------------------ the others

    async def table(self) -> LeaseTable:
        """As it was a moment ago."""
        return await self._table.get()

    async def _read(self) -> LeaseTable:
        table, now = await self._store.leases(), time.monotonic()
        for name, process in table.processes.items():
            if self._moved.get(name, (-1, 0.0))[0] != process.heartbeats:
                self._moved[name] = (process.heartbeats, now)
        self._moved = {name: seen for name, seen in self._moved.items() if name in table.processes}
        return table

    def _silent(self, name: str) -> float:
        """For how many seconds a process has had no heartbeat, as far as this one has seen."""
        return time.monotonic() - self._moved[name][1] if name in self._moved else 0.0

    def _others(self, table: LeaseTable, key: str) -> list[ProcessEntry]:
        """The other processes that are alive and want the part."""
        return [
            process
            for name, process in table.processes.items()
            if process.owner != self.owner and key in process.wants and self._silent(name) < self._lease
        ]

    @staticmethod
    def _count(table: LeaseTable, process: ProcessEntry) -> int:
        return sum(lease.owner == process.owner for lease in table.parts.values())

    def should_take(self, key: str, table: LeaseTable) -> bool:
        """Whether a free part is this process's to take. One that stays free for the time of a lease is anybody's."""
        free_since = self._free_since.setdefault(key, time.monotonic())
        if time.monotonic() - free_since > self._lease:
            return True
        return all(self._count(table, other) >= len(self._owned) for other in self._others(table, key))

    def is_taken(self, key: str) -> None:
        """It is not free, or no longer."""
        self._free_since.pop(key, None)
