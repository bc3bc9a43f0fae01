"""The catch-up subscription that every reader of the live log uses: views, watches and timers.

A task reads ahead into a bounded queue. Whatever ends the subscription, its user gets an exception after all events
before it, and subscribes again after the last position that it has received.

A subscription can be dead and look alive: a half-open connection, a hanging node. `check_silence` detects that: it
reads the undelivered events from the log.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Any

from core.eventstore.client import CaughtUp, Checkpoint, RecordedEvent, is_cancelling, position_of
from core.eventstore.log import START, EventFilter, EventLog, Pending

COALESCE_SECONDS = 0.002  # that the events of one append take to arrive


class SubscriptionLost(Exception):  # it names what happened
    """The subscription has ended by itself, or is silent though the log goes on."""


class _Queue(asyncio.Queue[RecordedEvent | None]):
    """One whose items can be looked at while they wait."""

    def items(self) -> list[RecordedEvent | None]:
        return list(self._queue)  # type: ignore[attr-defined]  # what subclasses may use is not in the stubs


class CatchUpSubscription:
    """Matching events behind a received position, checkpoints of the event store, and its message that it is live.

    Raises `SubscriptionLost`, `StoreUnavailable`, `LogMismatch`.
    """

    def __init__(self, log: EventLog, matching: EventFilter, position: int = START, *, prefetched: int = 1_000) -> None:
        self.position = position  # up to it, all matching events were received
        self._log = log
        self._matching = matching
        self._queue = _Queue(prefetched)
        self._failure: Exception | None = None
        self._missed: int | None = None
        self._task: asyncio.Task[None] | None = None
        self._subscription: Any = None
        self._generation = 0

    async def __aenter__(self) -> "CatchUpSubscription":
        self._generation = self._log.generation
        self._subscription = await self._log.subscribe(self._matching, self.position)
        self._task = asyncio.create_task(self._read(self._subscription))
        if is_cancelling():
            await self.__aexit__()
            raise asyncio.CancelledError  # esdbclient has swallowed it
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None, "entered before it is left"
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self._subscription.stop()

    async def _read(self, subscription: AsyncIterator[RecordedEvent]) -> None:
        # a cancelled call, ours or the client's reconnect, ends the iteration without an error
        try:
            with self._log.calling():
                async for item in subscription:
                    await self._queue.put(item)
            self._failure = SubscriptionLost("the subscription ended")
        except Exception as error:  # noqa: BLE001  # raised to the user by `batch` and `items`
            self._failure = error
        self.wake()

    def wake(self) -> None:
        """Let `batch` return at once. A full queue needs no wake-up."""
        with suppress(asyncio.QueueFull):
            self._queue.put_nowait(None)

    def is_empty(self) -> bool:
        """Whether the queue is empty."""
        return self._queue.empty()

    def waiting(self) -> list[RecordedEvent]:
        """The events that were received and not taken yet."""
        items = [item for item in self._queue.items() if item is not None]
        return [x for x in items if not isinstance(x, CaughtUp | Checkpoint) and position_of(x) > self.position]

    async def batch(self, most: int, patience: float, *, live: bool = False) -> list[RecordedEvent]:
        """All queued items, at most `most`; none if nothing arrives within `patience` seconds.

        If `live`, events of one append usually arrive together: a document is written once for them, not twice.
        """
        items: list[RecordedEvent | None] = []
        if self._queue.empty():
            self._raise_failure()
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    items.append(await self._queue.get())
            if items in ([], [None]):
                return []
        if live and self._queue.qsize() < most:
            await asyncio.sleep(COALESCE_SECONDS)
        return self._taken(items, most)

    def _taken(self, items: list[RecordedEvent | None], most: int) -> list[RecordedEvent]:
        while len(items) < most and not self._queue.empty():
            items.append(self._queue.get_nowait())
        taken = [item for item in items if item is not None and self._is_new(item)]
        if taken:
            self._missed = None
            self.position = max(self.position, *map(position_of, taken))
        return taken

    def _is_new(self, item: RecordedEvent) -> bool:
        return isinstance(item, CaughtUp | Checkpoint) or position_of(item) > self.position

    async def items(self, silence: float) -> AsyncGenerator[RecordedEvent | Pending, None]:
        """One item after the other; after each `silence` seconds without one, the result of a check of the log
        instead.
        """
        while True:
            taken = await self.batch(1, silence)
            if taken:
                yield taken[0]
            elif self._queue.empty() and self._failure is None:
                yield await self.check_silence()

    async def check_silence(self) -> Pending:
        """The pending events behind the last item. To be called after some seconds without one.

        Raises `SubscriptionLost` if they were pending at the last call too: they should have been delivered meanwhile.
        """
        pending = await self._log.pending_after(self.position, self._matching)
        if pending.next_event is not None and pending.next_event == self._missed and self._queue.empty():
            raise SubscriptionLost(
                f"silent at {self.position} though the log has had an event at {self._missed} for a while"
            )
        self._missed = pending.next_event
        if pending.next_event is None and self.is_intact:
            self.position = max(self.position, pending.head.position)
        return pending

    @property
    def is_intact(self) -> bool:
        """Whether reads of the log now are of the log that the subscription follows.

        A subscription breaks with its connection, and a log can be replaced only if connections break.
        """
        return self._failure is None and self._generation == self._log.generation

    @property
    def misses_something(self) -> bool:
        """Whether the log had an undelivered event at the last check."""
        return self._missed is not None

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
