"""The log: one SQLite file, one writer thread, one fsync for everything that waits.

Positions are given inside the commit, by the one writer, so they become visible in order. An append is acknowledged
after the commit that holds it has returned, and SQLite (WAL, synchronous=FULL) returns after the fsync.
"""

import fcntl
import json
import logging
import queue
import sqlite3
import threading
import time
import uuid
import zlib
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import IO, NamedTuple

from esdbclient.protos.Grpc import streams_pb2

log = logging.getLogger(__name__)

NO_STREAM, ANY, STREAM_EXISTS = -1, -2, -4
TOMBSTONE = 2**63 - 1  # the revision of $streamDeleted, and the $tb of a soft-deleted stream
APPLICATION_ID = 0x0E5DB10C
SCHEMA_VERSION = 1
MOST_IN_ONE_COMMIT = 512
REMEMBERED_HEADS = 50_000
RECENT = 8_192  # entries kept for subscribers that keep up

_SCHEMA = """
CREATE TABLE streams (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL REFERENCES streams (id),
    revision INTEGER NOT NULL,
    id BLOB NOT NULL,
    type TEXT NOT NULL,
    created INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    encoded BLOB NOT NULL
);
CREATE UNIQUE INDEX events_by_revision ON events (stream, revision);
"""
_COLUMNS = "e.position, s.name, e.revision, e.id, e.type, e.created, e.checksum, e.encoded"
_FROM = "FROM events e JOIN streams s ON s.id = e.stream"


class LogError(Exception):
    """One line that says what is wrong with the data directory, and what to do."""


class DamagedRecordError(Exception):
    """A stored record is not what was written. It is never served."""


class Proposed(NamedTuple):
    """An event to write. `id` is the 16 bytes of the UUID."""

    id: bytes
    type: str
    is_json: bool
    data: bytes
    metadata: bytes


class Entry(NamedTuple):
    """An event in the log. `encoded` is its ReadResp as it goes over the wire; `created` is in ticks of 100 ns."""

    position: int
    stream: str
    revision: int
    id: bytes
    type: str
    created: int
    encoded: bytes


class Written(NamedTuple):
    revision: int  # -1: nothing was written and the stream has no event
    position: int


class WrongVersion(NamedTuple):
    actual: int


class Deleted(NamedTuple):
    stream: str


Outcome = Written | WrongVersion | Deleted | BaseException


