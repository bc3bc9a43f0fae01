"""The index of stream names: in the file, and in memory the newest names that are not in the file's index yet.

Names are in random order, so a commit would have to write one index page for each new one. They are indexed in
batches instead; until then a start reads them from the rows of `streams`, which are written in order.
"""

import json
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from embedded.eventstore.errors import DamagedRecordError

INDEXED_TOGETHER = 8_192  # streams
METADATA_STREAMS = 10_000  # if there are no more, those that do not exist need not be looked for


class StreamRow(NamedTuple):
    """A row of `streams`, as it is before it is indexed."""

    number: int
    name: str
    checksum: int

    @classmethod
    def of(cls, number: int, name: str) -> "StreamRow":
        return cls(number, name, _checksum(number, name.encode()))


def _checksum(number: int, name: bytes) -> int:
    return zlib.crc32(b"%d %b" % (number, name))


class StreamIndex:
    """The streams that are committed. The committer's thread changes it; any may look a name up."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Raises `DamagedRecordError` if a name that is not in the index differs from what was written."""
        self._newest: dict[str, int] = {}  # not in the index of the file
        self._indexed = 0  # up to this stream all are
        self._metadata_streams: set[str] | None = set()
        self._read_newest(connection)
        self._add_metadata_streams(self._newest)
        self._add_metadata_streams(
            name
            for (name,) in connection.execute(
                "SELECT name FROM streams WHERE indexed = 1 AND name >= '$$' AND name < '$%' LIMIT ?",
                (METADATA_STREAMS + 1,),
            )
        )

    def _read_newest(self, connection: sqlite3.Connection) -> None:
        # every stream has an event, and this finds the last of them by an index
        expected = connection.execute("SELECT coalesce(max(stream), 0) FROM events").fetchone()[0]
        rows = connection.execute(
            "SELECT id, coalesce(CAST(name AS BLOB), x''), checksum, indexed FROM streams ORDER BY id DESC"
        )
        for number, name, checksum, indexed in rows:
            if number != expected:
                raise DamagedRecordError(f"streams up to {expected} have events, but the last name is that of {number}")
            if indexed:
                self._indexed = number
                return
            if checksum != _checksum(number, name):
                raise DamagedRecordError(f"the name of stream {number} is not what was written")
            self._newest[name.decode()] = number
            expected -= 1
        if expected:
            raise DamagedRecordError(f"stream {expected} has lost its name")

    @property
    def last(self) -> int:
        """The number of the newest stream; they have none missing."""
        return self._indexed + len(self._newest)

    def find(self, connection: sqlite3.Connection, name: str) -> int | None:
        """The number of a stream."""
        number = self._newest.get(name)  # first: what leaves it is in the file by then
        metadata = self._metadata_streams
        if number is not None or (metadata is not None and name.startswith("$$") and name not in metadata):
            return number
        row = connection.execute("SELECT id FROM streams WHERE indexed = 1 AND name = ?", (name,)).fetchone()
        return None if row is None else int(row[0])

    def find_all(self, connection: sqlite3.Connection, names: Iterable[str]) -> dict[str, int]:
        """The numbers of those that there are. No name may hold a NUL: SQLite's JSON ends a text there."""
        found, others = {}, []
        newest, metadata = self._newest, self._metadata_streams
        for name in names:
            number = newest.get(name)
            if number is not None:
                found[name] = number
            elif metadata is None or name in metadata or not name.startswith("$$"):
                others.append(name)
        if others:
            found.update(
                connection.execute(
                    "SELECT s.name, s.id FROM json_each(?) CROSS JOIN streams s ON s.indexed = 1 AND s.name = value",
                    (json.dumps(others),),
                )
            )
        return found

    def are_many(self, more: int) -> bool:
        """Whether the newest belong into the index, with so many more of them."""
        return len(self._newest) + more >= INDEXED_TOGETHER

    def index(self, connection: sqlite3.Connection) -> None:
        """Put the newest into the index, those of this transaction too."""
        connection.execute("UPDATE streams SET indexed = 1 WHERE id > ?", (self._indexed,))

    def committed(self, streams: Sequence[StreamRow], *, indexed: bool) -> None:
        """A transaction has ended that added these, and maybe put them and all others into the index."""
        self._add_metadata_streams(row.name for row in streams)
        if indexed:
            self._indexed += len(self._newest) + len(streams)
            self._newest = {}
        else:
            self._newest.update((row.name, row.number) for row in streams)

    def _add_metadata_streams(self, names: Iterable[str]) -> None:
        if self._metadata_streams is not None:
            self._metadata_streams.update(name for name in names if name.startswith("$$"))
            if len(self._metadata_streams) > METADATA_STREAMS:
                self._metadata_streams = None
