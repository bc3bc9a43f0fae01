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
from core.readmodel.checkpoints import Fenced, Lease, ViewState, now_micros
from core.readmodel.documents import INDEXES
from projections.config import Settings
from projections.engine.applier import Applier, Contested, Share
from projections.engine.lease import Keeper, this_process
from projections.engine.parked_events import ParkingLot
from projections.engine.throttle import Pace
from projections.view import View

log = structlog.get_logger()

POSITION = Gauge("orderstream_projection_position", "Commit position up to which the view holds the log.", ["view"])
APPLIED = Counter("orderstream_projection_events_total", "Events taken in.", ["view"])
RESTARTS = Counter("orderstream_projection_restarts_total", "Times it had to begin anew after a failure.", ["view"])
PARKED = Gauge("orderstream_projection_parked_streams", "Streams held back after a failing event.", ["view"])

FIRST_PAUSE = 0.1  # seconds
REST = 3  # times as long as the last batch took, before the next
RATE_OVER = 5.0  # seconds
ASTRAY_PAUSE = 60.0  # seconds between two times that a generation of another log says so
MARK_EVERY = 10.0  # seconds, while events that the view does not follow move its position


class Astray(Exception):  # it names what happened
    """The log is not the one that the checkpoint was made of: it was restored from an older backup, or replaced.

    The generation stays so, whatever the log is later; only another generation can be right.
    """


