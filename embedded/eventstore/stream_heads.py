"""What the writer knows of streams: their ends, what hides their events, and the ids of their recent events.

Like the real server's, this memory is bounded.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from embedded.eventstore.files import SELECT, to_entry
from embedded.eventstore.records import NEWEST_ONLY, NO_LIMITS, TOMBSTONE, Retention, to_retention
from embedded.eventstore.stream_index import StreamIndex

REMEMBERED_HEADS = 50_000
REMEMBERED_IDS = 500_000  # over all streams
IDS_OF_A_STREAM = 4_096  # how far back a repeated event is recognised when a stream is met again


@dataclass(slots=True)
class Head:
    """What the writer knows of a stream."""

    stream_id: int | None
    last: int
    tombstoned: bool = False
    retention: Retention | None = None  # of the stream this one is the metadata of
    known: dict[bytes, int] | None = None  # event id -> its first revision, for recent ones


class StreamHeads:
    """`flush` gives the database what was decided so far, before it is asked about it."""

    def __init__(self, connection: sqlite3.Connection, index: StreamIndex, flush: Callable[[], None]) -> None:
        self._db = connection
        self._index = index
        self._flush = flush
        self._heads: OrderedDict[str, Head] = OrderedDict()
        self.remembered = 0  # ids, over all streams

    def limit(self) -> None:
        """Forget what was not needed for the longest time."""
        while len(self._heads) > REMEMBERED_HEADS:
            self._forget(self._heads.popitem(last=False)[1])
        if self.remembered > REMEMBERED_IDS:
            for head in self._heads.values():
                self._forget(head)

    def clear(self) -> None:
        self._heads.clear()
        self.remembered = 0

    def look_up(self, streams: Iterable[str]) -> None:
        """Learn of these streams and their metadata at once, before each is asked for alone. Right after the
        transaction has begun."""
        names = [
            name
            for stream in streams
            for name in (stream, "$$" + stream)
            if name not in self._heads and "\0" not in name
        ]
        if not names:
            return
        found = self._index.find_all(self._db, names)
        for name in names:
            self._heads[name] = self._head_of(found[name]) if name in found else Head(None, -1)

    def retention(self, stream: str) -> Retention:
        if stream.startswith("$$"):
            return NEWEST_ONLY
        head = self.get("$$" + stream)
        if head.retention is None:
            head.retention = self._read_retention(head)
        return head.retention

    def _read_retention(self, head: Head) -> Retention:
        if head.last < 0:
            return NO_LIMITS
        self._flush()
        row = self._db.execute(SELECT + "WHERE e.stream = ? AND e.revision = ?", (head.stream_id, head.last)).fetchone()
        return to_retention(to_entry(row))

    def ids(self, head: Head) -> dict[bytes, int]:
        if head.known is None:
            self._flush()
            rows = self._db.execute(
                "SELECT id, revision FROM events WHERE stream = ? AND revision < ? ORDER BY revision DESC LIMIT ?",
                (head.stream_id, TOMBSTONE, IDS_OF_A_STREAM),
            )
            head.known = dict(rows.fetchall())  # newest first: of two with one id the older stays
            self.remembered += len(head.known)
        return head.known

    def _forget(self, head: Head) -> None:
        if head.known is not None:
            self.remembered -= len(head.known)
            head.known = None

    def get(self, stream: str) -> Head:
        head = self._heads.get(stream)
        if head is not None:
            self._heads.move_to_end(stream)
            return head
        head = self._heads[stream] = self._read_head(stream)
        return head

    def _read_head(self, stream: str) -> Head:
        number = self._index.find(self._db, stream)
        return Head(None, -1) if number is None else self._head_of(number)

    def _head_of(self, stream_id: int) -> Head:
        last = self._db.execute(
            "SELECT revision FROM events WHERE stream = ? ORDER BY revision DESC LIMIT 2", (stream_id,)
        ).fetchall()
        numbers = [number for (number,) in last if number != TOMBSTONE]
        return Head(stream_id, numbers[0] if numbers else -1, tombstoned=len(numbers) < len(last))