@dataclass(slots=True)
class Head:
    """What the writer knows of a stream."""

    stream_id: int | None
    last: int
    tombstoned: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What stream metadata hides. `raw` is the JSON object, {} if there is none or it is not valid."""

    max_count: int | None = None
    max_age: int | None = None
    truncate_before: int = 0
    raw: dict[str, object] | None = None

    @property
    def soft_deleted(self) -> bool:
        return self.truncate_before == TOMBSTONE


class _Job(NamedTuple):
    run: Callable[["_Writer"], Outcome]
    done: Callable[[Outcome], None]


def ticks() -> int:
    """Now, in units of 100 ns since the Unix epoch."""
    return time.time_ns() // 100


def to_limits(entry: Entry | None) -> Limits:
    """From the newest event of a metadata stream. Anything malformed counts as no metadata."""
    if entry is None:
        return Limits()
    record = streams_pb2.ReadResp.FromString(entry.encoded).event.event
    if record.metadata["content-type"] != "application/json":
        return Limits()
    try:
        raw = json.loads(record.data)
    except ValueError:
        return Limits()
    if not isinstance(raw, dict):
        return Limits()
    count, age, before = raw.get("$maxCount"), raw.get("$maxAge"), raw.get("$tb", 0)
    for value, least in ((count, 1), (age, 1), (before, 0)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63):
            return Limits()
    return Limits(count, age, before, raw)


def encode(proposed: Proposed, stream: str, revision: int, position: int, created: int) -> bytes:
    """The event as every reader gets it: a ReadResp with the id as text."""
    response = streams_pb2.ReadResp()
    event = response.event
    event.commit_position = position
    record = event.event
    record.id.string = uuid_text(proposed.id)
    record.stream_identifier.stream_name = stream.encode()
    record.stream_revision = revision
    record.prepare_position = record.commit_position = position
    record.metadata["type"] = proposed.type
    record.metadata["created"] = str(created)
    record.metadata["content-type"] = "application/json" if proposed.is_json else "application/octet-stream"
    record.custom_metadata = proposed.metadata
    record.data = proposed.data
    return response.SerializeToString()


def uuid_text(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Log:
    """Open one data directory. Appends may come from any thread; reads belong to the thread that calls them first."""

    def __init__(self, directory: Path, *, synchronous: str = "FULL") -> None:
        self._directory = directory
        self._synchronous = synchronous
        self._lock_file = _take(directory)
        self._path = directory / "events.db"
        self._writer_connection = self._open()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._listeners: set[Callable[[], None]] = set()
        self._recent: deque[Entry] = deque(maxlen=RECENT)
        self._readers = threading.local()
        self.head = self._writer_connection.execute("SELECT coalesce(max(position), 0) FROM events").fetchone()[0]
        self._writer = _Writer(self._writer_connection, self.head)
        if self.head == 0:
            self._seed()
        self._thread = threading.Thread(target=self._commit_forever, name="committer", daemon=True)
        self._thread.start()

    # -------------------------------------------------------------- writing

    def submit(self, run: Callable[["_Writer"], Outcome], done: Callable[[Outcome], None]) -> None:
        """Queue a write. `done` is called on the committer's thread, after the commit or with what prevented it."""
        self._jobs.put(_Job(run, done))

    def on_commit(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` (on the committer's thread) after each commit; returns how to stop that."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join()
        self._writer_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._writer_connection.close()
        self._lock_file.close()

    def _commit_forever(self) -> None:
        while (first := self._jobs.get()) is not None:
            jobs = [first]
            stopping = False
            while len(jobs) < MOST_IN_ONE_COMMIT:
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if job is None:
                    stopping = True
                    break
                jobs.append(job)
            self._commit(jobs)
            if stopping:
                return

    def _commit(self, jobs: Sequence[_Job]) -> None:
        writer = self._writer
        outcomes: list[Outcome] = []
        try:
            writer.begin()
            for job in jobs:
                try:
                    outcomes.append(job.run(writer))
                except sqlite3.Error:
                    raise
                except Exception as error:  # noqa: BLE001  # a request that cannot be carried out must not hurt the others
                    outcomes.append(error)
            entries = writer.commit()
        except sqlite3.Error as error:
            log.error("nothing of %d requests was written: %s", len(jobs), error)
            writer.roll_back()
            outcomes = [error] * len(jobs)
        else:
            if entries:
                self._recent.extend(entries)
                self.head = entries[-1].position
        for job, outcome in zip(jobs, outcomes, strict=True):
            job.done(outcome)
        for listener in tuple(self._listeners):
            listener()

    def _seed(self) -> None:
        # clients expect the first event of a fresh database to be a system event
        self._writer.begin()
        self._writer.put(
            "$$$scavenges",
            [Proposed(bytes(15) + b"\1", "$metadata", is_json=True, data=b'{"$maxAge":2592000}', metadata=b"")],
        )
        self.head = self._writer.commit()[-1].position

    # -------------------------------------------------------------- reading

    def limits(self, stream: str) -> Limits:
        return to_limits(self.last_of("$$" + stream))

    def last_of(self, stream: str) -> Entry | None:
        """The newest event of a stream, whatever its metadata says."""
        return next(self._query("WHERE s.name = ? ORDER BY e.revision DESC LIMIT 1", (stream,)), None)

    def at(self, stream: str, revision: int) -> Entry | None:
        return next(self._query("WHERE s.name = ? AND e.revision = ?", (stream, revision)), None)

    def stream_page(self, stream: str, start: int, *, forwards: bool, count: int) -> list[Entry]:
        """Up to `count` entries from revision `start` on, `start` included."""
        order = "e.revision >= ? ORDER BY e.revision" if forwards else "e.revision <= ? ORDER BY e.revision DESC"
        return list(self._query(f"WHERE s.name = ? AND {order} LIMIT ?", (stream, min(start, TOMBSTONE), count)))

    def all_page(self, position: int, *, forwards: bool, count: int) -> list[Entry]:
        """Up to `count` entries: after `position` forwards, before it backwards."""
        if forwards and (recent := self._from_memory(position, count)) is not None:
            return recent
        order = "e.position > ? ORDER BY e.position" if forwards else "e.position < ? ORDER BY e.position DESC"
        return list(self._query(f"WHERE {order} LIMIT ?", (min(position, TOMBSTONE), count)))

    def _from_memory(self, position: int, count: int) -> list[Entry] | None:
        # one copy, taken in one step, is all that is looked at: the committer moves on meanwhile, and whatever is kept
        # beside the entries may belong to the state before or after
        recent = tuple(self._recent)
        if not recent or position < recent[0].position:
            return None
        start = bisect_right(recent, position, key=attrgetter("position"))
        return list(recent[start : start + count])

    def _query(self, where: str, parameters: Sequence[object]) -> Iterator[Entry]:
        reader = getattr(self._readers, "connection", None)
        if reader is None:
            reader = self._readers.connection = self._connect()
        for position, name, revision, id_, type_, created, checksum, encoded in reader.execute(
            f"SELECT {_COLUMNS} {_FROM} {where}", parameters
        ):
            if zlib.crc32(encoded) != checksum:
                raise DamagedRecordError(
                    f"the record at position {position} (revision {revision} of {name}) is damaged"
                )
            yield Entry(position, name, revision, id_, type_, created, encoded)

    # -------------------------------------------------------------- opening

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)

    def _open(self) -> sqlite3.Connection:
        try:
            new = not self._path.exists() or self._path.stat().st_size == 0
            connection = self._connect()
            if new:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(
                    "BEGIN IMMEDIATE;" + _SCHEMA + f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
                )
            owner = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise LogError(f"{self._path} is not an event log ({error}); choose another directory") from error
        if owner != APPLICATION_ID or version != SCHEMA_VERSION:
            raise LogError(f"{self._path} was not written by this node; choose another directory")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        connection.execute("PRAGMA wal_autocheckpoint = 20000")
        return connection


class _Writer:
    """The decisions of one transaction. Only the committer's thread uses it."""

    def __init__(self, connection: sqlite3.Connection, head: int) -> None:
        self._db = connection
        self._next = head + 1
        self._heads: OrderedDict[str, Head] = OrderedDict()
        self._new: list[Entry] = []

    def begin(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> list[Entry]:
        self._db.execute("COMMIT")
        entries, self._new = self._new, []
        while len(self._heads) > REMEMBERED_HEADS:
            self._heads.popitem(last=False)
        return entries

    def roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._next -= len(self._new)
        self._new = []
        self._heads.clear()

    # -------------------------------------------------------------- the rules

    def append(self, stream: str, expected: int, events: Sequence[Proposed]) -> Outcome:
        head = self._head(stream)
        if head.tombstoned:
            return Deleted(stream)
        limits = self.limits(stream)
        refused = self._check(stream, head, limits, expected, events)
        if refused is not None:
            return refused
        if not events:
            return Written(head.last, self._next - 1)
        first = head.last + 1
        written = self.put(stream, events)
        if limits.soft_deleted:
            self._truncate("$$" + stream, limits, first)
        if stream.startswith("$$"):
            self._undelete(stream)
        return written

    def delete(self, stream: str, expected: int) -> Outcome:
        head = self._head(stream)
        if head.tombstoned:
            return Deleted(stream)
        limits = self.limits(stream)
        metadata_exists = self._head("$$" + stream).last >= 0
        if head.last < 0 and not metadata_exists:
            return WrongVersion(-1)
        refused = self._check_delete(stream, head, limits, expected)
        if refused is not None:
            return refused
        data = json.dumps({"$tb": TOMBSTONE}, separators=(",", ":")).encode()
        return self.put("$$" + stream, [Proposed(_fresh_id(), "$metadata", is_json=True, data=data, metadata=b"")])

    def tombstone(self, stream: str, expected: int) -> Outcome:
        head = self._head(stream)
        if head.tombstoned:
            return Deleted(stream)
        refused = self._check_delete(stream, head, self.limits(stream), expected)
        if refused is not None:
            return refused
        proposed = Proposed(_fresh_id(), "$streamDeleted", is_json=False, data=b"", metadata=b"")
        return self.put(stream, [proposed], revision=TOMBSTONE)

    def _check(
        self, stream: str, head: Head, limits: Limits, expected: int, events: Sequence[Proposed]
    ) -> Outcome | None:
        if expected == STREAM_EXISTS:
            if limits.soft_deleted:
                return Deleted(stream)
            if head.last < 0 and self._head("$$" + stream).last < 0:
                return WrongVersion(-1)
        if expected in (ANY, STREAM_EXISTS):
            return self._repeated_anywhere(head, events)
        if expected > head.last:
            return WrongVersion(head.last)
        if expected < head.last:
            return self._repeated_at(head, limits, expected, events)
        return None

    def _check_delete(self, stream: str, head: Head, limits: Limits, expected: int) -> Outcome | None:
        if expected == STREAM_EXISTS:
            if limits.soft_deleted:
                return Deleted(stream)
            if head.last < 0 and self._head("$$" + stream).last < 0:
                return WrongVersion(-1)
            return None
        if expected in (ANY, head.last) or (expected == NO_STREAM and limits.soft_deleted):
            return None
        return WrongVersion(head.last)

    def _repeated_anywhere(self, head: Head, events: Sequence[Proposed]) -> Outcome | None:
        found = None
        for index, event in enumerate(events):
            found = self._find(head, event.id)
            if found is None:
                return None if index == 0 else WrongVersion(head.last)
        return found

    def _repeated_at(self, head: Head, limits: Limits, expected: int, events: Sequence[Proposed]) -> Outcome | None:
        rows = self._db.execute(
            "SELECT id, revision, position FROM events WHERE stream = ? AND revision > ? ORDER BY revision LIMIT ?",
            (head.stream_id, expected, len(events)),
        ).fetchall()
        same = [row[0] == event.id for row, event in zip(rows, events, strict=False)]
        if events and len(rows) == len(events) and all(same):
            return Written(rows[-1][1], rows[-1][2])
        if events and not same[0] and expected == NO_STREAM and limits.soft_deleted:
            return None
        return WrongVersion(head.last)

    def _find(self, head: Head, event_id: bytes) -> Written | None:
        row = self._db.execute(
            "SELECT revision, position FROM events WHERE stream = ? AND id = ? ORDER BY revision LIMIT 1",
            (head.stream_id, event_id),
        ).fetchone()
        return Written(*row) if row else None

    def _truncate(self, metadata_stream: str, limits: Limits, before: int) -> None:
        data = json.dumps({**(limits.raw or {}), "$tb": before}, separators=(",", ":")).encode()
        self.put(metadata_stream, [Proposed(_fresh_id(), "$metadata", is_json=True, data=data, metadata=b"")])

    def _undelete(self, metadata_stream: str) -> None:
        # a second newest event of $$X says whether X was soft-deleted before this append
        rows = self._db.execute(
            f"SELECT {_COLUMNS} {_FROM} WHERE s.name = ? ORDER BY e.revision DESC LIMIT 2", (metadata_stream,)
        ).fetchall()
        if len(rows) < 2:
            return
        newest, before = (to_limits(Entry(r[0], r[1], r[2], r[3], r[4], r[5], r[7])) for r in rows)
        if before.soft_deleted and not newest.soft_deleted:
            self._truncate(metadata_stream, newest, self._head(metadata_stream[2:]).last + 1)

    # -------------------------------------------------------------- rows

    def limits(self, stream: str) -> Limits:
        head = self._head("$$" + stream) if not stream.startswith("$$") else None
        if head is None or head.last < 0:
            return Limits()
        row = self._db.execute(
            f"SELECT {_COLUMNS} {_FROM} WHERE e.stream = ? AND e.revision = ?", (head.stream_id, head.last)
        ).fetchone()
        return to_limits(Entry(row[0], row[1], row[2], row[3], row[4], row[5], row[7]))

    def put(self, stream: str, events: Sequence[Proposed], revision: int | None = None) -> Written:
        head = self._head(stream)
        if head.stream_id is None:
            head.stream_id = self._db.execute("INSERT INTO streams (name) VALUES (?)", (stream,)).lastrowid
        created = ticks()
        rows = []
        for event in events:
            number = head.last + 1 if revision is None else revision
            encoded = encode(event, stream, number, self._next, created)
            rows.append(
                (self._next, head.stream_id, number, event.id, event.type, created, zlib.crc32(encoded), encoded)
            )
            self._new.append(Entry(self._next, stream, number, event.id, event.type, created, encoded))
            self._next += 1
            if revision is None:
                head.last = number
            else:
                head.tombstoned = True
        self._db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        return Written(rows[-1][2], rows[-1][0])

    def _head(self, stream: str) -> Head:
        head = self._heads.get(stream)
        if head is not None:
            self._heads.move_to_end(stream)
            return head
        row = self._db.execute("SELECT id FROM streams WHERE name = ?", (stream,)).fetchone()
        if row is None:
            head = Head(None, -1)
        else:
            last = self._db.execute(
                "SELECT revision FROM events WHERE stream = ? ORDER BY revision DESC LIMIT 2", (row[0],)
            ).fetchall()
            tombstoned = bool(last) and last[0][0] == TOMBSTONE
            numbers = [number for (number,) in last if number != TOMBSTONE]
            head = Head(row[0], numbers[0] if numbers else -1, tombstoned)
        self._heads[stream] = head
        return head


def _fresh_id() -> bytes:
    return uuid.uuid4().bytes


def _take(directory: Path) -> IO[str]:
    """The directory is this process's until it ends. Returns the open lock file."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / "lock").open("w")
    except OSError as error:
        raise LogError(f"cannot write to {directory}: {error.strerror}; choose another directory") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise LogError(f"another node is using {directory}; stop it or choose another directory") from error
    return file
