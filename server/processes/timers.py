"""Deadlines, out of the log: when an order lapses, and when a failed step is tried again.

They are events in the streams of the processes, so they outlive every restart. This follows those streams, keeps what
is due in memory, and wakes the process of an order when its time has come. Several may do so side by side.
"""

import asyncio
import heapq
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import grpc
import structlog
from esdbclient import CaughtUp, RecordedEvent
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.exceptions import EventStoreDBClientException
from prometheus_client import Counter, Gauge

from server.domain.checkout import CHECKOUT
from server.domain.checkout.events import CheckoutEnded, CheckoutStarted, CheckoutStepFailed
from server.eventstore import codec
from server.eventstore.reading import being_cancelled, position_of, translated
from server.failures import ServiceFailure
from server.processes.sender import Cause
from server.processes.triggers import cause_of, order_of

log = structlog.get_logger()

OPEN = Gauge("orderstream_process_timers", "Deadlines and retries that are waited for.")
FIRED = Counter("orderstream_process_timers_fired_total", "Deadlines and retries whose time has come.")

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds
LONGEST_SLEEP = 60.0  # seconds; the clock may be set meanwhile


@dataclass(slots=True)
class _Due:
    deadline: datetime | None
    retry_at: datetime | None
    cause: Cause

    def first(self) -> datetime | None:
        return min((at for at in (self.deadline, self.retry_at) if at is not None), default=None)


class Timers:
    """`wake(order_id, cause)` is called when something is due; `clock` gives the time in UTC."""

    def __init__(
        self,
        client: AsyncEventStoreDBClient,
        wake: Callable[[str, Cause], Awaitable[object]],
        clock: Callable[[], datetime],
        *,
        at_once: int,
    ) -> None:
        self._client = client
        self._wake = wake
        self._clock = clock
        self._places = asyncio.Semaphore(at_once)
        self._due: dict[str, _Due] = {}
        self._queue: list[tuple[datetime, str]] = []
        self._news = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._position = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow())
                group.create_task(self._fire())
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self) -> None:
        pause = FIRST_PAUSE
        while True:
            before = self._position
            try:
                await self._read()
                error = "the subscription ended"
            except (ServiceFailure, EventStoreDBClientException, grpc.RpcError, grpc.aio.UsageError) as failure:
                error = f"{type(failure).__name__}: {failure}"
            except asyncio.CancelledError:
                if being_cancelled():
                    raise
                error = "the connection was closed"
            if being_cancelled():
                raise asyncio.CancelledError  # the client ends an iteration without a word
            pause = FIRST_PAUSE if self._position > before else min(pause * 2, LONGEST_PAUSE)
            log.warning("the timers subscribe anew", error=error, pause=pause)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  # jitter

    async def _read(self) -> None:
        with translated():
            subscription: Any = await self._client.subscribe_to_all(
                commit_position=self._position or None,
                filter_include=[f"{CHECKOUT.category}-.*"],
                filter_by_stream_name=True,
                include_caught_up=True,
            )
            try:
                async for item in subscription:
                    if isinstance(item, CaughtUp):
                        self._caught_up.set()
                        continue
                    self._take(item)
                    self._position = position_of(item)
            finally:
                await subscription.stop()

    def _take(self, event: RecordedEvent) -> None:
        order_id = order_of(event.stream_name)
        if order_id is None:
            return
        try:
            data = codec.decode(event.type, event.data)
        except codec.CodecError as error:
            log.error("an event cannot be read", stream=event.stream_name, error=str(error))
            return
        known = self._due.get(order_id)
        match data:
            case CheckoutStarted():
                self._set(order_id, _Due(data.deadline, None, cause_of(event)))
            case CheckoutStepFailed():
                deadline = known.deadline if known else None
                self._set(order_id, _Due(deadline, data.retry_at, cause_of(event)))
            case CheckoutEnded():
                self._due.pop(order_id, None)
            case _ if known is not None:
                self._set(order_id, _Due(known.deadline, None, known.cause))
        OPEN.set(len(self._due))

    def _set(self, order_id: str, due: _Due) -> None:
        first = due.first()
        if first is None:
            self._due.pop(order_id, None)
            return
        self._due[order_id] = due
        heapq.heappush(self._queue, (first, order_id))
        self._news.set()

    async def _fire(self) -> None:
        await self._caught_up.wait()  # until then what looks due may be over
        while True:
            self._news.clear()
            now = self._clock()
            while self._queue and self._queue[0][0] <= now:
                _, order_id = heapq.heappop(self._queue)
                due = self._due.get(order_id)
                first = due.first() if due is not None else None
                if due is not None and first is not None and first <= now:
                    self._begin(order_id, due, now)
            wait = LONGEST_SLEEP
            if self._queue:
                wait = min(wait, max(0.0, (self._queue[0][0] - now).total_seconds()))
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._news.wait()

    def _begin(self, order_id: str, due: _Due, now: datetime) -> None:
        FIRED.inc()
        gone = [at for at in (due.deadline, due.retry_at) if at is not None and at > now]
        rest = _Due(
            due.deadline if due.deadline in gone else None, due.retry_at if due.retry_at in gone else None, due.cause
        )
        self._set(order_id, rest)
        task = asyncio.create_task(self._wake_up(order_id, due.cause))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wake_up(self, order_id: str, cause: Cause) -> None:
        """The timer is only gone when the process has looked: until then it is tried again."""
        pause = FIRST_PAUSE
        while True:
            try:
                async with self._places:
                    await self._wake(order_id, cause)
            except ServiceFailure as failure:
                log.warning("a timer has to wait", order_id=order_id, error=str(failure))
            except Exception:  # a defect with one order must not touch the others
                log.exception("a timer came to nothing", order_id=order_id)
            else:
                return
            pause = min(pause * 2, LONGEST_SLEEP)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  # jitter
