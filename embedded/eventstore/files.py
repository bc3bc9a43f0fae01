"""The files of one node: opening them, keeping others out, copying and checking them.

`events.db` (and its write-ahead log beside it) is everything; `lock` is held as long as a node runs.
"""

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from embedded.eventstore.errors import DamagedRecordError, LogError
from embedded.eventstore.positions import offset
from embedded.eventstore.records import Entry, checksum
from embedded.eventstore.wal_check import damaged_middle, holds_frames, wal_of

FILE = "events.db"
APPLICATION_ID = 0x0E5DB10C
SCHEMA_VERSION = 4
NUMBERS_SHOWN = 3  # the layout before: what is encoded in its records shows their numbers as positions
LAYOUT = "layout"  # state: what a log has kept of former layouts
LAST_NUMBER_SHOWN = "last record of layout 3"
CHECKPOINT_AFTER = 6_000  # pages of 4 KiB in the write-ahead log
CACHE_KIB = 32 * 1024  # of the pages that the writer touches: new names enter the index anywhere
STATEMENTS = 256  # kept prepared for a connection; the writer has one for each number of rows

_SCHEMA = """
CREATE TABLE streams (id INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum INTEGER NOT NULL, indexed INTEGER);
CREATE UNIQUE INDEX streams_by_name ON streams (name) WHERE indexed = 1;
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
CREATE TABLE state (kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
"""
SELECT = (
    "SELECT e.position, s.name, e.revision, e.id, e.type, e.created, e.encoded, e.checksum "
    "FROM events e JOIN streams s ON s.id = e.stream "
)


def take(directory: Path) -> IO[str]:
    """The directory is this process's until the returned file is closed. Raises `LogError` if it cannot be."""
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


def connect(path: Path) -> sqlite3.Connection:
    """For any one thread at a time."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS)


def open_log(path: Path, synchronous: str) -> sqlite3.Connection:
    """For writing; made if it is not there. Raises `LogError` for a file that is not an event log."""
    refuse_damage(path)
    new = not path.exists() or path.stat().st_size == 0
    connection = connect(path)
    try:
        if new:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript("BEGIN IMMEDIATE;" + _SCHEMA + f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        if check_owner(connection, path) == NUMBERS_SHOWN:
            _upgrade(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_AFTER}")
    except sqlite3.OperationalError as error:
        connection.close()
        raise LogError(f"cannot open {path}: {error}; free some space or choose another directory") from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise LogError(f"{path} is not an event log ({error}); choose another directory") from error
    except LogError:
        connection.close()
        raise
    return connection


def refuse_damage(path: Path) -> None:
    """Raises `LogError` if opening the file would cut off what was acknowledged. Only while no node uses it."""
    beside = wal_of(path)
    try:
        if holds_frames(beside) and (not path.exists() or path.stat().st_size == 0):
            raise LogError(f"{path} is lost, for {beside} is there; restore a backup into another directory")
        damage = damaged_middle(path)
    except OSError as error:
        raise LogError(f"cannot read {beside}: {error.strerror}; choose another directory") from error
    if damage is not None:
        raise LogError(
            f"{beside} is damaged at frame {damage.frame}, and acknowledged events are behind it; restore a backup, "
            f"or go on without them: orderstream embedded repair --data {path.parent}"
        )


def _upgrade(connection: sqlite3.Connection) -> None:
    """From layout 3: records stay as they are, and those up to the last one are converted when they are read."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "INSERT INTO state SELECT ?, ?, coalesce(max(position), 0) FROM events", (LAYOUT, LAST_NUMBER_SHOWN)
    )
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def last_number_shown(connection: sqlite3.Connection) -> int:
    """The number of the last record that was written in layout 3; 0 if there is none."""
    row = connection.execute(
        "SELECT value FROM state WHERE kind = ? AND key = ?", (LAYOUT, LAST_NUMBER_SHOWN)
    ).fetchone()
    return 0 if row is None else int(row[0])


def check_owner(connection: sqlite3.Connection, path: Path) -> int:
    """The layout of the file. Raises `LogError` if it is not a log, or in a layout that this node does not read."""
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if owner != APPLICATION_ID:
        raise LogError(f"{path} was not written by this node; choose another directory")
    if version not in {NUMBERS_SHOWN, SCHEMA_VERSION}:
        raise LogError(
            f"{path} has layout {version}, this node reads layout {SCHEMA_VERSION}; "
            "use the release that wrote it, or choose another directory"
        )
    return int(version)


def to_entry(row: tuple[int, str, int, bytes, str, int, bytes, int]) -> Entry:
    """A row of SELECT. Raises `DamagedRecordError` if it is not what was written."""
    entry = Entry(*row[:7])
    try:
        intact = checksum(entry) == row[7]
    except (TypeError, ValueError):  # a damaged column may have changed its kind
        intact = False
    if not intact:
        raise DamagedRecordError(
            f"the record at position {offset(entry.position)} (revision {entry.revision} of {entry.stream!r}) "
            "is damaged; restore a backup"
        )
    return entry


