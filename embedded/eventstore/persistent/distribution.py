"""Distribution of events among the consumers of a persistent subscription, by its strategy."""

import json
import zlib

from embedded.eventstore.persistent.consumer import Consumer, Item
from embedded.eventstore.records import decode

BUCKETS = 1024


class Distribution:
    """`consumers` in the order of their turns."""

    def __init__(self, strategy: str) -> None:
        self.consumers: list[Consumer] = []
        self._strategy = strategy
        self._pinned: dict[int, Consumer] = {}

    @property
    def has_room(self) -> bool:
        return any(consumer.has_room for consumer in self.consumers)

    def remove(self, consumer: Consumer) -> None:
        self.consumers.remove(consumer)
        self._pinned = {bucket: to for bucket, to in self._pinned.items() if to is not consumer}

    def choose(self, item: Item) -> Consumer | None:
        """None if the one that it is for is full; there has to be one with room."""
        match self._strategy:
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
        if self._strategy == "PinnedByCorrelation":
            try:
                found = json.loads(decode(entry).custom_metadata)["$correlationId"]
            except (ValueError, KeyError, TypeError, RecursionError):
                return entry.stream
            if isinstance(found, str):
                return found
        return entry.stream
