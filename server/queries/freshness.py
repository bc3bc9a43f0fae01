"""Freshness: answers at least as fresh as the caller requires.

A view is fresh up to its checkpoint, and further if the log has nothing beyond it that the view follows. One task
per view polls for all waiting calls.

A view that was made from another log honours no token, and its answers say so. The process that runs the view detects
that and records it in the checkpoint; it is checked here too, so that the detection does not depend on that process.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import structlog

from core.background import beside, set_within
from core.error_text import error_text
from core.eventstore.consistency_token import from_token
from core.eventstore.log import EventLog, LogPoint
from core.failures import Draining, LogMismatch, NotFreshEnough, StoreFailure
from core.readmodel.checkpoints import Checkpoint, CheckpointStore
from core.readmodel.generations import ViewGenerations
from core.readmodel.mongo import mongo_errors, shared_read

log = structlog.get_logger()

GOOD_FOR = 0.1  # seconds that a checkpoint, or which generation is live, may be used again without reading it
LOOK_EVERY = 0.005  # seconds, while calls wait
ASK_AFTER = (
    0.03  # seconds without progress of a checkpoint before the log is asked whether there is anything to wait for
)
SPARE = 0.05  # seconds of the caller's deadline kept for the answer
WITHOUT_DEADLINE = 10.0  # seconds
CHECK_EVERY = 5.0  # seconds between two checks whether the views are of this log


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a view is. `code` is the fingerprint of the handlers that its live generation is made by, "" if unknown.

    `is_fresh`: it is known to reflect the position that was asked for. `read_at` is when the checkpoint had been read,
    in monotonic seconds.
    """

    checkpoint: Checkpoint
    read_at: float
    code: str
    is_fresh: bool


class FreshViews:
    """`follows` has, per view, the pattern of the streams it follows."""

    def __init__(self, state: CheckpointStore, follows: Mapping[str, str], log: EventLog) -> None:
        self._state = state
        self._log = log
        self._watchers = {view: _Watcher(view, pattern, state, log) for view, pattern in follows.items()}
        self._is_doubted = asyncio.Event()
        self._failures = 0  # to check the log, one after another

    async def at_least(self, view: str, token: str, context: Any) -> Checkpoint:
        """Wait until the view reflects the token ("" for any).

        The position that comes back is at least the token's. Raises `TokenInvalid`, `NotFreshEnough`, and `LogMismatch`
        if the view was made from another log.
        """
        watcher = self._watchers[view]
        if not token:
            return await watcher.recent()
        remaining = context.time_remaining()
        patience = WITHOUT_DEADLINE if remaining is None else remaining
        wanted = from_token(token)
        reached = await watcher.reach(wanted, patience - SPARE)
        if reached.parked and await self._state.is_parked(view, reached.generation, wanted):
            raise NotFreshEnough(view, wanted, wanted - 1)  # the view went on without the caller's event
        return reached

    async def standing(self, view: str, wanted: int) -> Standing:
        """The checkpoint of the view, without waiting."""
        return await self._watchers[view].standing(wanted)

    @asynccontextmanager
    async def checked(self) -> AsyncIterator[None]:
        """While this is open, views made from another log are detected. It begins after the first check."""
        await self._check()
        async with beside(self._keep_checking()):
            yield

    def check_soon(self) -> None:
        """The connection was replaced: the log may have been replaced too."""
        self._is_doubted.set()

    @property
    def of_another_log(self) -> frozenset[str]:
        """The views that were found to be made from another log."""
        return frozenset(view for view, watcher in self._watchers.items() if watcher.is_of_another_log)

    async def _keep_checking(self) -> None:
        while True:
            await set_within(self._is_doubted, CHECK_EVERY)
            self._is_doubted.clear()
            await self._check()

    async def _check(self) -> None:
        """An outage of a store is logged when it begins and ends; meanwhile the findings stay."""
        try:
            with mongo_errors():
                found = await self._state.live(tuple(self._watchers))
            points = {checkpoint.point for _, checkpoint in found.values() if checkpoint is not None}
            of_this_log = {point: await self._log.is_of_this_log(point) for point in points}  # live views share one
        except StoreFailure as failure:
            if not self._failures:
                log.warning("views are not compared with the log", error=error_text(failure))
            self._failures += 1
            return
        for view, watcher in self._watchers.items():
            watcher.check_log(*found[view], of_this_log)
        if self._failures:
            log.info("views are compared with the log again", attempts=self._failures)
        self._failures = 0

    def drain(self) -> None:
        """End all waits: another server can answer the calls."""
        for watcher in self._watchers.values():
            watcher.draining = True

    def parked(self, view: str) -> int:
        """The number of streams that are parked for the view, as far as it is known."""
        return self._watchers[view].parked

    async def first_parked(self, view: str, generation: int, stream: str) -> dict[str, Any] | None:
        """The event at which a stream is parked for the view, and the number of parked `events`."""
        return await self._state.first_parked(view, generation, stream)

    async def failed(self, view: str, generation: int, streams: Sequence[str]) -> Mapping[str, str]:
        """The parked ones of these streams: at which event, and why."""
        return await self._state.failed(view, generation, streams)


