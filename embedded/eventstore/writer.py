"""The rules of writing: expected revisions, idempotency, deletion. One transaction at a time.

Only the committer's thread uses a writer. What it decides is visible to readers once `commit` has returned.
"""

import sqlite3
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from embedded.eventstore.records import (
    ANY,
    EMPTY_APPENDS,
    NO_STREAM,
    STREAM_EXISTS,
    TOMBSTONE,
    Entry,
    Proposed,
    Retention,
    checksum,
    encode,
    system_event,
    ticks,
)
from embedded.eventstore.stream_heads import Head, StreamHeads
from embedded.eventstore.stream_index import StreamIndex, StreamRow

ROWS_AT_ONCE = 64  # in one statement; each number up to it is a statement that SQLite keeps prepared


class Written(NamedTuple):
    """`revision` -1: nothing was written and the stream has no event. `position` None: no longer readable."""

    revision: int
    position: int | None


class WrongVersion(NamedTuple):
    actual: int


class Deleted(NamedTuple):
    stream: str


Outcome = Written | WrongVersion | Deleted | BaseException


@cache
def _insert(table: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"INSERT INTO {table} VALUES {', '.join([row] * rows)}"  # noqa: S608  # both are ours


class Writer:
    """The decisions of one transaction."""

    heads: type[StreamHeads] = StreamHeads

    def __init__(self, connection: sqlite3.Connection, last_position: int) -> None:
        self._db = connection
        self._next = last_position + 1
        self._new: list[Entry] = []
        self._rows: list[tuple[object, ...]] = []  # of `events`, not yet in the database
        self._stream_rows: list[StreamRow] = []  # of `streams`, the same
        self._new_streams: list[StreamRow] = []  # of this transaction
        self.stream_index = StreamIndex(connection)
        self._heads = self.heads(connection, self.stream_index, self._flush)
        self.look_up = self._heads.look_up

    def begin(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> list[Entry]:
        self._flush()
        indexed = self.stream_index.are_many(len(self._new_streams))
        if indexed:
            self.stream_index.index(self._db)
        self._db.execute("COMMIT")
        self.stream_index.committed(self._new_streams, indexed=indexed)
        self._new_streams = []
        entries, self._new = self._new, []
        self._heads.limit()
        return entries

    def roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._next -= len(self._new)
        self._new, self._rows, self._stream_rows, self._new_streams = [], [], [], []
        self._heads.clear()

    # -------------------------------------------------------------- the rules

    def append(self, stream: str, expected: int, events: Sequence[Proposed]) -> Outcome:
        head = self._heads.get(stream)
        if head.tombstoned:
            return Deleted(stream)
        retention = self._heads.retention(stream)
        refused = self._check(stream, head, retention, expected, events)
        if refused is not None:
            return refused
        if not events:
            # a real server writes a commit record, which has a position and no event
            commit = self.put(EMPTY_APPENDS, [system_event("$emptyAppend", None)])
            return Written(head.last, commit.position)
        first = head.last + 1
        owner_deleted = stream.startswith("$$") and self._heads.retention(stream[2:]).soft_deleted
        written = self.put(stream, events)
        if retention.soft_deleted:
            self._truncate(stream, retention, first)
        elif owner_deleted:
            owner = stream[2:]
            self._truncate(owner, self._heads.retention(owner), self._heads.get(owner).last + 1)
        return written

    def delete(self, stream: str, expected: int) -> Outcome:
        head = self._heads.get(stream)
        if head.tombstoned:
            return Deleted(stream)
        if head.last < 0 and self._heads.get("$$" + stream).last < 0:
            return WrongVersion(-1)
        refused = self._check_delete(stream, head, expected)
        if refused is not None:
            return refused
        return self.put("$$" + stream, [system_event("$metadata", {"$tb": TOMBSTONE})])

    def tombstone(self, stream: str, expected: int) -> Outcome:
        head = self._heads.get(stream)
        if head.tombstoned:
            return Deleted(stream)
        refused = self._check_delete(stream, head, expected)
        if refused is not None:
            return refused
        event = system_event("$streamDeleted", None)._replace(is_json=False, data=b"")
        return self.put(stream, [event], revision=TOMBSTONE)

    def _check(
        self, stream: str, head: Head, retention: Retention, expected: int, events: Sequence[Proposed]
    ) -> Outcome | None:
        if expected == STREAM_EXISTS and (missing := self._check_exists(stream, head, retention)):
            return missing
        if expected in (ANY, STREAM_EXISTS):
            return self._repeated_anywhere(head, retention, events)
        if expected > head.last:
            return WrongVersion(head.last)
        if expected < head.last:
            return self._repeated_at(head, retention, expected, events)
        return None

    def _check_exists(self, stream: str, head: Head, retention: Retention) -> Outcome | None:
        if retention.soft_deleted:
            return Deleted(stream)
        if head.last < 0 and self._heads.get("$$" + stream).last < 0:
            return WrongVersion(-1)
        return None

    def _check_delete(self, stream: str, head: Head, expected: int) -> Outcome | None:
        retention = self._heads.retention(stream)
        if expected == STREAM_EXISTS:
            return self._check_exists(stream, head, retention)
        if expected in (ANY, head.last) or (expected == NO_STREAM and retention.soft_deleted):
            return None
        return WrongVersion(head.last)

    def _repeated_anywhere(self, head: Head, retention: Retention, events: Sequence[Proposed]) -> Outcome | None:
        if head.last < 0 or not events:
            return None
        known = self._heads.ids(head)
        revision = -1
        for index, event in enumerate(events):
            found = known.get(event.id)
            if found is None:
                return None if index == 0 else WrongVersion(head.last)
            revision = found
        return self._replayed(head, retention, revision)

    def _repeated_at(
        self, head: Head, retention: Retention, expected: int, events: Sequence[Proposed]
    ) -> Outcome | None:
        self._flush()
        rows = self._db.execute(
            "SELECT id FROM events WHERE stream = ? AND revision > ? AND revision < ? ORDER BY revision LIMIT ?",
            (head.stream_id, expected, TOMBSTONE, len(events)),
        ).fetchall()
        same = [row[0] == event.id for row, event in zip(rows, events, strict=False)]
        if events and len(rows) == len(events) and all(same):
            return self._replayed(head, retention, expected + len(events))
        if events and not same[0] and expected == NO_STREAM and retention.soft_deleted:
            return None
        return WrongVersion(head.last)

    def _replayed(self, head: Head, retention: Retention, revision: int) -> Written:
        self._flush()
        position, created = self._db.execute(
            "SELECT position, created FROM events WHERE stream = ? AND revision = ?", (head.stream_id, revision)
        ).fetchone()
        low, oldest = retention.visible(head.last)
        return Written(revision, position if revision >= low and created >= oldest else None)

    def _truncate(self, stream: str, retention: Retention, before: int) -> None:
        self.put("$$" + stream, [system_event("$metadata", {**(retention.raw or {}), "$tb": before})])

    # -------------------------------------------------------------- rows

    def put(self, stream: str, events: Sequence[Proposed], revision: int | None = None) -> Written:
        """Add events at the end, unchecked. `revision` is for the tombstone alone."""
        head = self._heads.get(stream)
        if head.stream_id is None:
            head.stream_id = self._new_stream(stream)
        created = ticks()
        entries = []
        for event in events:
            number = head.last + 1 if revision is None else revision
            encoded = encode(event, stream, number, self._next, created)
            entries.append(Entry(self._next, stream, number, event.id, event.type, created, encoded))
            self._next += 1
            if revision is not None:
                head.tombstoned = True
                continue
            head.last = number
            if head.known is not None:
                head.known.setdefault(event.id, number)
        if head.known is not None and not head.tombstoned:
            self._heads.remembered += len(entries)
        self._new += entries
        self._add_rows(head.stream_id, entries)
        if stream.startswith("$$"):
            head.retention = None
        return Written(entries[-1].revision, entries[-1].position)

    def keep(self, kind: str, key: str, value: str | None) -> Written:
        """Set a piece of the node's own state; None forgets it."""
        if value is None:
            self._db.execute("DELETE FROM state WHERE kind = ? AND key = ?", (kind, key))
        else:
            self._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", (kind, key, value))
        return Written(-1, self._next - 1)

    def last_of(self, stream: str) -> int:
        """The last revision of a stream, -1 if it has none; the tombstone does not count."""
        return self._heads.get(stream).last

    def is_tombstoned(self, stream: str) -> bool:
        return self._heads.get(stream).tombstoned

    def _new_stream(self, stream: str) -> int:
        row = StreamRow.of(self.stream_index.last + len(self._new_streams) + 1, stream)
        self._stream_rows.append(row)
        self._new_streams.append(row)
        return row.number

    def _add_rows(self, stream_id: int, entries: Sequence[Entry]) -> None:
        self._rows += [
            (e.position, stream_id, e.revision, e.id, e.type, e.created, checksum(e), e.encoded) for e in entries
        ]

    def _flush(self) -> None:
        """Give the database what was decided so far: before it is asked about it, and before the commit.

        Many rows in one statement, since each statement makes this thread wait for the interpreter's lock again.
        """
        for table, columns, rows in (("streams (id, name, checksum)", 3, self._stream_rows), ("events", 8, self._rows)):
            for first in range(0, len(rows), ROWS_AT_ONCE):
                some = rows[first : first + ROWS_AT_ONCE]
                self._db.execute(_insert(table, columns, len(some)), [value for row in some for value in row])
        self._rows, self._stream_rows = [], []
