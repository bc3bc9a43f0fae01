"""The lease of a part of a view: one process runs it at a time, the others are on standby.

The heartbeats of the owner are counted (`membership.py`). A process on standby measures with its own monotonic clock
for how long the count has not moved. Taking over begins a new epoch, and nothing is written under an old one, so an
owner that was only slow is fenced, not trusted.
"""

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from uuid_utils import uuid7

from core.background import set_within
from core.readmodel.checkpoints import Checkpoint, CheckpointStore, Lease, part_key
from projections.engine.membership import Membership

MAX_DOUBLINGS = 5  # of the lease, while views change hands
REMEMBERED = 200  # times the lease, for which a hand-over counts


def process_id() -> str:
    """`host:pid:started:where:nonce`. `where` is the running kernel and process namespace, in which a pid means one."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}:{_where()}:{uuid7().hex[-8:]}"


def has_exited(owner: str) -> bool:
    """Whether the owner is known to have ended: a process of this machine that is no longer there."""
    *_, pid, started, where, _ = ("", *owner.split(":")) if owner.count(":") == 4 else ("", "0", "", "", "")
    return bool(where) and where == _where() and _started(int(pid)) != started


def _started(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _where() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}".replace(":", "-")
    except OSError:
        return ""  # not Linux: then no owner is known to have ended, and a takeover takes the full lease


class LeaseHolder:
    """Takes the lease of one part, at once if it is free, or ours, or its owner is known to have ended.

    An owner that falls silent and recovers was starved, not dead. Each hand-over after silence doubles the patience
    of both processes for a while, so that views do not change hands for ever on a machine that is too slow.
    """

    def __init__(self, store: CheckpointStore, membership: Membership, lease: float) -> None:
        self._store = store
        self._membership = membership
        self._owner = membership.owner
        self._lease = lease
        self._hand_overs: deque[float] = deque(maxlen=MAX_DOUBLINGS)  # when they were, by the monotonic clock
        self._held = False

    @property
    def patience(self) -> float:
        """Seconds of silence after which an owner is considered dead."""
        while self._hand_overs and time.monotonic() - self._hand_overs[0] > REMEMBERED * self._lease:
            self._hand_overs.popleft()
        return float(self._lease * 2 ** len(self._hand_overs))

    async def acquire(
        self,
        view: str,
        generation: int,
        stop: asyncio.Event,
        on_standby: Callable[[Lease], None],
        *,
        part: int = 0,
        runs_other_code: bool = False,
    ) -> Checkpoint | None:
        """Wait until the part is ours; None if stopped before.

        A process that `runs_other_code` lets all others go first: it claims a lease that was silent for twice its time.
        """
        key = part_key(view, generation, part)
        seen: Lease | None = None
        seen_at = 0.0
        while not stop.is_set():
            table = await self._membership.table()
            lease = table.parts.get(key) or await self._store.former_lease(view, generation, part)
            if self._held and lease is not None and lease.owner not in ("", self._owner):
                self._hand_overs.append(time.monotonic())  # it was taken from us
            self._held = False
            if lease != seen:
                seen, seen_at = lease, time.monotonic()
            silent = time.monotonic() - seen_at >= self.patience * (2 if runs_other_code else 1)
            is_free = lease is None or (not runs_other_code and (lease.owner == "" or has_exited(lease.owner)))
            taken: Checkpoint | None = None
            if lease is not None and lease.owner == self._owner:
                taken = await self._store.take_over(view, generation, self._owner, part=part)
            elif (silent or is_free) and self._membership.should_take(key, table):
                taken = await self._taken(view, generation, part, lease)
            elif not (silent or is_free):
                self._membership.is_taken(key)
            if taken is not None:
                if lease is not None and lease.owner not in ("", self._owner) and not has_exited(lease.owner):
                    self._hand_overs.append(time.monotonic())
                self._held = True
                self._membership.took(key)
                return taken
            on_standby(lease or Lease(owner="", epoch=0, heartbeats=0))
            await set_within(stop, self._lease / 10)
        return None

    async def _taken(self, view: str, generation: int, part: int, lease: Lease | None) -> Checkpoint | None:
        """None if another process was faster, or the owner is alive."""
        if lease is None:
            return await self._store.take_over(view, generation, self._owner, part=part)
        return await self._store.claim(view, generation, self._owner, lease, part=part)