def check_log(directory: Path) -> tuple[int, int]:
    """The same as `check`, of the log in a directory, whether a node runs on it or not."""
    path = directory / FILE
    _look_at(directory)
    return check(path)


def _no_log(directory: Path) -> LogError:
    if any(directory.glob("*.chk")):
        return LogError(f"{directory} is a database of a real EventStoreDB; docs/eventstoredb.md says how to copy one")
    return LogError(f"there is no event log in {directory}")


def _look_at(directory: Path) -> None:
    """Refuse damage that a node would refuse at its start; one that runs has passed that."""
    if not (directory / FILE).exists():
        raise _no_log(directory)
    try:
        lock = take(directory)
    except LogError:  # a node runs, or the directory can only be read
        return
    with lock:
        refuse_damage(directory / FILE)


def check(path: Path) -> tuple[int, int]:
    """Read and check every record; the number of events and the last position. Raises `DamagedRecordError`."""
    connection = connect(path)
    count, last = 0, 0
    try:
        check_owner(connection, path)
        for entry in _every(connection):
            count += 1
            if entry.position != last + 1:
                raise DamagedRecordError(
                    f"the records between positions {offset(last)} and {offset(entry.position)} are missing"
                )
            last = entry.position
        problem = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if problem != "ok":
            raise DamagedRecordError(f"{path} is damaged: {problem}")
    except sqlite3.DatabaseError as error:
        raise DamagedRecordError(f"{path} is damaged: {error}") from error
    finally:
        connection.close()
    return count, last


def _every(connection: sqlite3.Connection) -> Iterator[Entry]:
    for row in connection.execute(SELECT + "ORDER BY e.position"):
        yield to_entry(row)


def back_up(directory: Path, target: Path) -> tuple[int, int]:
    """Copy a log, whether a node runs on it or not, into one new file; checked and synced before this returns.

    The copy is one moment of the log: everything acknowledged before this was called is in it. Returns the number of
    events and the last position. Raises `LogError` or `DamagedRecordError`; then no file is left behind.
    """
    source = directory / FILE
    _look_at(directory)
    if target.exists():
        raise LogError(f"{target} is there already; choose another name")
    partial = target.with_name(target.name + ".partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        _copy(source, partial)
        found = check(partial)
        _sync(partial)
        partial.rename(target)
        _sync(target.parent)
    except OSError as error:
        raise LogError(f"cannot write {target}: {error.strerror}; choose another place") from error
    except sqlite3.Error as error:
        raise LogError(f"cannot copy {source} to {target}: {error}") from error
    finally:
        with suppress(OSError):  # where nothing can be written, nothing was
            partial.unlink(missing_ok=True)
    return found


def _copy(source: Path, target: Path) -> None:
    reading, writing = connect(source), connect(target)
    try:
        check_owner(reading, source)
        reading.backup(writing, pages=-1)  # in one step: a single moment, even while a node writes
        writing.execute("PRAGMA journal_mode = DELETE")  # one file, nothing beside it
    finally:
        reading.close()
        writing.close()


def restore(backup: Path, directory: Path) -> tuple[int, int]:
    """Put a backup into a directory that has no log; checked before a node can see it.

    Returns the number of events and the last position. Raises `LogError` or `DamagedRecordError`.
    """
    if not backup.is_file():
        raise LogError(f"there is no file {backup}")
    lock = take(directory)
    try:
        target = directory / FILE
        if target.exists() or wal_of(target).exists():  # one left behind would be folded into what is restored
            raise LogError(f"{directory} holds an event log already; choose an empty directory")
        found = check(backup)
        partial = directory / (FILE + ".partial")
        shutil.copyfile(backup, partial)
        _sync(partial)
        partial.rename(target)
        _sync(directory)
    except OSError as error:
        raise LogError(f"cannot restore to {directory}: {error.strerror}; choose another directory") from error
    finally:
        lock.close()
    return found


def repair(directory: Path) -> tuple[int, int]:
    """Cut a damaged write-ahead log before the damage, and keep it beside as it was; what was behind is lost.

    Returns the number of events that are left and the last position. Raises `LogError` if nothing is to be cut, and
    `DamagedRecordError` if the rest is damaged too.
    """
    path = directory / FILE
    if not path.exists():
        raise _no_log(directory)
    lock = take(directory)
    try:
        damage, beside = damaged_middle(path), wal_of(path)
        if damage is None:
            raise LogError(f"nothing has to be cut from {path}; orderstream embedded check reads every record")
        kept = beside.with_name(beside.name + ".damaged")
        if kept.exists():
            raise LogError(f"{kept} is there already; move it away")
        shutil.copyfile(beside, kept)
        _sync(kept)
        _sync(directory)
        os.truncate(beside, damage.complete)
        _sync(beside)
        return check(path)
    except OSError as error:
        raise LogError(f"cannot repair {path}: {error.strerror}") from error
    finally:
        lock.close()


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
