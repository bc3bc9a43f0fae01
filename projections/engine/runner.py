"""Follows the log for one generation of a view: subscribe, batch, apply, checkpoint, for ever.

The checkpoint goes last: a crash before it replays a batch, and a replay changes nothing.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from typing import Any

import structlog
from prometheus_client import Counter, Gauge
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from core.backoff import Backoff
from core.error_text import error_text
from core.eventstore.client import CaughtUp, Checkpoint, RecordedEvent, is_cancelling, position_of
from core.eventstore.identity import identity_of
from core.eventstore.log import EventLog, LogPoint, point_of, streams
from core.eventstore.subscription import CatchUpSubscription, SubscriptionLost
from core.failures import ServiceFailure, StoreFailure
from core.readmodel import checkpoints
from core.readmodel.checkpoints import CheckpointStore, Fenced, Lease, now_micros
from core.readmodel.view import View
from projections.config import Settings
from projections.engine.applier import BatchApplier, Partition, WriteConflict
from projections.engine.lease import LeaseHolder, process_id
from projections.engine.parked_events import ParkedEvents
from projections.engine.throttle import ReaderAwareThrottle

log = structlog.get_logger()

POSITION = Gauge("orderstream_projection_position", "Commit position up to which the view holds the log.", ["view"])
APPLIED = Counter("orderstream_projection_events_total", "Events taken in.", ["view"])
RESTARTS = Counter("orderstream_projection_restarts_total", "Restarts after a failure.", ["view"])
PARKED = Gauge("orderstream_projection_parked_streams", "Streams blocked behind a failing event.", ["view"])

FIRST_PAUSE = 0.1  # seconds
REST_FACTOR = 3  # times as long as the last batch took, before the next
RATE_OVER = 5.0  # seconds
LOG_MISMATCH_PAUSE = 60.0  # seconds between two times that a generation of another log says so
POINT_EVERY = 10.0  # seconds, while events that the view does not follow move its position


class CheckpointOfAnotherLog(Exception):  # it names what happened
    """The log is not the one that the checkpoint was made of: it was restored from an older backup, or replaced.

    The generation stays so, whatever the log is later; only another generation can be right.
    """


Maintenance = Callable[[BatchApplier, ParkedEvents, checkpoints.Checkpoint], Awaitable[None]]


class Status(StrEnum):
    """The names are those of ProjectionStatus without its prefix."""

    CATCHING_UP = "CATCHING_UP"
    LIVE = "LIVE"
    FAILING = "FAILING"
    STOPPED = "STOPPED"
    STANDBY = "STANDBY"
    STALLED = "STALLED"
    PAUSED = "PAUSED"


class Runner:
    """One generation of a view in one process: stands by until it is the owner, then follows, until told to stop.

    On any failure it restarts from the checkpoint after a pause; `status` and `last_error` show it. Without a
    `generation` it is the live one. Of several workers that share a generation this is number `part`. With a `throttle`
    it fills, slowly enough for readers, until it has caught up. A process that `runs_other_code` than the one that made
    the generation takes it only when no other process does.
    """

    def __init__(
        self,
        view: View[Any],
        log: EventLog,
        database: AsyncDatabase[Any],
        settings: Settings,
        *,
        generation: int | None = None,
        part: int = 0,
        parts: int = 1,
        throttle: ReaderAwareThrottle | None = None,
        runs_other_code: bool = False,
    ) -> None:
        self.view = view
        self.part = part
        self.status = Status.STOPPED
        self.applied = 0
        self.last_error = ""
        self.checkpoint: checkpoints.Checkpoint | None = None
        self.parked_streams = 0
        self._database = database
        self._settings = settings
        self._state = CheckpointStore(database)
        self._keeper = LeaseHolder(self._state, process_id(), settings.lease)
        self._log = log
        self._generation = generation
        self.partition = Partition(part, parts)
        self.parked_events = ParkedEvents(database, view.name, generation or 0, part)
        self._throttle = throttle
        self._stranger = runs_other_code
        self._maintenance: deque[Maintenance] = deque()
        self._beaten_at = 0.0
        self.rate = 0.0  # events a second
        self._counted, self._counted_from = 0, time.monotonic()
        self._stop = asyncio.Event()
        self._source: CatchUpSubscription | None = None
        self._took = self._ended = 0.0  # the last batch, in monotonic seconds
        self._level_at = float("-inf")  # when it lacked nothing, by the monotonic clock
        self._point_at = 0.0  # when the checkpoint last named an event by its id

    def stop(self) -> None:
        """Finish the batch at work, write the checkpoint, end."""
        self._stop.set()
        self.wake()

    def wake(self) -> None:
        """Write the checkpoint now, and so learn at once if the view was taken away."""
        if self._source is not None:
            self._source.wake()

    @property
    def owns(self) -> bool:
        """Whether this process runs the view, as far as it knows; the checkpoint's epoch knows better."""
        return self.checkpoint is not None and self.status in (Status.CATCHING_UP, Status.LIVE)

    @property
    def is_level(self) -> bool:
        """Whether it lacked nothing at its last sign of life, and that was not long ago."""
        return self.owns and time.monotonic() - self._level_at < 2 * self._settings.heartbeat

    async def run_between_batches(self, maintenance: Maintenance) -> None:
        """Have something done while nobody else writes. It must not take long. Raises `Fenced` if the view is lost."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def tried(applier: BatchApplier, parked_events: ParkedEvents, checkpoint: checkpoints.Checkpoint) -> None:
            try:
                await maintenance(applier, parked_events, checkpoint)
            except Exception as error:  # noqa: BLE001  # it is for the sender
                done.set_exception(error)
            else:
                done.set_result(None)

        epoch = self.epoch
        self._maintenance.append(tried)
        self.wake()
        while not done.done():
            await asyncio.wait({done}, timeout=self._settings.heartbeat)
            if not done.done() and (not self.owns or self.epoch != epoch):
                raise Fenced(f"{self.view.name} was lost before it could be repaired")
        done.result()

    @property
    def epoch(self) -> int:
        return 0 if self.checkpoint is None else self.checkpoint.epoch

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
                    await self._failed(
                        error, backoff.pause()
                    )  # the client's reconnect cancels what else is under way on it
                except Exception as error:  # a defect in one view must not end it for good, nor touch the others
                    log.exception("defect", view=self.view.name)
                    await self._failed(error, backoff.pause())
        finally:
            self.status = Status.STOPPED
            if self.checkpoint is not None:
                with suppress(PyMongoError):  # then a process on standby waits for the lease to run out
                    await self._state.release(self.checkpoint)

    async def _failed(self, error: BaseException, pause: float) -> None:
        self.status = Status.FAILING
        self.last_error = error_text(error)
        RESTARTS.labels(self.view.name).inc()
        log.warning("projection restarts", view=self.view.name, error=self.last_error, pause=pause)
        if self.checkpoint is not None:
            log_mismatch = self.checkpoint.log_mismatch or isinstance(error, CheckpointOfAnotherLog)
            self.checkpoint = replace(
                self.checkpoint, status=str(self.status), error=self.last_error, log_mismatch=log_mismatch
            )
            with suppress(PyMongoError):  # then that is reported when the view store answers again
                await self._state.report(self.checkpoint)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), pause)

    async def _own_and_follow(self) -> None:
        name = self.view.name
        while await self._state.paused(name):
            self.status = Status.PAUSED
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._settings.lease / 10)
            if self._stop.is_set():
                return
        generation = self._generation or await self._state.generation(name)
        self.checkpoint = await self._keeper.acquire(
            name, generation, self._stop, self._on_standby, part=self.part, runs_other_code=self._stranger
        )
        if self.checkpoint is not None:
            await self._follow(generation)

    def _on_standby(self, lease: Lease) -> None:
        if self.status is not Status.STANDBY:
            log.info("standing by", view=self.view.name, owner=lease.owner)
        self.status = Status.STANDBY

    async def _follow(self, generation: int) -> None:
        view, settings = self.view, self._settings
        assert self.checkpoint is not None, "a view is owned before it is followed"
        self.checkpoint = await self._check_log_identity(self.checkpoint)
        documents = self._state.documents(view.name, generation)
        for index in view.indexes:
            await documents.create_index(list(index))
        self.parked_events = parked_events = ParkedEvents(self._database, view.name, generation, self.part)
        await parked_events.load()
        self._maintenance.clear()
        applier = BatchApplier(
            view,
            documents,
            parked_events,
            exclusions=self._log,
            most_cached=settings.cached_documents,
            partition=self.partition,
            throttle=self._throttle,
            between_chunks=None if self._throttle is None else self._between_chunks,
        )
        following = streams(view.stream_filter())
        self._source = CatchUpSubscription(
            self._log, following, self.checkpoint.position, prefetched=settings.prefetched
        )
        async with self._source:
            self.status = Status.CATCHING_UP
            while not self._stop.is_set():
                await self._step(self._source, applier, parked_events)
                while self._maintenance:
                    await self._maintenance.popleft()(applier, parked_events, self.checkpoint)

    async def _check_log_identity(self, checkpoint: checkpoints.Checkpoint) -> checkpoints.Checkpoint:
        """The checkpoint to go on from: at the last event that is known by its id, so that nothing is passed over.

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
        """In the midst of a large batch: let readers go first, and give a sign of life."""
        assert self._throttle is not None, "only who fills writes in chunks"
        assert self.checkpoint is not None, "a view is owned before it is filled"
        await self._throttle.yield_to_readers()
        if time.monotonic() - self._beaten_at > self._settings.heartbeat:
            self._beaten_at = time.monotonic()
            await self._state.heartbeat(self.checkpoint)

    async def _next_batch(self, source: CatchUpSubscription, *, live: bool) -> list[RecordedEvent]:
        """The items of the next batch; a large one while filling, so that a document is seldom written twice."""
        settings = self._settings
        if live or self._throttle is None:
            most = settings.batch_size_live if live else settings.batch_size_catch_up
            return await source.batch(most, settings.heartbeat, live=live)
        items = await source.batch(settings.batch_size_rebuild, settings.heartbeat)
        while items and len(items) < settings.batch_size_rebuild and not isinstance(items[-1], CaughtUp):
            more = await source.batch(settings.batch_size_rebuild - len(items), settings.heartbeat)
            items += more
            if not more:
                break
        return items

    async def _step(self, source: CatchUpSubscription, applier: BatchApplier, parked_events: ParkedEvents) -> None:
        before = self.checkpoint
        assert before is not None, "a view is owned before it steps"
        live = self.status is Status.LIVE
        if live:
            await self._rest()
        items = await self._next_batch(source, live=live)
        began = time.monotonic()
        events = [item for item in items if not isinstance(item, Checkpoint | CaughtUp)]
        if events:
            await applier.apply(events)
        reached = max((position_of(item) for item in items), default=before.position)
        point = point_of(events[-1]) if events else before.point
        now = now_micros()
        if not items and not self._stop.is_set():  # woken without an item, or nothing came within a heartbeat
            pending = await source.check_silence()
            if pending.next_event is None and source.is_intact:
                point = max(point, pending.head)
                reached = max(reached, point.position)
        elif items and reached > point.position and time.monotonic() - self._point_at > POINT_EVERY:
            self._point_at = time.monotonic()
            known = await self._known_before(reached)
            point = max(point, known) if source.is_intact else point
        if point > before.point:
            self._point_at = time.monotonic()
        live = live or any(isinstance(item, CaughtUp) for item in items)
        whole = live and source.is_empty() and not source.misses_something
        position = max(before.position, reached)
        self.status = Status.LIVE if live else Status.CATCHING_UP
        self.last_error = parked_events.last_error
        after = replace(
            before,
            position=position,
            caught_up_at=now if whole else before.caught_up_at,
            updated_at=now_micros(),
            moved_at=now if position > before.position else before.moved_at,
            parked=len(parked_events.first),
            events=before.events + len(events),
            status=str(self.status),
            error=self.last_error,
            last_event_position=point.position,
            last_event_id=point.event_id,
        )
        await self._state.advance(after)
        self._ended = time.monotonic()
        self._took = self._ended - began
        self._level_at = self._ended if whole else float("-inf")
        self.checkpoint = after
        self.applied += len(events)
        self._measure(len(events))
        self.parked_streams = len(parked_events.first)
        POSITION.labels(self.view.name).set(after.position)
        APPLIED.labels(self.view.name).inc(len(events))
        PARKED.labels(self.view.name).set(self.parked_streams)

    def _measure(self, events: int) -> None:
        """The rate over the last seconds, taken every few of them."""
        self._counted += events
        seconds = time.monotonic() - self._counted_from
        if seconds >= RATE_OVER:
            self.rate = self._counted / seconds
            self._counted, self._counted_from = 0, time.monotonic()

    async def _known_before(self, position: int) -> LogPoint:
        """The last event before a position that a checkpoint message of the event store named.

        Followed events may be rare: without this, a restart would look through all that others wrote since.
        """
        try:
            event = await self._log.last_before(position)
        except StoreFailure:  # it may have had to look through too much of its own records: the older point will do
            return LogPoint()
        return LogPoint() if event is None else point_of(event)

    async def _rest(self) -> None:
        """After a pause the next event is taken at once; in a flood they are taken together.

        The rest is some times as long as the last batch took: short while the view store is quick, so that readers see
        their writes soon, and longer the busier it is, since all views and readers share it.
        """
        rest = min(self._settings.max_batch_rest, REST_FACTOR * self._took)
        await asyncio.sleep(max(0.0, self._ended + rest - time.monotonic()))
