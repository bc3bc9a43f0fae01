"""The log: one SQLite file, which one thread writes (`committer`) and another one reads.

The position of an entry is its number here; `positions` derives the position for callers. Committed entries are handed
over by one call of `deliver` per commit: everything but the commit itself happens on the thread of `deliver`, which is
the only one that reads.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from embedded.eventstore.committer import Committer, Job
from embedded.eventstore.errors import DamagedRecordError, LogError
from embedded.eventstore.files import FILE, SELECT, connect, last_number_shown, open_log, take, to_entry
from embedded.eventstore.integrity_check import PATIENCE, IntegrityCheck
from embedded.eventstore.positions import offset
from embedded.eventstore.records import (
    NEWEST_ONLY,
    TOMBSTONE,
    Entry,
    Retention,
    system_event,
    to_retention,
    with_offset,
)
from embedded.eventstore.writer import Outcome, Writer

log = logging.getLogger(__name__)

RECENT = 8_192  # entries kept in memory for subscribers that keep up, and for who asks for the last
RECENT_BYTES = 64 * 1024 * 1024
PAGE_BYTES = 4 * 1024 * 1024


class WriterMaker(Protocol):
    def __call__(self, connection: sqlite3.Connection, last_position: int) -> Writer: ...


def _at_once(call: Callable[..., None], *arguments: object) -> None:
    call(*arguments)


class Log:
    """One data directory, open. Raises `LogError` if it cannot be used.

    What takes longer to check than `check_within` seconds is checked while it is used.

    `submit` queues a write (`Committer.submit`), from any thread; everything that reads belongs to the
    thread `deliver` calls back on.
    """

    def __init__(
        self,
        directory: Path,
        *,
        synchronous: str = "FULL",
        deliver: Callable[..., object] = _at_once,
        writer: WriterMaker = Writer,
        check_within: float = PATIENCE,
    ) -> None:
        self._lock_file = take(directory)
        self._path = directory / FILE
        self._damage: str | None = None
        try:
            self._open(synchronous, writer, check_within)
        except BaseException:
            self._lock_file.close()
            raise
        self._listeners: list[Callable[[list[Entry]], None]] = []
        self._recent: list[Entry] = []
        self._recent_bytes = 0
        self._committer = Committer(
            self._writer, lambda *commit: deliver(self._published, *commit), damage=lambda: self._damage
        )
        self.submit = self._committer.submit

    def _open(self, synchronous: str, writer: WriterMaker, check_within: float) -> None:
        self._writer_connection = open_log(self._path, synchronous)
        self._reader = connect(self._path)
        self._integrity_check = IntegrityCheck(self._path, self._damaged)
        self._integrity_check.wait(check_within)
        try:
            self._refuse_damage(LogError)
            self.head: int = self._reader.execute("SELECT coalesce(max(position), 0) FROM events").fetchone()[0]
            self._converted = last_number_shown(self._reader)
            self._writer = writer(self._writer_connection, self.head)
            if self.head == 0:
                self._seed()
        except BaseException as error:
            self._let_go()
            if isinstance(error, sqlite3.OperationalError):
                raise LogError(
                    f"cannot open {self._path}: {error}; free some space or choose another directory"
                ) from error
            if isinstance(error, (sqlite3.DatabaseError, DamagedRecordError)):
                raise LogError(f"{self._path} is damaged ({error}); restore a backup") from error
            raise

    def _damaged(self, found: str) -> None:
        """From now on nothing is answered and nothing written: stored and missing records cannot be distinguished."""
        self._damage = f"{self._path} is damaged ({found}); restore a backup"
        log.error("%s", self._damage)

    def _refuse_damage(self, error: type[Exception]) -> None:
        if self._damage is not None:
            raise error(self._damage)

    def close(self) -> None:
        """Write what is queued, then let go of the directory."""
        self._committer.close()
        try:
            self._writer_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:  # the write-ahead log stays, and is read at the next start
            log.warning("the write-ahead log was not folded in: %s", error)
        self._let_go()
        self._lock_file.close()

    def _let_go(self) -> None:
        self._integrity_check.close()
        self._reader.close()
        self._writer_connection.close()

    # -------------------------------------------------------------- writing

    def on_commit(self, listener: Callable[[list[Entry]], None]) -> Callable[[], None]:
        """Call `listener` with what each commit added; returns how to stop that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _published(self, entries: list[Entry], jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> None:
        if entries:
            self._remember(entries)
            self.head = entries[-1].position
        for job, outcome in zip(jobs, outcomes, strict=True):
            job.done(outcome)
        if entries:
            for listener in tuple(self._listeners):
                listener(entries)

    def _remember(self, entries: list[Entry]) -> None:
        recent = self._recent
        recent += entries
        self._recent_bytes += sum(len(entry.encoded) for entry in entries)
        if len(recent) > 2 * RECENT or self._recent_bytes > RECENT_BYTES:
            keep, size = 0, 0
            for entry in reversed(recent):
                size += len(entry.encoded)
                if keep == RECENT or size > RECENT_BYTES // 2:
                    break
                keep += 1
            del recent[: len(recent) - keep]
            self._recent_bytes = sum(len(entry.encoded) for entry in recent)

    def _seed(self) -> None:
        # clients expect the first event of a fresh database to be a system event
        self._writer.begin()
        denied: dict[str, list[str]] = {right: [] for right in ("$w", "$d", "$mr", "$mw")}
        content = {"$maxAge": 2592000, "$acl": {"$r": "$ops", **denied}}
        self._writer.put("$$$scavenges", [system_event("$metadata", content)])
        self.head = self._writer.commit()[-1].position

    # -------------------------------------------------------------- reading

    def retention(self, stream: str) -> Retention:
        """What is hidden of a stream."""
        return NEWEST_ONLY if stream.startswith("$$") else to_retention(self.last_of("$$" + stream))

    def visible(self, stream: str, retention: Retention, last: int) -> tuple[int, int]:
        """The lowest revision that may be readable of a stream that ends at `last`, and the oldest readable time.

        What its age hides is passed over by halves, as a real server does: no request reads all of it.
        """
        low, oldest = retention.visible(last)
        end = last + 1
        while oldest and low < end:
            middle = (low + end) // 2
            entry = self.at(stream, middle)
            if entry is None or entry.created >= oldest:
                end = middle
            else:
                low = middle + 1
        return low, oldest

    def last_of(self, stream: str) -> Entry | None:
        """The newest event of a stream, whatever its metadata says."""
        return next(self._query("WHERE e.stream = ? ORDER BY e.revision DESC LIMIT 1", (self._number(stream),)), None)

    def at(self, stream: str, revision: int) -> Entry | None:
        return next(self._query("WHERE e.stream = ? AND e.revision = ?", (self._number(stream), revision)), None)

    def state(self, kind: str) -> dict[str, str]:
        """The node's own state of one kind, by key."""
        with _named():
            return dict(self._reader.execute("SELECT key, value FROM state WHERE kind = ? ORDER BY key", (kind,)))

    def stream_page(self, stream: str, start: int, *, forwards: bool, count: int) -> list[Entry]:
        """Up to `count` entries (fewer if they are large) from revision `start` on, `start` included.

        Empty only if there is none. Raises `DamagedRecordError`.
        """
        order = "e.revision >= ? ORDER BY e.revision" if forwards else "e.revision <= ? ORDER BY e.revision DESC"
        number = self._number(stream)
        page = self._page(f"WHERE e.stream = ? AND {order} LIMIT ?", (number, min(start, TOMBSTONE), count))
        numbers = [entry.revision for entry in page if entry.revision != TOMBSTONE]
        if numbers and (abs(numbers[-1] - numbers[0]) != len(numbers) - 1 or (forwards and numbers[0] > start)):
            raise DamagedRecordError(f"revisions of {stream!r} are missing near {numbers[0]}; restore a backup")
        return page

    def all_page(self, position: int, *, forwards: bool, count: int) -> list[Entry]:
        """Up to `count` entries (fewer if they are large): after `position` forwards, before it backwards.

        Empty only if there is none. Raises `DamagedRecordError`.
        """
        self._refuse_damage(DamagedRecordError)
        recent, position = self._recent, max(position, 0)
        if recent and position >= recent[0].position - 1:
            start = position - recent[0].position + 1
            if forwards:
                return recent[start : start + count]
            before = min(start - 1, len(recent))
            if before > 0:
                return recent[max(before - count, 0) : before][::-1]
        order = "e.position > ? ORDER BY e.position" if forwards else "e.position < ? ORDER BY e.position DESC"
        page = self._page(f"WHERE {order} LIMIT ?", (min(position, TOMBSTONE), count))
        if page and (
            abs(page[-1].position - page[0].position) != len(page) - 1
            or (forwards and page[0].position != position + 1)
        ):
            raise DamagedRecordError(f"records near position {offset(page[0].position)} are missing; restore a backup")
        return page

    def _number(self, stream: str) -> int | None:
        self._refuse_damage(DamagedRecordError)
        with _named():
            return self._writer.stream_index.find(self._reader, stream)

    def _page(self, where: str, parameters: Sequence[object]) -> list[Entry]:
        page, size = [], 0
        rows = self._query(where, parameters)
        for entry in rows:
            page.append(entry)
            size += len(entry.encoded)
            if size > PAGE_BYTES:
                rows.close()
                break
        return page

    def _query(self, where: str, parameters: Sequence[object]) -> "_Rows":
        self._refuse_damage(DamagedRecordError)
        return _Rows(self._reader, where, parameters, self._converted)


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise DamagedRecordError(f"the log is damaged: {error}; restore a backup") from error


class _Rows(Iterator[Entry]):
    """Entries of a query, each checked when it is taken. Those up to number `converted` are of an older layout."""

    def __init__(self, reader: sqlite3.Connection, where: str, parameters: Sequence[object], converted: int) -> None:
        self._converted = converted
        with _named():
            self._cursor = reader.execute(SELECT + where, parameters)

    def __next__(self) -> Entry:
        with _named():
            entry = to_entry(next(self._cursor))
        return entry if entry.position > self._converted else with_offset(entry)

    def close(self) -> None:
        self._cursor.close()
