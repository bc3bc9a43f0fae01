"""A running persistent subscription: the next event, its consumer, and its outcome."""

import asyncio
import logging
import time
from bisect import insort
from collections import deque
from collections.abc import Iterable
from functools import partial

import grpc

from embedded.eventstore.errors import RefusalError
from embedded.eventstore.event_encoding import LINK
from embedded.eventstore.live_feed import Subscriber
from embedded.eventstore.log import Log
from embedded.eventstore.persistent.config import ALL, NOWHERE, Config, dropped
from embedded.eventstore.persistent.consumer import Consumer, Item
from embedded.eventstore.persistent.distribution import Distribution
from embedded.eventstore.persistent.replay import ParkedReplay
from embedded.eventstore.persistent.source import Source
from embedded.eventstore.persistent.system_events import append_own, checkpoint_event, parked_metadata
from embedded.eventstore.records import ANY, Entry, decode, system_event
from embedded.eventstore.writer import Outcome, Writer, Written

log = logging.getLogger(__name__)

PARK, RETRY, SKIP, STOP = 1, 2, 3, 4  # actions of a nack; 0, unknown, counts as RETRY
ACTIONS = range(5)


class Group:
    """A subscription and its consumers. Everything happens on the event loop.

    With `like_24_10` one on `$all` with a filter has the fault of real servers: while no consumer is connected, each
    event that the filter leaves out moves the checkpoint past those that wait. After a restart these are not delivered.
    """

    def __init__(
        self, log: Log, config: Config, checkpoint: int | None, replayed: int | None, *, like_24_10: bool = False
    ) -> None:
        self.config, self.checkpoint = config, checkpoint
        self._log = log
        self._passes_waiting = like_24_10 and config.by_type is not None
        self._distribution = Distribution(config.strategy)
        self.consumers = self._distribution.consumers
        self.source = Source(log, config, checkpoint, passed=self._considered)
        self.retry: list[Item] = []
        self._parking: set[Item] = set()
        self._since_checkpoint, self._checkpoint_at = 0, time.monotonic()
        self.total = self.per_second = self._total_before = 0
        self._wake = asyncio.Event()
        self.parked = ParkedReplay(log, config, replayed, self._again, self._wake.set)
        self.subscriber = _Waking(None if config.source == ALL else config.source, self._wake)
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        self.drop_consumers()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    # -------------------------------------------------------------- consumers

    def connect(self, consumer: Consumer) -> None:
        most = self.config.max_subscriber_count
        if most and len(self.consumers) >= most:
            raise RefusalError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"Maximum subscriptions reached for subscription group {self.config.group} on stream "
                f"{self.config.source}.",
                exception="maximum-subscribers-reached",
                stream_name=self.config.source,
                group_name=self.config.group,
            )
        self.consumers.append(consumer)
        self._wake.set()

    def disconnect(self, consumer: Consumer) -> None:
        """What it had not acknowledged goes to others, before anything new."""
        if consumer not in self.consumers:
            return
        self._distribution.remove(consumer)
        for item in [item for items in consumer.in_flight.values() for item in items]:
            item.retries += 1
            self._again(item)
        self._wake.set()

    def drop_consumers(self) -> None:
        for consumer in tuple(self.consumers):
            self.disconnect(consumer)
            consumer.outbox.put_nowait(dropped(self.config.source, self.config.group))

    def ack(self, consumer: Consumer, ids: Iterable[bytes]) -> None:
        for ack_id in ids:
            for item in self._take(consumer, ack_id):
                self._done(item)
        self._wake.set()

    def nack(self, consumer: Consumer, ids: Iterable[bytes], action: int, reason: str) -> None:
        for ack_id in ids:
            for item in self._take(consumer, ack_id):
                if action in (SKIP, STOP):
                    self._done(item)
                elif action == PARK:
                    self._park(item, f"Client explicitly NAK'ed message.\n{reason}")
                else:
                    self._retry_or_park(item)
        self._wake.set()

    def _take(self, consumer: Consumer, ack_id: bytes) -> list[Item]:
        """What is in flight under that id. A consumer may answer for an event that another was given."""
        if items := consumer.take(ack_id):
            return items
        return [item for other in self.consumers if other is not consumer for item in other.take(ack_id)]

    def tick(self) -> None:
        """Once a second: overdue events, checkpoint, rates."""
        now = time.monotonic()
        for consumer in self.consumers:
            overdue = [i.ack_id for items in consumer.in_flight.values() for i in items if i.deadline <= now]
            for ack_id in overdue:
                for item in consumer.take(ack_id):
                    self._retry_or_park(item)
            consumer.per_second, consumer.total_before = consumer.total - consumer.total_before, consumer.total
        self.per_second, self._total_before = self.total - self._total_before, self.total
        after = self.config.checkpoint_after_ms / 1000  # 0: never
        if self._since_checkpoint >= self.config.min_checkpoint_count and after and now - self._checkpoint_at >= after:
            self._save_checkpoint()
        self.parked.save()
        self._wake.set()

    # -------------------------------------------------------------- outcomes

    def _done(self, item: Item) -> None:
        if item.order < 0:
            assert item.link is not None
            self.parked.has_outcome(item.link.revision)
        self._considered()

    def _considered(self) -> None:
        self._since_checkpoint += 1
        if self._since_checkpoint >= max(self.config.max_checkpoint_count, 1):
            self._save_checkpoint()

    def _again(self, item: Item) -> None:
        if item.order < 0:
            self.retry.append(item)
        else:
            replayed = [i for i in self.retry if i.order < 0]
            ordered = [i for i in self.retry if i.order >= 0]
            insort(ordered, item, key=lambda i: i.order)
            self.retry = ordered + replayed

    def _retry_or_park(self, item: Item) -> None:
        if item.retries < self.config.max_retry_count:
            item.retries += 1
            self._again(item)
        else:
            self._park(item, f"Reached retry count of {self.config.max_retry_count}")

    def _park(self, item: Item, reason: str) -> None:
        outer = item.link or item.target
        assert outer is not None
        target = item.target
        # of a link to nothing what it says is all there is of its target
        data = decode(outer).data if target is None else f"{target.revision}@{target.stream}".encode()
        metadata = parked_metadata(reason, outer.revision)
        event = system_event(LINK, None)._replace(is_json=False, data=data, metadata=metadata)
        self._parking.add(item)  # the checkpoint must not pass it before it is on disk

        def done(outcome: Outcome) -> None:
            self._parking.discard(item)
            if isinstance(outcome, Written):
                self._done(item)
            else:
                self._again(item)
            self._wake.set()

        self._log.submit(partial(Writer.append, stream=self.config.parked_stream, expected=ANY, events=[event]), done)

    def _save_checkpoint(self) -> None:
        self._since_checkpoint, self._checkpoint_at = 0, time.monotonic()
        waiting = [i.order for c in self.consumers for items in c.in_flight.values() for i in items]
        waiting += [i.order for i in (*self.retry, *self._parking)]
        end = self.source.next
        if self._passes_waiting and not self.consumers and self.source.left_out is not None:
            end = self.source.left_out + 1
        else:
            waiting += [i.order for i in self.source.buffer]
        place = min((order for order in waiting if order >= 0), default=end) - 1
        if place < 0 or (self.checkpoint is not None and place <= self.checkpoint):
            return
        self.checkpoint = place

        def keep(writer: Writer) -> Outcome:
            append_own(writer, self.config.checkpoint_stream, checkpoint_event(self.config.place(place)))
            return writer.keep("checkpoint", self.config.key, str(place))

        self._log.submit(keep, lambda _: None)

    @property
    def status(self) -> str:
        """The names of the active states, in the form of the real server."""
        is_behind = self.source.is_behind
        flags = (
            ("Behind", is_behind),
            ("OutstandingPageRequest", self.config.read_batch_size < 0),
            ("ReplayingParkedMessages", self.parked.is_running),
            ("Live", not is_behind),
        )
        return ", ".join(name for name, holds in flags if holds)

    # -------------------------------------------------------------- delivery

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self.parked.resume()
                more = self._advance()
            except Exception as error:
                refused = isinstance(error, RefusalError)
                log.error("the subscription %s cannot go on: %s", self.config.key, error, exc_info=not refused)
                for consumer in tuple(self.consumers):
                    self.disconnect(consumer)
                    consumer.outbox.put_nowait(error)
                more = False
                self._wake.clear()
            if more:
                await asyncio.sleep(0)
            else:
                await self._wake.wait()

    def _advance(self) -> bool:
        """Deliver what can be delivered; True if there may be more at once."""
        if self.source.next == NOWHERE:
            if self.consumers:
                self.drop_consumers()
            return False
        self._push()
        return self.source.has_room and self.source.fetch()

    def _push(self) -> None:
        if not self.consumers:
            return
        for waiting in (self.retry, self.source.buffer):
            left = []
            while waiting and self._distribution.has_room:
                item = waiting.popleft() if isinstance(waiting, deque) else waiting.pop(0)
                consumer = self._distribution.choose(item)
                if consumer is None:
                    left.append(item)  # its consumer is full; later ones of other buckets may overtake
                    continue
                consumer.push(item, self.config.message_timeout_ms / 1000)
                self.total += 1
            if isinstance(waiting, deque):
                waiting.extendleft(reversed(left))
            else:
                waiting[:0] = left


class _Waking(Subscriber):
    def __init__(self, stream: str | None, event: asyncio.Event) -> None:
        super().__init__(stream)
        self._event = event

    def wake(self) -> None:
        self._event.set()

    def offer(self, entries: list[Entry]) -> None:  # noqa: ARG002  # the group reads them from the log
        self._event.set()