class _Watcher:
    """The known state of one view. It polls quickly while calls wait, and not at all without calls."""

    def __init__(self, view: str, pattern: str, state: CheckpointStore, log: EventLog) -> None:
        self._view = view
        self._pattern = pattern
        self._state = state
        self._log = log
        self._known = _nothing(view)
        self._read_at = 0.0
        self._pointer: ViewGenerations | None = None
        self._pointed_at = 0.0
        self._moved_at = 0.0
        self._next_event = 0  # the first one that the view lacks, when the log was last asked
        self._reading: asyncio.Task[None] | None = None
        self._proving: asyncio.Task[None] | None = None
        self._mismatched = 0  # the generation that was found to be of another log
        self.is_of_another_log = False
        self.draining = False

    @property
    def parked(self) -> int:
        return self._known.parked

    def check_log(
        self, pointer: ViewGenerations, found: Checkpoint | None, of_this_log: Mapping[LogPoint, bool]
    ) -> None:
        """Check whether the live generation is of this log. A mismatch is final."""
        generation = pointer.generation
        is_unsure = found is not None and generation != self._mismatched
        if found is not None and is_unsure and (found.log_mismatch or not of_this_log[found.point]):
            self._mismatched = generation
            log.error("a view was made from another log: rebuild it", view=self._view, generation=generation)
        self.is_of_another_log = generation == self._mismatched

    async def recent(self) -> Checkpoint:
        if time.monotonic() - self._read_at > GOOD_FOR:
            await self._look()
        return self._known

    async def standing(self, wanted: int) -> Standing:
        checkpoint, pointer = await self.recent(), await self._pointed()
        return Standing(
            checkpoint=checkpoint,
            read_at=self._read_at,
            code=pointer.info(checkpoint.generation).code,
            is_fresh=not checkpoint.log_mismatch and self._covers(checkpoint.position, wanted),
        )

    async def reach(self, wanted: int, patience: float) -> Checkpoint:
        ask_from = time.monotonic() + ASK_AFTER
        try:
            async with asyncio.timeout(patience):
                while not self._covers(self._of_this_log(await self.recent()).position, wanted):
                    if self.draining:
                        raise Draining
                    self._prove(max(ask_from, self._moved_at + ASK_AFTER))
                    await asyncio.sleep(LOOK_EVERY)
                    await self._look()
        except TimeoutError:
            raise NotFreshEnough(self._view, wanted, self._known.position) from None
        return replace(self._known, position=max(self._known.position, wanted))

    def _of_this_log(self, known: Checkpoint) -> Checkpoint:
        if known.log_mismatch:
            raise LogMismatch(self._view)
        return known

    def _covers(self, position: int, wanted: int) -> bool:
        """Whether every event up to the wanted position that the view follows is in it."""
        return wanted <= position or wanted < self._next_event

    async def _look(self) -> None:
        """One read for all concurrent callers."""
        if self._reading is None or self._reading.done():
            self._reading = _task(self._read())
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        async with shared_read():
            found = await self._state.checkpoint_of(await self._pointed()) or _nothing(self._view)
        if found.generation == self._mismatched:
            found = replace(found, log_mismatch=True, position=0)
        now, known = time.monotonic(), self._known
        same = (found.generation, found.epoch) == (known.generation, known.epoch) and not found.log_mismatch
        if same and found.position <= known.position:
            found = replace(found, position=known.position)  # it may be proved further than its checkpoint
        else:
            self._moved_at = now
        if not same:
            self._next_event = 0
        self._known, self._read_at = found, now

    async def _pointed(self) -> ViewGenerations:
        """The former generation continues for a while, so that it can still be read after a switch."""
        if self._pointer is None or time.monotonic() - self._pointed_at > GOOD_FOR:
            self._pointer = await self._state.generations.get(self._view)
            self._pointed_at = time.monotonic()
        return self._pointer

    def _prove(self, not_before: float) -> None:
        """Ask the log, beside the polling, whether there is anything to wait for."""
        if time.monotonic() >= not_before and (self._proving is None or self._proving.done()):
            self._proving = _task(self._prove_further(self._known))

    async def _prove_further(self, known: Checkpoint) -> None:
        with suppress(StoreFailure, LogMismatch):  # the view may reach it without this
            pending = await self._log.pending_after(known.position, self._pattern)
            now = self._known
            if (now.generation, now.epoch) != (known.generation, known.epoch):
                pass  # it was proved for another one
            elif pending.next_event is not None:
                self._next_event = pending.next_event
            else:
                self._known = replace(now, position=max(now.position, pending.head.position))
        self._moved_at = time.monotonic()


def _task(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A failure is raised to the waiting calls; there may be none left."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


def _nothing(view: str) -> Checkpoint:
    return Checkpoint(view=view, generation=1, position=0, caught_up_at=0, updated_at=0, epoch=0)
