"""The work on delivered events, key by key: one key is worked on once at a time, and its events are answered together.

An event whose work fails is sent back after a pause, which grows with each delivery; finally the store parks it.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import Counter, Gauge

from core.background import set_within
from core.eventstore.client import RecordedEvent
from core.eventstore.persistent import Consumer
from core.failures import EventTypeUnknown, ServiceFailure, UnreadableEvent
from core.locks import KeyedLocks

log = structlog.get_logger()

EVENTS = Counter("orderstream_group_events_total", "Events delivered, and what became of them.", ["group", "outcome"])
AT_WORK = Gauge("orderstream_group_at_work", "Keys that are worked on or wait for it.", ["group"])

BEFORE_SENDING_BACK = 0.5  # seconds, multiplied by the number of deliveries
MAX_BEFORE_SENDING_BACK = 10.0
UNREAD_DELIVERIES = 3  # of an event whose order this consumer cannot read: others may run a newer release
STOP_WITHIN = 10.0  # seconds

Work = Callable[[str, RecordedEvent, int], Awaitable[None]]  # key, its newest event, number of earlier deliveries


class KeyedWork:
    """`key_of` names the key of an event, or None for an irrelevant event, which is skipped. `group` is the name of the
    consumer's group. Once `stopping` is set, nothing is begun, and pauses end.
    """

    def __init__(
        self,
        group: str,
        key_of: Callable[[RecordedEvent], str | None],
        work: Work,
        *,
        at_once: int,
        stopping: asyncio.Event,
    ) -> None:
        self._group = group
        self._key_of = key_of
        self._work = work
        self._stopping = stopping
        self._skipped = EVENTS.labels(group, "skipped")
        self._places = asyncio.Semaphore(at_once)
        self._locks = KeyedLocks()
        self._waiting: dict[str, list[RecordedEvent]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._consumer: Consumer | None = None

    @property
    def is_busy(self) -> bool:
        return bool(self._tasks)

    def deliveries_from(self, consumer: Consumer) -> None:
        """All later events are delivered by this consumer; earlier deliveries are repeated."""
        self._waiting.clear()
        self._consumer = consumer

    async def take(self, event: RecordedEvent) -> None:
        if self._stopping.is_set():
            return
        key = self._key_of(event)
        if key is None:
            self._skipped.inc()
            await self._deliverer.ack(event)
            return
        if key in self._waiting:
            self._waiting[key].append(event)
            return
        self._waiting[key] = [event]
        task = asyncio.create_task(self._work_on(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        AT_WORK.labels(self._group).set(len(self._tasks))

    async def _work_on(self, key: str) -> None:
        """One run serves all events that have arrived for the key by then."""
        async with self._locks.acquire(key), self._places:
            events = self._waiting.pop(key, [])
            if not events:
                return
            consumer = self._deliverer  # another one starts with none waiting
            before = max(event.retry_count or 0 for event in events)
            answer = "ack"
            try:
                await self._work(key, events[-1], before)
            except UnreadableEvent as failure:
                # the parked events of the group show it; the process runs again after an operator has excluded the
                # event, and when a process service starts, which may be of a newer release
                wait_for_newer = isinstance(failure, EventTypeUnknown) and before < UNREAD_DELIVERIES
                answer = "retry" if wait_for_newer else "park"
                log.error(
                    "what is needed cannot be read", group=self._group, key=key, error=str(failure), answer=answer
                )
            except ServiceFailure as failure:
                answer = "retry"
                log.warning(
                    "events are sent back", group=self._group, key=key, error=str(failure), delivered=before + 1
                )
            except Exception:  # a defect with one order must not affect the others; finally the store parks it
                answer = "retry"
                log.exception("events are sent back", group=self._group, key=key, delivered=before + 1)
        if answer == "retry":
            await set_within(self._stopping, min(BEFORE_SENDING_BACK * (before + 1), MAX_BEFORE_SENDING_BACK))
        await self._answer(events, answer, consumer)

    async def _answer(self, events: list[RecordedEvent], how: str, consumer: Consumer) -> None:
        EVENTS.labels(self._group, how).inc(len(events))
        for event in events:
            if how == "ack":
                await consumer.ack(event)
            else:
                await consumer.nack(event, how)

    @property
    def _deliverer(self) -> Consumer:
        assert self._consumer is not None, "events are delivered by a consumer"
        return self._consumer

    async def drain(self) -> None:
        """Let running work finish and be acknowledged; the other events go to another consumer at once."""
        self._waiting.clear()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_WITHIN)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
