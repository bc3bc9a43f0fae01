"""Follows the log for one view: subscribe, batch, apply, checkpoint, for ever.

The checkpoint goes last: a crash before it replays a batch, and a replay changes nothing.
"""

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from typing import Any

import structlog
from esdbclient import CaughtUp, Checkpoint
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.exceptions import EventStoreDBClientException
from prometheus_client import Counter, Gauge
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from projections.batch import Applier, Contested
from projections.config import Settings
from projections.failure import ParkingLot
from projections.lease import Keeper, this_process
from projections.source import Broken, Source
from projections.view import View
from server.eventstore.reading import being_cancelled, position_of
from server.failures import ServiceFailure
from server.readmodel import state
from server.readmodel.documents import INDEXES
from server.readmodel.log import Log
from server.readmodel.state import Fenced, Lease, ViewState, now_micros

log = structlog.get_logger()

POSITION = Gauge("orderstream_projection_position", "Commit position up to which the view holds the log.", ["view"])
APPLIED = Counter("orderstream_projection_events_total", "Events taken in.", ["view"])
RESTARTS = Counter("orderstream_projection_restarts_total", "Times it had to begin anew after a failure.", ["view"])
PARKED = Gauge("orderstream_projection_parked_streams", "Streams held back after a failing event.", ["view"])

FIRST_PAUSE = 0.1  # seconds


class Status(StrEnum):
    """The names are those of ProjectionStatus without its prefix."""

    CATCHING_UP = "CATCHING_UP"
    LIVE = "LIVE"
    FAILING = "FAILING"
    STOPPED = "STOPPED"
    STANDBY = "STANDBY"
    PAUSED = "PAUSED"


