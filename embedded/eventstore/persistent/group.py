"""A running persistent subscription: the next event, its consumer, and its outcome."""

import asyncio
import json
import logging
import time
import zlib
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import grpc

from embedded.eventstore.errors import HandlerError, RefusalError
from embedded.eventstore.event_encoding import LINK, is_hidden, make_structured, resolve
from embedded.eventstore.live_feed import Subscriber
from embedded.eventstore.log import Log
from embedded.eventstore.messages import persistent_pb2
from embedded.eventstore.persistent.config import ALL, NOWHERE, Config, dropped
from embedded.eventstore.persistent.system_events import ONLY_ADMINS, append_own, checkpoint_event, parked_metadata
from embedded.eventstore.positions import offset
from embedded.eventstore.records import ANY, TOMBSTONE, Entry, decode, system_event
from embedded.eventstore.writer import Outcome, Writer, Written
from embedded.eventstore.writing import write

log = logging.getLogger(__name__)

PARK, RETRY, SKIP, STOP = 1, 2, 3, 4  # actions of a nack; 0, unknown, counts as RETRY
ACTIONS = range(5)
BUCKETS = 1024
PAGE = 500
REPLAYED = "replayed"  # state: the lowest parked number that was delivered again and not answered for


@dataclass(slots=True, eq=False)
class Item:
    """An event on its way. `order` is its place in the source, -1 for a replayed parked one."""

    order: int
    target: Entry | None  # what a link leads to, or the event itself; None for a link to nothing
    link: Entry | None
    retries: int = 0
    deadline: float = 0.0
    sent: float = 0.0

    @property
    def ack_id(self) -> bytes:
        entry = self.link or self.target
        assert entry is not None
        return entry.id

    def message(self, *, structured: bool) -> bytes:
        response = persistent_pb2.ReadResp()
        event = response.event
        outer = self.link or self.target
        assert outer is not None
        at = offset(outer.position)
        for entry, record in ((self.target, event.event), (self.link, event.link)):
            if entry is not None:
                record.ParseFromString(decode(entry).SerializeToString())
                record.commit_position = record.prepare_position = at
        event.commit_position = at
        event.retry_count = self.retries
        if structured:
            make_structured(event)
        return bytes(response.SerializeToString())


