"""Runs one part of a view for ever: standby, own, catch up alone, follow the log among the live views.

The checkpoint is written last: a crash before it replays a batch, and a replay changes nothing.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog
from prometheus_client import Counter
from pymongo.errors import PyMongoError

from core.background import set_within
from core.backoff import Backoff
from core.error_text import error_text
from core.eventstore.client import is_cancelling
from core.eventstore.identity import identity_of
from core.eventstore.log import streams
from core.eventstore.subscription import SubscriptionLost
from core.failures import ServiceFailure
from core.readmodel.checkpoints import Checkpoint, Fenced, Lease, part_key
from core.readmodel.view import View
from projections.config import Settings
from projections.engine.applier import BatchApplier, WriteConflict
from projections.engine.catch_up import CatchUp
from projections.engine.host import Host
from projections.engine.lease import LeaseHolder
from projections.engine.parked_events import ParkedEvents
from projections.engine.part import Maintenance, Part, Status
from projections.engine.throttle import ReaderAwareThrottle

log = structlog.get_logger()

RESTARTS = Counter("orderstream_projection_restarts_total", "Restarts after a failure.", ["view"])

FIRST_PAUSE = 0.1  # seconds
LOG_MISMATCH_PAUSE = 60.0  # seconds between two times that a generation of another log says so


class CheckpointOfAnotherLog(Exception):  # it names what happened
    """The log is not the one that the checkpoint was made of: it was restored from an older backup, or replaced.

    The generation stays so, whatever the log is later; only another generation can be right.
    """


class Runner(Part):
    """One part of a generation of a view in one process: on standby until it is the owner, then follows, until stopped.

    On any failure it restarts from the checkpoint after a pause; `status` and `last_error` show it. Without a
    `generation` it is the live one. Of several workers that share a generation this is number `part`. With a `throttle`
    it fills, slowly enough for readers, until it has caught up. A process that `runs_other_code` than the one that made
    the generation takes it only when no other process does.
    """

    def __init__(
        self,
        view: View[Any],
        host: Host,
        settings: Settings,
        *,
        generation: int | None = None,
        part: int = 0,
        parts: int = 1,
        throttle: ReaderAwareThrottle | None = None,
        runs_other_code: bool = False,
    ) -> None:
        super().__init__(view, host.stores, generation or 0, part, parts)
        self._stores = host.stores
        self._settings = settings
        self._host = host
        self._log = host.stores.log
        self._state = host.stores.checkpoints
        self._lease_holder = LeaseHolder(self._state, host.membership, settings.lease)
        self._generation = generation
        self._throttle = throttle
        self._runs_other_code = runs_other_code
        self._beaten_at = 0.0
        self._stop = asyncio.Event()
        self._is_given_away = False
        self._catch_up: CatchUp | None = None

    def stop(self) -> None:
        """Finish the running batch, write the checkpoint, end."""
        self._stop.set()
        self._interrupt()

    def wake(self) -> None:
        """Write the checkpoint now, and so learn at once if the part was taken away."""
        if self._catch_up is not None:
            self._catch_up.wake()
        self._host.live.wake()

    def _give_away(self) -> None:
        """Another process should run it."""
        self._is_given_away = True
        self._interrupt()

    def _interrupt(self) -> None:
        self._host.live.leave(self)
        self.wake()

    def _is_over(self) -> bool:
        return self._stop.is_set() or self._is_given_away

    async def run_between_batches(self, maintenance: Maintenance) -> None:
        """Run a task while the runner writes nothing. Raises `Fenced` if the view is lost."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def tried(applier: BatchApplier, parked_events: ParkedEvents, checkpoint: Checkpoint) -> None:
            try:
                await maintenance(applier, parked_events, checkpoint)
            except Exception as error:  # noqa: BLE001  # raised to the sender
                done.set_exception(error)
            else:
                done.set_result(None)

        epoch = self.epoch
        self._maintenance.append(tried)
        self._interrupt()
        while not done.done():
            await asyncio.wait({done}, timeout=self._settings.heartbeat)
            if not done.done() and (not self.owns or self.epoch != epoch):
                raise Fenced(f"{self.view.name} was lost before it could be repaired")
        done.result()

    # ------------------------------------------------------------------ owning

    async def run(self) -> None:
        backoff = Backoff(FIRST_PAUSE, self._settings.max_pause)
        try:
            while not self._stop.is_set():
                before = self.applied
                try:
                    await self._own_and_follow()
                except Fenced as fenced:
                    log.warning("view given up", view=self.view.name, reason=str(fenced))
                except CheckpointOfAnotherLog as error:
                    await self._failed(error, LOG_MISMATCH_PAUSE)
                except (ServiceFailure, PyMongoError, WriteConflict, SubscriptionLost) as error:
                    if self.applied > before:
                        backoff.reset()
                    await self._failed(error, backoff.pause())
                except asyncio.CancelledError as error:
                    if is_cancelling():
                        raise
                    # the client's reconnect cancels what else is under way on it
                    await self._failed(error, backoff.pause())
                except Exception as error:  # a defect in one view must not end it for good, nor affect the others
                    log.exception("defect", view=self.view.name)
                    await self._failed(error, backoff.pause())
        finally:
            self.status = Status.STOPPED
            if self.checkpoint is not None:
                with suppress(PyMongoError):  # then a process on standby waits until the lease ends
                    await self._state.release(self.checkpoint)
                self._host.membership.unwant(self.checkpoint.key)

    async def _failed(self, error: BaseException, pause: float) -> None:
        self.status = Status.FAILING
        self.last_error = error_text(error)
        RESTARTS.labels(self.view.name).inc()
        log.warning("projection restarts", view=self.view.name, error=self.last_error, pause=pause)
        if self.checkpoint is not None:
            self.checkpoint = replace(
                self.checkpoint,
                status=str(self.status),
                error=self.last_error,
                log_mismatch=self.checkpoint.log_mismatch or isinstance(error, CheckpointOfAnotherLog),
            )
            with suppress(PyMongoError):  # then it is reported when the view store answers again
                await self._state.report(self.checkpoint)
        await set_within(self._stop, pause)

    async def _own_and_follow(self) -> None:
        name = self.view.name
        await self._until_resumed()
        generation = self._generation or await self._state.generation(name)
        key = part_key(name, generation, self.part)
        membership = self._host.membership
        self._is_given_away = False
        if not self._runs_other_code:
            membership.want(key, self._give_away)
        self.checkpoint = await self._lease_holder.acquire(
            name, generation, self._stop, self._on_standby, part=self.part, runs_other_code=self._runs_other_code
        )
        if self.checkpoint is None:
            membership.unwant(key)
            return
        try:
            if not await self._is_paused():  # meanwhile
                await self._follow(generation)
        finally:
            membership.lost(key)
        if not self._stop.is_set():
            await self._state.release(self.checkpoint)

    async def _until_resumed(self) -> None:
        while not self._stop.is_set() and await self._is_paused():
            self.status = Status.PAUSED
            await set_within(self._stop, self._settings.lease / 10)

    async def _is_paused(self) -> bool:
        return (await self._host.generations(self.view.name, fresh=True)).paused

    def _on_standby(self, lease: Lease) -> None:
        if self.status is not Status.STANDBY:
            log.info("standing by", view=self.view.name, owner=lease.owner)
        self.status = Status.STANDBY

    # ------------------------------------------------------------------ following

    async def _follow(self, generation: int) -> None:
        view, settings = self.view, self._settings
        self.checkpoint = await self._check_log_identity(self.held)
        documents = self._state.documents(view.name, generation)
        for index in view.indexes:
            await documents.create_index(list(index))
        self.parked_events = self._stores.parked(view.name, generation, self.part)
        await self.parked_events.load()
        self._maintenance.clear()
        self._applier = BatchApplier(
            view,
            documents,
            self.parked_events,
            exclusions=self._log,
            most_cached=settings.cached_documents,
            partition=self.partition,
            throttle=self._throttle,
            between_chunks=None if self._throttle is None else self._between_chunks,
        )
        matching, filling = streams(view.stream_filter()), self._throttle is not None
        self._catch_up = CatchUp(self._log, self._state, self._host.membership, settings, matching, filling=filling)
        is_recent = False
        while not self._is_over():
            if not is_recent:
                self.status = Status.CATCHING_UP
                await self._catch_up.run(self, self._is_over)
                self._applier.unthrottle()
            await self.maintain()
            if not self._is_over():
                self.status = Status.LIVE
                is_recent = await self._host.live.follow(self)
        await self.maintain()

    async def _check_log_identity(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint to start from: at the last event that is known by its id, so that no event is skipped.

        Its position may lie behind that event. In a log that was restored from an older copy and has grown since, it
        may lie behind events of ours that the view has never seen.

        Raises `CheckpointOfAnotherLog` if this is not the log that the checkpoint was made of, or was not once before.
        """
        if checkpoint.log_mismatch:
            raise CheckpointOfAnotherLog(checkpoint.error.partition(": ")[2] or "it is of another log: rebuild it")
        identity = await identity_of(self._log)
        if identity and checkpoint.log not in ("", identity):
            raise CheckpointOfAnotherLog(f"it was made of log {checkpoint.log}, and this is log {identity}: rebuild it")
        point = checkpoint.point
        if not await self._log.is_of_this_log(point):
            end = await self._log.end()
            if point.position > end:
                raise CheckpointOfAnotherLog(
                    f"the checkpoint is at {point.position}, ahead of the log's end at {end}: rebuild it"
                )
            raise CheckpointOfAnotherLog(f"the event at {point.position} is not the one of the view: rebuild it")
        return replace(checkpoint, position=point.position, log=identity or checkpoint.log)

    async def _between_chunks(self) -> None:
        """Between chunks of a large batch: let readers go first, and send a heartbeat."""
        assert self._throttle is not None, "only who fills writes in chunks"
        await self._throttle.yield_to_readers()
        if time.monotonic() - self._beaten_at > self._settings.heartbeat:
            self._beaten_at = time.monotonic()
            await self._state.heartbeat(self.held)
