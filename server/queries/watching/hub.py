"""The hub of watches: one subscription to the orders' streams for all watches of this process.

It runs while there are watches. A new watch gets the position from which it is served; it reads earlier events by
itself. Each watch has a bounded queue: a watch that is too slow is ended, and may resume.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from prometheus_client import Gauge

from core.background import set_within
from core.backoff import Backoff
from core.eventstore.client import CaughtUp, Checkpoint, RecordedEvent, position_of
from core.eventstore.log import START, EventLog, LogPoint, Pending, point_of, streams
from core.eventstore.subscription import CatchUpSubscription, SubscriptionLost
from core.failures import (
    Draining,
    LogMismatch,
    ServiceFailure,
    StoreFailure,
    StoreRefusal,
    StoreUnavailable,
    TooManyWatches,
    WatchTooSlow,
)
from server.queries.watching.changes import ORDER, Change, OrderChangeTracker

log = structlog.get_logger()

PATTERN = "order-.*"
WATCHES = Gauge("orderstream_watches", "Watches that are open.")
SILENCE = 2.0  # seconds of silence after which the log is checked for undelivered events
FIRST_PAUSE, MAX_PAUSE = 0.05, 1.0  # seconds between two subscriptions
PATIENCE = 15.0  # seconds without a subscription before all watches are ended
LINGER = 30.0  # seconds that the subscription is kept without watches


@dataclass(frozen=True, slots=True)
class Limits:
    """`heartbeat` is in seconds, `waiting` in changes per watch."""

    watches: int
    waiting: int
    heartbeat: float


class Watch:
    """The queue of one watch. Every matching change after `since` is delivered once, in the order of the log."""

    def __init__(self, hub: "Hub", since: int, wanted: Callable[[Change], bool], limits: Limits) -> None:
        self._hub = hub
        self._wanted = wanted
        self._limits = limits
        self._queue: deque[Change] = deque()
        self._changed = asyncio.Event()
        self._end: ServiceFailure | None = None
        self.since = since

    def offer(self, change: Change) -> None:
        if self._end is not None or not self._wanted(change):
            return
        if len(self._queue) >= self._limits.waiting:
            self.end(WatchTooSlow(self._limits.waiting))
            return
        self._queue.append(change)
        self._changed.set()

    def end(self, failure: ServiceFailure) -> None:
        self._end = self._end or failure
        self._queue.clear()
        self._changed.set()

    async def changes(self) -> AsyncGenerator[Change | LogPoint, None]:
        """Changes as they arrive; after a silence the point up to which there are no more changes."""
        while True:
            if not await set_within(self._changed, self._limits.heartbeat):
                yield self._hub.point
                continue
            if self._end is not None:
                raise self._end
            while self._queue:
                yield self._queue.popleft()
            if self._end is None:
                self._changed.clear()


class Hub:
    def __init__(self, events: EventLog, limits: Limits) -> None:
        self._log = events
        self._limits = limits
        self._watches: set[Watch] = set()
        self._joining = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._draining = False
        self._joined = asyncio.Event()
        self._of: Counter[str] = Counter()  # order id → watches of that order alone; "" → watches of many
        self.position = START  # every change up to it has been delivered
        self.point = LogPoint()  # the last such position whose event is known

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            self.drain()
            if self._task is not None:
                self._task.cancel()
                with suppress(asyncio.CancelledError):
                    await self._task

    def drain(self) -> None:
        """End all watches; no new one is accepted."""
        self._draining = True
        self._end_all(Draining())

    @asynccontextmanager
    async def watch(self, wanted: Callable[[Change], bool], order_id: str = "") -> AsyncIterator[Watch]:
        """Join; with `order_id`, only that order is wanted.

        Raises `TooManyWatches`, `Draining`, a `StoreFailure`.
        """
        async with self._joining:
            if self._draining:
                raise Draining
            if len(self._watches) >= self._limits.watches:
                raise TooManyWatches(self._limits.watches)
            if self._task is None or self._task.done():
                last = await self._log.last()
                self.point = LogPoint() if last is None else point_of(last)
                self.position = self.point.position
                self._task = asyncio.create_task(self._run())
            watch = Watch(self, self.position, wanted, self._limits)
            self._watches.add(watch)
            self._of[order_id] += 1
            self._joined.set()
            WATCHES.inc()
        try:
            yield watch
        finally:
            self._watches.discard(watch)
            self._of -= Counter([order_id])  # and remove zero counts
            WATCHES.dec()

    def _end_all(self, failure: ServiceFailure) -> None:
        for watch in self._watches:
            watch.end(failure)

    async def _run(self) -> None:
        tracker, loop = OrderChangeTracker(self._log), asyncio.get_running_loop()
        ends_with: StoreFailure = StoreUnavailable("event")
        alive, backoff = loop.time(), Backoff(FIRST_PAUSE, MAX_PAUSE)
        try:
            while True:
                try:
                    subscription = CatchUpSubscription(self._log, streams(PATTERN), await self._known_position())
                    async with subscription, aclosing(subscription.items(SILENCE)) as items:
                        async for item in items:
                            alive = loop.time()
                            backoff.reset()
                            await self._take(tracker, item)
                            if not self._watches and not await self._wait_for_a_watch():
                                self._task = None  # later watches start another one
                                return
                except LogMismatch as error:  # the log was restored: each watch resumes by its own token, or is refused
                    log.error("the watches are ended", error=str(error), watches=len(self._watches))
                    return
                except (SubscriptionLost, StoreFailure) as error:
                    ends_with = error if isinstance(error, StoreRefusal) else StoreUnavailable("event")
                    log.warning(
                        "the subscription of the watches is broken", error=str(error), watches=len(self._watches)
                    )
                if loop.time() - alive > PATIENCE:
                    return
                await backoff.rest()
        except Exception:
            log.exception("the watches are ended by a defect", watches=len(self._watches))
        finally:
            if self._task is asyncio.current_task():  # no watch may wait for changes that are not read
                self._end_all(ends_with)

    async def _known_position(self) -> int:
        """The position to subscribe at: the last event known by its id. Raises `LogMismatch` if the log lacks it."""
        if not await self._log.is_of_this_log(self.point):
            raise LogMismatch
        self.position = self.point.position
        return self.position

    async def _wait_for_a_watch(self) -> bool:
        """Wait a while for the next watch."""
        self._joined.clear()
        await set_within(self._joined, LINGER)
        return bool(self._watches)

    async def _take(self, tracker: OrderChangeTracker, item: RecordedEvent | Pending) -> None:
        if isinstance(item, Pending):
            if item.next_event is None:
                self._reach(item.head)
            return
        if isinstance(item, CaughtUp):
            return
        if isinstance(item, Checkpoint):
            self.position = max(self.position, position_of(item))
            return
        if position_of(item) <= self.position:
            return  # delivered before the subscription was lost
        order_id = item.stream_name.removeprefix(ORDER)
        change = await tracker.apply(item) if self._of[""] or self._of[order_id] else None
        self._reach(point_of(item))
        if change is not None:
            for watch in tuple(self._watches):
                watch.offer(change)

    def _reach(self, point: LogPoint) -> None:
        self.point = max(self.point, point)
        self.position = max(self.position, point.position)
