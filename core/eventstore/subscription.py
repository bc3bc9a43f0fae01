"""The catch-up subscription that every reader of the live log uses: views, watches and timers.

A task of its own reads ahead into a bounded queue. Whatever ends the subscription, its user learns of it by an
exception once everything before has been taken, and subscribes again after the last position it has taken.

A subscription can be dead and look alive: a connection that is half open, a node that hangs. `check_silence` finds out:
the log is asked for what was not delivered.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Any

from core.eventstore.client import CaughtUp, Checkpoint, RecordedEvent, is_cancelling, position_of
from core.eventstore.log import START, EventFilter, EventLog, Pending

COALESCE_SECONDS = 0.002  # that the events of one append take to arrive


class SubscriptionLost(Exception):  # it names what happened
    """The subscription has ended without being asked to, or is silent though the log goes on."""


class CatchUpSubscription:
    """Events that match behind a received position, checkpoints of the event store, and its message that it is live.

    Raises `SubscriptionLost`, `StoreUnavailable`, `LogMismatch`.
    """

    def __init__(self, log: EventLog, matching: EventFilter, position: int = START, *, prefetched: int = 1_000) -> None:
        self.position = position  # up to it, all that matches was taken
        self._log = log
        self._matching = matching
        self._queue: asyncio.Queue[RecordedEvent | None] = asyncio.Queue(prefetched)
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
            raise asyncio.CancelledError  # it was swallowed on the way here
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None, "entered before it is left"
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self._subscription.stop()

    async def _read(self, subscription: AsyncIterator[RecordedEvent]) -> None:
        # a cancelled call, ours or the client's reconnect, ends the iteration without a word
        try:
            with self._log.calling():
                async for item in subscription:
                    await self._queue.put(item)
            self._failure = SubscriptionLost("the subscription ended")
        except Exception as error:  # noqa: BLE001  # raised to the user by `batch` and `items`
            self._failure = error
        self.wake()

    def wake(self) -> None:
        """Let `batch` return at once. A full queue needs no waking."""
        with suppress(asyncio.QueueFull):
            self._queue.put_nowait(None)

    def is_empty(self) -> bool:
        """Whether nothing waits to be taken."""
        return self._queue.empty()

    async def batch(self, most: int, patience: float, *, live: bool = False) -> list[RecordedEvent]:
        """All that is there, at most `most`; nothing if nothing comes within `patience` seconds.

        When `live`, what was appended together mostly comes together: a document is written once for it, not twice.
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
        """One item after the other; after each `silence` seconds without one, what the log says instead."""
        while True:
            taken = await self.batch(1, silence)
            if taken:
                yield taken[0]
            elif self._queue.empty() and self._failure is None:
                yield await self.check_silence()

    async def check_silence(self) -> Pending:
        """What lies behind the last item. To be called after some seconds without one.

        Raises `SubscriptionLost` if it is what was there at the last call: it should have been delivered meanwhile.
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
        """Whether what is read from the log now is of the log that the subscription follows.

        A subscription breaks when its connection does, and a log can be replaced only behind a connection that breaks.
        """
        return self._failure is None and self._generation == self._log.generation

    @property
    def misses_something(self) -> bool:
        """Whether the log had an event at the last check that has not been delivered yet."""
        return self._missed is not None

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