class Consumer:
    """One connected reader."""

    def __init__(self, size: int, name: str, *, structured: bool) -> None:
        if size <= 0:
            raise HandlerError("a consumer needs room for one event")
        self.size, self.name, self.structured = size, name, structured
        self.in_flight: dict[bytes, list[Item]] = {}
        self.count = self.total = self.total_before = self.per_second = 0
        self.latencies: deque[int] = deque(maxlen=500)  # milliseconds
        self.outbox: asyncio.Queue[Item | Exception] = asyncio.Queue()  # never more than `size`

    @property
    def has_room(self) -> bool:
        return self.count < self.size

    def push(self, item: Item, timeout: float) -> None:
        item.sent = time.monotonic()
        item.deadline = item.sent + timeout
        self.in_flight.setdefault(item.ack_id, []).append(item)
        self.count += 1
        self.total += 1
        self.outbox.put_nowait(item)

    def take(self, ack_id: bytes) -> list[Item]:
        items = self.in_flight.pop(ack_id, [])
        self.count -= len(items)
        for item in items:
            self.latencies.append(int((time.monotonic() - item.sent) * 1000))
        return items


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
        self._wanted = config.wanted()
        self._next = config.first if checkpoint is None else checkpoint + 1
        self._has_looked = checkpoint is not None
        self._passes_waiting = like_24_10 and config.by_type is not None
        self._left_out: int | None = None  # the last place that the filter left out
        self.consumers: list[Consumer] = []
        self.retry: list[Item] = []
        self.buffer: deque[Item] = deque()
        self._parking: set[Item] = set()
        self._pinned: dict[int, Consumer] = {}
        self._since_checkpoint, self._checkpoint_at = 0, time.monotonic()
        self.total = self.per_second = self._total_before = 0
        self._replaying = 0
        self._replayed_kept = self._resume_at = replayed
        self._replayed: set[int] = set()  # parked numbers that were delivered again and not answered for
        self._batch = min(max(config.read_batch_size, 1), PAGE)
        self._is_live = False  # whether it has reached the end of its source
        self.live_count = 0  # events that came after that
        self._wake = asyncio.Event()
        self.subscriber = _Waking(None if config.source == ALL else config.source, self._wake)
        self._task = asyncio.create_task(self._run())

    @property
    def known(self) -> int | None:
        """The last place in the source that was looked at; None if none was."""
        return self._next - 1 if self._has_looked else None

    @property
    def replayed_from(self) -> int | None:
        """The lowest parked number that was delivered again and not answered for."""
        return self._resume_at if self._resume_at is not None else min(self._replayed, default=None)

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
        self.consumers.remove(consumer)
        self._pinned = {bucket: to for bucket, to in self._pinned.items() if to is not consumer}
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
        self._save_replayed()
        self._wake.set()

    # -------------------------------------------------------------- outcomes

    def _done(self, item: Item) -> None:
        if item.order < 0:
            assert item.link is not None
            self._replayed.discard(item.link.revision)
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
        end = self._next
        if self._passes_waiting and not self.consumers and self._left_out is not None:
            end = self._left_out + 1
        else:
            waiting += [i.order for i in self.buffer]
        place = min((order for order in waiting if order >= 0), default=end) - 1
        if place < 0 or (self.checkpoint is not None and place <= self.checkpoint):
            return
        self.checkpoint = place

        def keep(writer: Writer) -> Outcome:
            append_own(writer, self.config.checkpoint_stream, checkpoint_event(self.config.place(place)))
            return writer.keep("checkpoint", self.config.key, str(place))

        self._log.submit(keep, lambda _: None)

    def _save_replayed(self) -> None:
        lowest = self.replayed_from
        if lowest != self._replayed_kept:
            self._replayed_kept = lowest
            self._log.submit(self._keeping_replayed(lowest), lambda _: None)

    def _keeping_replayed(self, lowest: int | None) -> Callable[[Writer], Outcome]:
        text = None if lowest is None else str(lowest)
        return lambda writer: writer.keep(REPLAYED, self.config.key, text)

    # -------------------------------------------------------------- parked

    def parked_range(self) -> tuple[int, int]:
        """The first and one past the last parked event that was not replayed."""
        newest = self._log.last_of(self.config.parked_stream)
        if newest is None or newest.revision == TOMBSTONE:
            return 0, 0
        low, _ = self._log.retention(self.config.parked_stream).visible(newest.revision)
        return min(low, newest.revision + 1), newest.revision + 1

    @property
    def status(self) -> str:
        """The names of the active states, in the form of the real server."""
        config = self.config
        end = self._log.head if config.source == ALL else self._newest_revision()
        is_behind = not config.reads or self._next <= end
        flags = (
            ("Behind", is_behind),
            ("OutstandingPageRequest", config.read_batch_size < 0),
            ("ReplayingParkedMessages", self._replaying > 0),
            ("Live", not is_behind),
        )
        return ", ".join(name for name, holds in flags if holds)

    def _newest_revision(self) -> int:
        newest = self._log.last_of(self.config.source)
        return -1 if newest is None or newest.revision == TOMBSTONE else newest.revision

    async def replay(self, stop_at: int | None) -> None:
        """Deliver parked events again, up to `stop_at` (None: all that are parked now)."""
        self._replaying += 1
        try:
            await self._replay(stop_at)
        finally:
            self._replaying -= 1

    async def _replay(self, stop_at: int | None) -> None:
        await write(self._log, self._keeping_replayed(self._replayed_kept))  # after earlier parks
        first, end = self.parked_range()
        if end == 0 or self._log.retention(self.config.parked_stream).soft_deleted:
            return  # nothing was ever parked
        end = end if stop_at is None else max(first, min(end, stop_at))
        event = system_event("$metadata", {"$tb": end, "$acl": ONLY_ADMINS})
        # until each is answered for, a restart delivers them again: they are parked no longer, and not done yet
        lowest = self.replayed_from
        if end > first:
            lowest = first if lowest is None else min(first, lowest)

        def move(writer: Writer) -> Outcome:
            append_own(writer, "$$" + self.config.parked_stream, event)
            return self._keeping_replayed(lowest)(writer)

        await write(self._log, move)
        self._replayed_kept = lowest
        await self._deliver_again(first, end)

    async def _deliver_again(self, first: int, end: int) -> None:
        """What is parked from number `first` on, `end` not included."""
        at = first
        while at < end and (page := self._log.stream_page(self.config.parked_stream, at, forwards=True, count=PAGE)):
            for parked in page:
                at = parked.revision + 1
                if parked.revision < end and parked.revision not in self._replayed:
                    _, target = resolve(self._log, parked)
                    if target is not None:
                        self._replayed.add(parked.revision)
                        self.retry.append(Item(-1, target, parked))
            await asyncio.sleep(0)
        self._wake.set()

    # -------------------------------------------------------------- delivery

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                if self._resume_at is not None:
                    await self._deliver_again(self._resume_at, self.parked_range()[0])
                    self._resume_at = None
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
        if self._next == NOWHERE:
            if self.consumers:
                self.drop_consumers()
            return False
        self._push()
        return len(self.buffer) + self._batch <= self.config.history_buffer_size and self._fetch()

    def _fetch(self) -> bool:
        """Buffer a page of the source; False at its end."""
        if not self.config.reads or self._next > TOMBSTONE:
            return False
        before = len(self.buffer)
        more = self._fetch_from_all() if self.config.source == ALL else self._fetch_from_stream()
        if self._is_live:
            self.live_count += len(self.buffer) - before
        self._is_live = self._is_live or not more
        return more

    def _fetch_from_stream(self) -> bool:
        source = self.config.source
        page = self._log.stream_page(source, self._next, forwards=True, count=self._batch)
        if page:
            newest = self._log.last_of(source)
            last = newest.revision if newest else -1
            low, oldest = self._log.visible(source, self._log.retention(source), last)
            self.buffer += [self._item(e) for e in page if e.revision >= low and e.created >= oldest]
            self._next, self._has_looked = max(page[-1].revision + 1, min(low, last)), True
        return bool(page)

    def _fetch_from_all(self) -> bool:
        page = self._log.all_page(self._next - 1, forwards=True, count=self._batch)
        for entry in page:
            hidden = is_hidden(entry.stream)
            item = self._item(entry) if not hidden and self._wanted(entry) else None
            self._next, self._has_looked = entry.position + 1, True  # if that fails, it has not been passed
            if item is not None:
                self.buffer.append(item)
            elif not hidden:  # or the checkpoint of a group would call for its next one
                self._left_out = entry.position
                self._considered()
        return bool(page)

    def _item(self, entry: Entry) -> Item:
        order = self.config.order(entry)
        if self.config.resolve_links:
            is_link, target = resolve(self._log, entry)
            if is_link:
                return Item(order, target, entry)
        return Item(order, entry, None)

    def _push(self) -> None:
        if not self.consumers:
            return
        for waiting in (self.retry, self.buffer):
            left = []
            while waiting and any(c.has_room for c in self.consumers):
                item = waiting.popleft() if isinstance(waiting, deque) else waiting.pop(0)
                consumer = self._choose(item)
                if consumer is None:
                    left.append(item)  # its consumer is full; later ones of other buckets may overtake
                    continue
                consumer.push(item, self.config.message_timeout_ms / 1000)
                self.total += 1
            if isinstance(waiting, deque):
                waiting.extendleft(reversed(left))
            else:
                waiting[:0] = left

    def _choose(self, item: Item) -> Consumer | None:
        match self.config.strategy:
            case "RoundRobin":
                chosen = next(c for c in self.consumers if c.has_room)
                self.consumers.remove(chosen)
                self.consumers.append(chosen)
                return chosen
            case "DispatchToSingle":
                while not self.consumers[0].has_room:
                    self.consumers.append(self.consumers.pop(0))
                return self.consumers[0]
            case _:
                bucket = zlib.crc32(self._pin(item).encode(errors="surrogatepass")) % BUCKETS
                if bucket not in self._pinned:
                    load = list(self._pinned.values())
                    self._pinned[bucket] = min(self.consumers, key=load.count)
                chosen = self._pinned[bucket]
                return chosen if chosen.has_room else None

    def _pin(self, item: Item) -> str:
        entry = item.target
        if entry is None:
            assert item.link is not None
            return decode(item.link).data.decode(errors="replace").partition("@")[2]
        if self.config.strategy == "PinnedByCorrelation":
            try:
                found = json.loads(decode(entry).custom_metadata)["$correlationId"]
            except (ValueError, KeyError, TypeError, RecursionError):
                return entry.stream
            if isinstance(found, str):
                return found
        return entry.stream


class _Waking(Subscriber):
    def __init__(self, stream: str | None, event: asyncio.Event) -> None:
        super().__init__(stream)
        self._event = event

    def wake(self) -> None:
        self._event.set()

    def offer(self, entries: list[Entry]) -> None:  # noqa: ARG002  # the group reads them from the log
        self._event.set()
