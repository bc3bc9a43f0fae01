"""A connected reader of a persistent subscription, and the events on their way to one."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass

from embedded.eventstore.errors import HandlerError
from embedded.eventstore.event_encoding import make_structured
from embedded.eventstore.messages import persistent_pb2
from embedded.eventstore.positions import offset
from embedded.eventstore.records import Entry, decode


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