class Runner:
    """One view in one process: stands by until it is the owner, then follows, until it is told to stop.

    Whatever goes wrong, it begins anew from the checkpoint after a pause; `status` and `last_error` tell.
    """

    def __init__(
        self, view: View[Any], client: AsyncEventStoreDBClient, database: AsyncDatabase[Any], settings: Settings
    ) -> None:
        self.view = view
        self.status = Status.STOPPED
        self.applied = 0
        self.last_error = ""
        self.checkpoint: state.Checkpoint | None = None
        self.parked_streams = 0
        self._client = client
        self._database = database
        self._settings = settings
        self._state = ViewState(database)
        self._keeper = Keeper(self._state, this_process(), settings.lease)
        self._log = Log(client)
        self._stop = asyncio.Event()
        self._source: Source | None = None
        self._last_batch = 0.0
        self._missed: int | None = None

    def stop(self) -> None:
        """Finish the batch at work, write the checkpoint, end."""
        self._stop.set()
        self.nudge()

    def nudge(self) -> None:
        """Write the checkpoint now, and so learn at once if the view was taken away."""
        if self._source is not None:
            self._source.wake()

    async def run(self) -> None:
        pause = FIRST_PAUSE
        try:
            while not self._stop.is_set():
                before = self.applied
                try:
                    await self._own_and_follow()
                except Fenced as fenced:
                    log.warning("view given up", view=self.view.name, reason=str(fenced))
                except (ServiceFailure, EventStoreDBClientException, PyMongoError, Contested, Broken) as error:
                    pause = FIRST_PAUSE if self.applied > before else pause
                    await self._failed(error, pause)
                except asyncio.CancelledError as error:
                    if being_cancelled():
                        raise
                    await self._failed(error, pause)  # the client's reconnect cancels what else is under way on it
                except Exception as error:  # a defect in one view must not end it for good, nor touch the others
                    log.exception("defect", view=self.view.name)
                    await self._failed(error, pause)
                else:
                    continue
                pause = min(pause * 2, self._settings.longest_pause)
        finally:
            self.status = Status.STOPPED
            if self.checkpoint is not None:
                with suppress(PyMongoError):  # then whoever stands by waits for the lease to run out
                    await self._state.release(self.checkpoint)

    async def _failed(self, error: BaseException, pause: float) -> None:
        self.status = Status.FAILING
        self.last_error = f"{type(error).__name__}: {error}"
        RESTARTS.labels(self.view.name).inc()
        log.warning("projection begins anew", view=self.view.name, error=self.last_error, pause=pause)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), pause * random.uniform(0.5, 1.0))  # noqa: S311  # jitter

    async def _own_and_follow(self) -> None:
        name = self.view.name
        while await self._state.paused(name):
            self.status = Status.PAUSED
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._settings.lease / 10)
            if self._stop.is_set():
                return
        generation = await self._state.generation(name)
        self.checkpoint = await self._keeper.acquire(name, generation, self._stop, self._standing_by)
        if self.checkpoint is not None:
            await self._follow(generation)

    def _standing_by(self, lease: Lease) -> None:
        if self.status is not Status.STANDBY:
            log.info("standing by", view=self.view.name, owner=lease.owner)
        self.status = Status.STANDBY

    async def _follow(self, generation: int) -> None:
        view, settings = self.view, self._settings
        assert self.checkpoint is not None, "a view is owned before it is followed"
        documents = self._state.documents(view.name, generation)
        for index in INDEXES[view.name]:
            await documents.create_index(list(index))
        lot = ParkingLot(self._database, view.name, generation)
        await lot.load()
        applier = Applier(view, documents, lot, most_cached=settings.cached_documents)
        self._missed = None
        async with Source(self._client, view, self.checkpoint.position, settings.prefetched) as self._source:
            self.status = Status.CATCHING_UP
            while not self._stop.is_set():
                await self._step(self._source, applier, lot)

    async def _step(self, source: Source, applier: Applier, lot: ParkingLot) -> None:
        settings, before = self._settings, self.checkpoint
        assert before is not None, "a view is owned before it steps"
        live = self.status is Status.LIVE
        if live:
            await self._pace()
        items = await source.batch(settings.most_live if live else settings.most_behind, settings.heartbeat)
        events = [item for item in items if not isinstance(item, Checkpoint | CaughtUp)]
        if events:
            await applier.apply(events)
        reached = max((position_of(item) for item in items), default=before.position)
        now = now_micros()
        if items:
            self._missed = None
        elif not self._stop.is_set():  # woken without an item, or nothing came within a heartbeat
            reached = await self._listen(before.position)
        live = live or any(isinstance(item, CaughtUp) for item in items)
        whole = live and source.empty() and self._missed is None
        after = replace(
            before,
            position=max(before.position, reached),
            caught_up_at=now if whole else before.caught_up_at,
            updated_at=now_micros(),
            parked=len(lot.first),
        )
        await self._state.advance(after)
        self.checkpoint = after
        self.status = Status.LIVE if live else Status.CATCHING_UP
        self.applied += len(events)
        self.parked_streams = len(lot.first)
        self.last_error = lot.last_error or self.last_error
        POSITION.labels(self.view.name).set(after.position)
        APPLIED.labels(self.view.name).inc(len(events))
        PARKED.labels(self.view.name).set(self.parked_streams)

    async def _listen(self, position: int) -> int:
        """Nothing has come for a while: ask the log whether that is so. The position up to which it is.

        A subscription can be dead and look alive: a connection half open, a node that hangs. What the log has had for
        a whole heartbeat without it being brought to us says so.
        """
        ahead = await self._log.ahead_of(position, self.view.stream_filter())
        if ahead.next_event is not None and ahead.next_event == self._missed:
            raise Broken(f"silent at {position} though the log has had an event at {self._missed} for a while")
        self._missed = ahead.next_event
        return ahead.whole_until

    async def _pace(self) -> None:
        """After a pause the next event is taken at once; in a flood they are taken together."""
        await asyncio.sleep(max(0.0, self._last_batch + self._settings.pace - time.monotonic()))
        self._last_batch = time.monotonic()