Errand = Callable[[Applier, ParkingLot, checkpoints.Checkpoint], Awaitable[None]]


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

    Whatever goes wrong, it begins anew from the checkpoint after a pause; `status` and `last_error` tell. Without a
    `generation` it is the live one. Of several workers that share a generation this is number `part`. With a `pace`
    it fills, slowly enough for readers, until it has caught up. A `stranger` to the code that made the generation
    takes it only when nobody else does.
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
        pace: Pace | None = None,
        stranger: bool = False,
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
        self._state = ViewState(database)
        self._keeper = Keeper(self._state, this_process(), settings.lease)
        self._log = log
        self._generation = generation
        self.share = Share(part, parts)
        self.lot = ParkingLot(database, view.name, generation or 0, part)
        self._filling = pace
        self._stranger = stranger
        self._errands: deque[Errand] = deque()
        self._beaten_at = 0.0
        self.rate = 0.0  # events a second
        self._counted, self._counted_from = 0, time.monotonic()
        self._stop = asyncio.Event()
        self._source: CatchUpSubscription | None = None
        self._took = self._ended = 0.0  # the last batch, in monotonic seconds
        self._level_at = float("-inf")  # when it lacked nothing, by the monotonic clock
        self._marked_at = 0.0  # when the checkpoint last named an event by its id

    def stop(self) -> None:
        """Finish the batch at work, write the checkpoint, end."""
        self._stop.set()
        self.nudge()

    def nudge(self) -> None:
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

    async def between_batches(self, errand: Errand) -> None:
        """Have something done while nobody else writes. It must not take long. Raises `Fenced` if the view is lost."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def tried(applier: Applier, lot: ParkingLot, checkpoint: checkpoints.Checkpoint) -> None:
            try:
                await errand(applier, lot, checkpoint)
            except Exception as error:  # noqa: BLE001  # it is for whoever sent the errand
                done.set_exception(error)
            else:
                done.set_result(None)

        epoch = self.epoch
        self._errands.append(tried)
        self.nudge()
        while not done.done():
            await asyncio.wait({done}, timeout=self._settings.heartbeat)
            if not done.done() and (not self.owns or self.epoch != epoch):
                raise Fenced(f"{self.view.name} was lost before it could be mended")
        done.result()

    @property
    def epoch(self) -> int:
        return 0 if self.checkpoint is None else self.checkpoint.epoch

    async def run(self) -> None:
        backoff = Backoff(FIRST_PAUSE, self._settings.longest_pause)
        try:
            while not self._stop.is_set():
                before = self.applied
                try:
                    await self._own_and_follow()
                except Fenced as fenced:
                    log.warning("view given up", view=self.view.name, reason=str(fenced))
                except Astray as error:
                    await self._failed(error, ASTRAY_PAUSE)
                except (ServiceFailure, PyMongoError, Contested, SubscriptionLost) as error:
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
                with suppress(PyMongoError):  # then whoever stands by waits for the lease to run out
                    await self._state.release(self.checkpoint)

    async def _failed(self, error: BaseException, pause: float) -> None:
        self.status = Status.FAILING
        self.last_error = error_text(error)
        RESTARTS.labels(self.view.name).inc()
        log.warning("projection begins anew", view=self.view.name, error=self.last_error, pause=pause)
        if self.checkpoint is not None:
            astray = self.checkpoint.astray or isinstance(error, Astray)
            self.checkpoint = replace(self.checkpoint, status=str(self.status), error=self.last_error, astray=astray)
            with suppress(PyMongoError):  # then that is told when the view store answers again
                await self._state.tell(self.checkpoint)
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
            name, generation, self._stop, self._standing_by, part=self.part, stranger=self._stranger
        )
        if self.checkpoint is not None:
            await self._follow(generation)

    def _standing_by(self, lease: Lease) -> None:
        if self.status is not Status.STANDBY:
            log.info("standing by", view=self.view.name, owner=lease.owner)
        self.status = Status.STANDBY

    async def _follow(self, generation: int) -> None:
        view, settings = self.view, self._settings
        assert self.checkpoint is not None, "a view is owned before it is followed"
        self.checkpoint = await self._know_the_log(self.checkpoint)
        documents = self._state.documents(view.name, generation)
        for index in INDEXES[view.name]:
            await documents.create_index(list(index))
        self.lot = lot = ParkingLot(self._database, view.name, generation, self.part)
        await lot.load()
        self._errands.clear()
        applier = Applier(
            view,
            documents,
            lot,
            exclusions=self._log,
            most_cached=settings.cached_documents,
            share=self.share,
            pace=self._filling,
            between_chunks=None if self._filling is None else self._between_chunks,
        )
        following = streams(view.stream_filter())
        self._source = CatchUpSubscription(
            self._log, following, self.checkpoint.position, prefetched=settings.prefetched
        )
        async with self._source:
            self.status = Status.CATCHING_UP
            while not self._stop.is_set():
                await self._step(self._source, applier, lot)
                while self._errands:
                    await self._errands.popleft()(applier, lot, self.checkpoint)

    async def _know_the_log(self, checkpoint: checkpoints.Checkpoint) -> checkpoints.Checkpoint:
        """The checkpoint to go on from: at the last event that is known by its id, so that nothing is passed over.

        Its position may lie behind that event. In a log that was restored from an older copy and has grown since, it
        may lie behind events of ours that the view has never seen.

        Raises `Astray` if this is not the log that the checkpoint was made of, or was not once before.
        """
        if checkpoint.astray:
            raise Astray(checkpoint.error.partition(": ")[2] or "it is of another log: rebuild it")
        identity = await identity_of(self._log)
        if identity and checkpoint.log not in ("", identity):
            raise Astray(f"it was made of log {checkpoint.log}, and this is log {identity}: rebuild it")
        point = checkpoint.point
        if not await self._log.is_of_this_log(point):
            end = await self._log.end()
            if point.position > end:
                raise Astray(f"the checkpoint is at {point.position}, ahead of the log's end at {end}: rebuild it")
            raise Astray(f"the event at {point.position} is not the one of the view: rebuild it")
        return replace(checkpoint, position=point.position, log=identity or checkpoint.log)

    async def _between_chunks(self) -> None:
        """In the midst of a large batch: let readers go first, and give a sign of life."""
        assert self._filling is not None, "only who fills writes in chunks"
        assert self.checkpoint is not None, "a view is owned before it is filled"
        await self._filling.pause()
        if time.monotonic() - self._beaten_at > self._settings.heartbeat:
            self._beaten_at = time.monotonic()
            await self._state.beat(self.checkpoint)

    async def _taken(self, source: CatchUpSubscription, *, live: bool) -> list[RecordedEvent]:
        """The items of the next batch; a large one while filling, so that a document is seldom written twice."""
        settings = self._settings
        if live or self._filling is None:
            most = settings.most_live if live else settings.most_behind
            return await source.batch(most, settings.heartbeat, live=live)
        items = await source.batch(settings.most_filling, settings.heartbeat)
        while items and len(items) < settings.most_filling and not isinstance(items[-1], CaughtUp):
            more = await source.batch(settings.most_filling - len(items), settings.heartbeat)
            items += more
            if not more:
                break
        return items

    async def _step(self, source: CatchUpSubscription, applier: Applier, lot: ParkingLot) -> None:
        before = self.checkpoint
        assert before is not None, "a view is owned before it steps"
        live = self.status is Status.LIVE
        if live:
            await self._collect()
        items = await self._taken(source, live=live)
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
        elif items and reached > point.position and time.monotonic() - self._marked_at > MARK_EVERY:
            self._marked_at = time.monotonic()
            known = await self._known_before(reached)
            point = max(point, known) if source.is_intact else point
        if point > before.point:
            self._marked_at = time.monotonic()
        live = live or any(isinstance(item, CaughtUp) for item in items)
        whole = live and source.is_empty() and not source.misses_something
        position = max(before.position, reached)
        self.status = Status.LIVE if live else Status.CATCHING_UP
        self.last_error = lot.last_error
        after = replace(
            before,
            position=position,
            caught_up_at=now if whole else before.caught_up_at,
            updated_at=now_micros(),
            moved_at=now if position > before.position else before.moved_at,
            parked=len(lot.first),
            events=before.events + len(events),
            status=str(self.status),
            error=self.last_error,
            marked=point.position,
            mark=point.event_id,
        )
        await self._state.advance(after)
        self._ended = time.monotonic()
        self._took = self._ended - began
        self._level_at = self._ended if whole else float("-inf")
        self.checkpoint = after
        self.applied += len(events)
        self._measure(len(events))
        self.parked_streams = len(lot.first)
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

    async def _collect(self) -> None:
        """After a pause the next event is taken at once; in a flood they are taken together.

        The rest is some times as long as the last batch took: short while the view store is quick, so that readers see
        their writes soon, and longer the busier it is, since all views and readers share it.
        """
        rest = min(self._settings.pace, REST * self._took)
        await asyncio.sleep(max(0.0, self._ended + rest - time.monotonic()))
