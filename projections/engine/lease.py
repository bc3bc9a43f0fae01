"""Who runs a view: one process at a time, the others stand by.

The owner's checkpoint writes are its heartbeats, and each is counted. A process on standby measures with its own
monotonic clock how long the count has not moved; wall clocks are never compared. Taking over begins a new epoch, and
nothing is written under an old one, so an owner that was only slow is fenced, not trusted.
"""

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from uuid_utils import uuid7

from core.readmodel.checkpoints import Checkpoint, CheckpointStore, Lease

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
        return ""  # not Linux: then nobody is known to be gone, and standing by takes the whole lease


class LeaseHolder:
    """Takes one view's lease, at once if it is free, or ours, or its owner is known to have ended.

    An owner that falls silent and comes back was starved, not dead. Each hand-over after silence doubles the patience
    of both processes for a while, so that views do not change hands for ever on a machine that is too slow.
    """

    def __init__(self, state: CheckpointStore, owner: str, lease: float) -> None:
        self._state = state
        self._owner = owner
        self._lease = lease
        self._hand_overs: deque[float] = deque(maxlen=MAX_DOUBLINGS)  # when they were, by the monotonic clock
        self._held = False

    @property
    def patience(self) -> float:
        """Seconds of silence after which an owner is taken for dead."""
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
        """Wait for the view to be ours; None if told to stop first.

        A process that `runs_other_code` lets all others go first: it claims a lease that was silent for twice its time.
        """
        seen: Lease | None = None
        seen_at = 0.0
        while not stop.is_set():
            lease = await self._state.lease(view, generation, part)
            if self._held and lease is not None and lease.owner not in ("", self._owner):
                self._hand_overs.append(time.monotonic())  # it was taken from us
            self._held = False
            if lease != seen:
                seen, seen_at = lease, time.monotonic()
            silent = time.monotonic() - seen_at >= self.patience * (2 if runs_other_code else 1)
            if lease is None or lease.owner == self._owner:
                self._held = True
                return await self._state.take_over(view, generation, self._owner, part=part)
            if silent or (not runs_other_code and (lease.owner == "" or has_exited(lease.owner))):
                claimed = await self._state.claim(view, generation, self._owner, lease, part=part)
                if claimed is not None:
                    if lease.owner and not has_exited(lease.owner):
                        self._hand_overs.append(time.monotonic())
                    self._held = True
                    return claimed
                continue  # somebody was quicker, or the owner was alive after all
            on_standby(lease)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._lease / 10)
        return None
