"""Follows the log for one view: subscribe, batch, apply, checkpoint, for ever.

The checkpoint goes last: a crash before it replays a batch, and a replay changes nothing.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from typing import Any

import structlog
from esdbclient import CaughtUp, Checkpoint, RecordedEvent
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.exceptions import EventStoreDBClientException
from prometheus_client import Counter, Gauge
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from projections.batch import Applier, Contested
from projections.config import Settings
from projections.failure import ParkingLot
from projections.view import View
from server.readmodel import state
from server.readmodel.documents import INDEXES
from server.readmodel.state import ViewState, now_micros

log = structlog.get_logger()

POSITION = Gauge("orderstream_projection_position", "Commit position up to which the view holds the log.", ["view"])
APPLIED = Counter("orderstream_projection_events_total", "Events taken in.", ["view"])
RESTARTS = Counter("orderstream_projection_restarts_total", "Times it had to begin anew after a failure.", ["view"])
PARKED = Gauge("orderstream_projection_parked_streams", "Streams held back after a failing event.", ["view"])

CHECKPOINT_WINDOW = 500  # events the server looks through before it says how far it has come
FIRST_PAUSE = 0.1  # seconds


class Status(StrEnum):
    """The names are those of ProjectionStatus without its prefix."""

    CATCHING_UP = "CATCHING_UP"
    LIVE = "LIVE"
    FAILING = "FAILING"
    STOPPED = "STOPPED"


class Runner:
    """One view in one process. `run` ends when it is told to stop, or raises `Fenced` if another process takes over."""

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
        self._stop = asyncio.Event()
        self._last_batch = 0.0

    def stop(self) -> None:
        """Finish the batch at work, write the checkpoint, end."""
        self._stop.set()

    async def run(self) -> None:
        pause = FIRST_PAUSE
        try:
            while not self._stop.is_set():
                before = self.applied
                try:
                    await self._follow()
                except (EventStoreDBClientException, PyMongoError, Contested, _Broken) as error:
                    if self.applied > before:
                        pause = FIRST_PAUSE
                    self.status = Status.FAILING
                    self.last_error = f"{type(error).__name__}: {error}"
                    RESTARTS.labels(self.view.name).inc()
                    log.warning("projection begins anew", view=self.view.name, error=self.last_error, pause=pause)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._stop.wait(), pause * random.uniform(0.5, 1.0))  # noqa: S311  # jitter
                    pause = min(pause * 2, self._settings.longest_pause)
        finally:
            self.status = Status.STOPPED

    async def _follow(self) -> None:
        view = self.view
        generation = await self._state.generation(view.name)
        documents = self._state.documents(view.name, generation)
        for index in INDEXES[view.name]:
            await documents.create_index(list(index))
        lot = ParkingLot(self._database, view.name, generation)
        await lot.load()
        self.checkpoint = await self._state.take_over(view.name, generation)
        applier = Applier(view, documents, lot, most_cached=self._settings.cached_documents)
        self.status = Status.CATCHING_UP
        async with _Prefetch(self._client, view, self.checkpoint.position, self._settings.prefetched) as source:
            while not self._stop.is_set():
                await self._step(source, applier, lot)

    async def _step(self, source: "_Prefetch", applier: Applier, lot: ParkingLot) -> None:
        settings, before = self._settings, self.checkpoint
        assert before is not None, "a view is taken over before it steps"
        live = self.status is Status.LIVE
        if live:
            await self._pace()
        items = await source.batch(settings.most_live if live else settings.most_behind, settings.heartbeat)
        events = [item for item in items if not isinstance(item, Checkpoint | CaughtUp)]
        if events:
            await applier.apply(events)
        reached = max((item.commit_position or 0 for item in items), default=0)
        if any(isinstance(item, CaughtUp) for item in items):
            live = True
        now = now_micros()
        after = replace(
            before,
            position=max(before.position, reached),
            caught_up_at=now if live and source.empty() else before.caught_up_at,
            updated_at=now,
        )
        await self._state.advance(after)
        self.checkpoint = after
        self.status = Status.LIVE if live else Status.CATCHING_UP
        self.applied += len(events)
        self.parked_streams = len(lot.streams)
        if applier.last_error:
            self.last_error = applier.last_error
        POSITION.labels(self.view.name).set(after.position)
        APPLIED.labels(self.view.name).inc(len(events))
        PARKED.labels(self.view.name).set(self.parked_streams)

    async def _pace(self) -> None:
        """After a pause the next event is taken at once; in a flood they are taken together."""
        await asyncio.sleep(max(0.0, self._last_batch + self._settings.pace - time.monotonic()))
        self._last_batch = time.monotonic()


class _Broken(Exception):  # it names what happened
    """The subscription has ended without being asked to."""


class _Prefetch:
    """A catch-up subscription read ahead by a task of its own, into a bounded queue."""

    def __init__(self, client: AsyncEventStoreDBClient, view: View[Any], position: int, most: int) -> None:
        self._client = client
        self._view = view
        self._position = position
        self._queue: asyncio.Queue[RecordedEvent | Exception] = asyncio.Queue(most)
        self._failure: Exception | None = None
        self._task: asyncio.Task[None] | None = None
        self._subscription: Any = None

    async def __aenter__(self) -> "_Prefetch":
        self._subscription = await self._client.subscribe_to_all(
            commit_position=self._position or None,
            filter_include=self._view.stream_filter(),
            filter_by_stream_name=True,
            include_checkpoints=True,
            include_caught_up=True,
            window_size=CHECKPOINT_WINDOW,
            checkpoint_interval_multiplier=1,
        )
        self._task = asyncio.create_task(self._read(self._subscription))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None, "entered before it is left"
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self._subscription.stop()

    async def _read(self, subscription: AsyncIterator[RecordedEvent]) -> None:
        try:
            async for item in subscription:
                await self._queue.put(item)
            await self._queue.put(_Broken("the subscription ended"))
        except Exception as error:  # noqa: BLE001  # handed to whoever waits for the next batch
            await self._queue.put(error)

    async def batch(self, most: int, patience: float) -> list[RecordedEvent]:
        """All that is there, at most `most`; none if nothing comes within `patience` seconds."""
        self._raise_failure()
        items: list[RecordedEvent] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                self._take(await self._queue.get(), items)
        while len(items) < most and not self._queue.empty():
            self._take(self._queue.get_nowait(), items)
        if not items:
            self._raise_failure()
        return items

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _take(self, item: RecordedEvent | Exception, items: list[RecordedEvent]) -> None:
        if isinstance(item, Exception):
            known = isinstance(item, EventStoreDBClientException | _Broken)
            self._failure = item if known else _Broken(repr(item))
        else:
            items.append(item)

    def empty(self) -> bool:
        return self._queue.empty()
