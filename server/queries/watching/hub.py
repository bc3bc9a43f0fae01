"""One subscription to the orders' streams for all watches of this process.

It runs while anybody watches. A watch that joins is told from where on; what lies before, it reads for itself. Each
watch has a bounded queue: who does not keep up is ended, and may resume.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog
from esdbclient import Checkpoint, RecordedEvent
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from prometheus_client import Gauge

from server.eventstore.reading import being_cancelled, position_of, translated
from server.failures import Draining, ServiceFailure, StoreUnavailable, TooManyWatches, WatchTooSlow
from server.queries.watching.changes import ORDER, Change, Folding
from server.readmodel.log import Log

log = structlog.get_logger()

PATTERN = "order-.*"
WATCHES = Gauge("orderstream_watches", "Watches that are open.")
WINDOW = 500  # events that the store looks through before it says how far it has come
READ_AHEAD = 1_000  # events
SILENCE = 2.0  # seconds without a word, after which the log is asked whether there was anything to say
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds between two subscriptions
PATIENCE = 15.0  # seconds without a subscription, after which all watches are ended
LINGER = 30.0  # seconds that the subscription is kept though nobody watches


@dataclass(frozen=True, slots=True)
class Limits:
    """`heartbeat` is in seconds, `waiting` in changes per watch."""

    watches: int
    waiting: int
    heartbeat: float


class Broken(Exception):  # it names what happened
    """The subscription has ended, or is silent though the log goes on."""


class Watch:
    """One watcher's queue. Every matching change behind `since` comes, each once, in the order of the log."""

    def __init__(self, hub: "Hub", since: int, wanted: Callable[[Change], bool], limits: Limits) -> None:
        self._hub = hub
        self._wanted = wanted
        self._limits = limits
        self._queue: deque[Change] = deque()
        self._news = asyncio.Event()
        self._end: ServiceFailure | None = None
        self.since = since

    def offer(self, change: Change) -> None:
        if self._end is not None or not self._wanted(change):
            return
        if len(self._queue) >= self._limits.waiting:
            self.end(WatchTooSlow(self._limits.waiting))
            return
        self._queue.append(change)
        self._news.set()

    def end(self, failure: ServiceFailure) -> None:
        self._end = self._end or failure
        self._queue.clear()
        self._news.set()

    async def changes(self) -> AsyncGenerator[Change | int, None]:
        """Changes as they come; after a silence the position up to which there is nothing more to tell."""
        while True:
            try:
                async with asyncio.timeout(self._limits.heartbeat):
                    await self._news.wait()
            except TimeoutError:
                yield self._hub.position
                continue
            if self._end is not None:
                raise self._end
            while self._queue:
                yield self._queue.popleft()
            if self._end is None:
                self._news.clear()


class Hub:
    def __init__(self, client: AsyncEventStoreDBClient, events: Log, limits: Limits) -> None:
        self._client = client
        self._log = events
        self._limits = limits
        self._watches: set[Watch] = set()
        self._joining = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._draining = False
        self._joined = asyncio.Event()
        self._of: Counter[str] = Counter()  # order id → watches of that order alone; "" → watches of many
        self.position = 0  # every change up to it has been told

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
        """End all watches; none may join any more."""
        self._draining = True
        self._end_all(Draining())

    @asynccontextmanager
    async def watch(self, wanted: Callable[[Change], bool], order_id: str = "") -> AsyncIterator[Watch]:
        """Join; with `order_id`, nothing but that order is wanted.

        Raises `TooManyWatches`, `Draining`, `StoreUnavailable`.
        """
        async with self._joining:
            if self._draining:
                raise Draining
            if len(self._watches) >= self._limits.watches:
                raise TooManyWatches(self._limits.watches)
            if self._task is None or self._task.done():
                self.position = await self._log.head()
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
            self._of -= Counter([order_id])  # and forget what is at zero
            WATCHES.dec()

    def _end_all(self, failure: ServiceFailure) -> None:
        for watch in self._watches:
            watch.end(failure)

    async def _run(self) -> None:
        folding, loop = Folding(self._log), asyncio.get_running_loop()
        alive, pause = loop.time(), FIRST_PAUSE
        try:
            while True:
                try:
                    async with self._subscribed() as items:
                        async for item in items:
                            alive, pause = loop.time(), FIRST_PAUSE
                            await self._take(folding, item)
                            if not self._watches and not await self._somebody_comes():
                                self._task = None  # who joins from here on begins another one
                                return
                except (Broken, StoreUnavailable) as error:
                    log.warning(
                        "the subscription of the watches is broken", error=str(error), watches=len(self._watches)
                    )
                if loop.time() - alive > PATIENCE:
                    return
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        except Exception:
            log.exception("the watches are ended by a defect", watches=len(self._watches))
        finally:
            if self._task is asyncio.current_task():  # nobody may wait for changes that nobody reads
                self._end_all(StoreUnavailable("event"))

    async def _somebody_comes(self) -> bool:
        """Wait a while for the next watch."""
        self._joined.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await self._joined.wait()
        return bool(self._watches)

    async def _take(self, folding: Folding, item: RecordedEvent | int) -> None:
        if isinstance(item, int):
            self.position = max(self.position, item)
            return
        if position_of(item) <= self.position:
            return
        order_id = item.stream_name.removeprefix(ORDER)
        change = await folding.take(item) if self._of[""] or self._of[order_id] else None
        self.position = position_of(item)
        if change is not None:
            for watch in tuple(self._watches):
                watch.offer(change)

    @asynccontextmanager
    async def _subscribed(self) -> AsyncIterator[AsyncIterator[RecordedEvent | int]]:
        """Events behind the position, and positions up to which there is none."""
        with translated():
            subscription: Any = await self._client.subscribe_to_all(
                commit_position=self.position or None,
                filter_include=[PATTERN],
                filter_by_stream_name=True,
                include_checkpoints=True,
                window_size=WINDOW,
                checkpoint_interval_multiplier=1,
            )
        queue: asyncio.Queue[RecordedEvent | None] = asyncio.Queue(READ_AHEAD)
        reader = asyncio.create_task(_read(subscription, queue))
        try:
            if being_cancelled():
                raise asyncio.CancelledError  # it was swallowed on the way here
            yield self._items(queue)
        finally:
            reader.cancel()
            with suppress(asyncio.CancelledError):
                await reader
            await subscription.stop()

    async def _items(self, queue: asyncio.Queue[RecordedEvent | None]) -> AsyncIterator[RecordedEvent | int]:
        while True:
            try:
                async with asyncio.timeout(SILENCE):
                    item = await queue.get()
            except TimeoutError:
                ahead = await self._log.ahead_of(self.position, PATTERN)
                if ahead.next_event is not None and queue.empty():
                    raise Broken(f"silent at {self.position}, though there is an event at {ahead.next_event}") from None
                yield ahead.whole_until
                continue
            if item is None:
                raise Broken("the subscription ended")
            yield position_of(item) if isinstance(item, Checkpoint) else item


async def _read(subscription: AsyncIterator[RecordedEvent], queue: asyncio.Queue[RecordedEvent | None]) -> None:
    # a cancelled call, ours or the client's reconnect, ends the iteration without a word
    try:
        async for item in subscription:
            await queue.put(item)
    except Exception as error:  # noqa: BLE001  # whatever it is, another subscription begins where this one ended
        log.warning("reading ahead for the watches failed", error=f"{type(error).__name__}: {error}")
    await queue.put(None)
