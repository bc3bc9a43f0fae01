"""The check of the write-ahead log, before SQLite opens the file.

SQLite reads its frames up to the first incomplete one and ignores those behind it. After a crash that is correct:
the last commit was incomplete, and it was not acknowledged. But each commit is synced
before the next is begun. So if another complete commit stands behind the incomplete one, the frames between were
acknowledged, and have been damaged since. Damage to the newest commit alone cannot be distinguished from a torn one.

Frames of an earlier round of the log, behind the present one, have other salts and are ignored.
"""

import mmap
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

HEADER = struct.Struct(">8I")  # magic, version, page size, number of the round, two salts, two checksums
FRAME = struct.Struct(">6I")  # page, pages after the commit (0: not the end of one), two salts, two checksums
MAGIC, BIG_ENDIAN = 0x377F0682, 1
MAX_VALUE = 0xFFFFFFFF
LAST_FRAME_AT = 16  # in the file with the index of the write-ahead log


class Damage(NamedTuple):
    """`frame` is the first incomplete one, from 1; the usable part of the write-ahead log is `complete` bytes long."""

    frame: int
    complete: int


def wal_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def holds_frames(beside: Path) -> bool:
    return beside.exists() and beside.stat().st_size > HEADER.size + FRAME.size


def damaged_middle(path: Path) -> Damage | None:
    """What SQLite would cut off without a word although it was acknowledged.

    Nothing is changed by looking. Only for a file that no node uses.
    """
    beside = wal_of(path)
    if not holds_frames(beside):
        return None
    try:
        page, taken = _taken(path)
    except sqlite3.DatabaseError:
        return None  # opening it reports that
    with beside.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        frames = _Frames(content, page)
        if taken < frames.count and frames.commit_stands_behind(taken):
            return Damage(taken + 1, HEADER.size + taken * frames.size if frames.has_header else 0)
    return None


def _taken(path: Path) -> tuple[int, int]:
    """The size of a page, and how many frames SQLite takes.

    Over a connection that can only read: one that writes would fold them in, and drop the rest, when it is closed.
    """
    with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        [page] = connection.execute("PRAGMA page_size").fetchone()
        index = path.with_name(path.name + "-shm")
        if not index.exists():
            return page, 0
        with index.open("rb") as file:
            [taken] = struct.unpack_from("=I", file.read(LAST_FRAME_AT + 4), LAST_FRAME_AT)
    return page, taken


class _Frames:
    """The frames of a write-ahead log that are of its present round; the first has number 1."""

    def __init__(self, content: mmap.mmap, page: int) -> None:
        self._content = content
        self.size = FRAME.size + page
        self.count = (len(content) - HEADER.size) // self.size
        magic, _, _, _, *salts, first, second = HEADER.unpack_from(content)
        self._order = ">" if magic & BIG_ENDIAN else "<"
        self.has_header = magic | BIG_ENDIAN == MAGIC | BIG_ENDIAN and self._checksum(
            (0, 0), content[: HEADER.size - 8]
        ) == (first, second)
        self._salts = salts if self.has_header else self._fields(1)[2:4]

    def commit_stands_behind(self, taken: int) -> bool:
        """Whether behind these frames one commit ends, and a later complete one."""
        ends = self._commits(taken + 1)
        return next(ends, None) is not None and any(self._is_complete(number) for number in ends)

    def _commits(self, number: int) -> Iterator[int]:
        for at in range(number, self.count + 1):
            _, pages, *rest = self._fields(at)
            if pages and rest[:2] == self._salts:
                yield at

    def _is_complete(self, number: int) -> bool:
        """By the checksum of the frame before it, on which its own is built."""
        start = self._start(number)
        before = self._fields(number - 1)
        content = self._content[start : start + 8] + self._content[start + FRAME.size : start + self.size]
        return self._checksum((before[4], before[5]), content) == tuple(self._fields(number)[4:])

    def _start(self, number: int) -> int:
        return HEADER.size + (number - 1) * self.size

    def _fields(self, number: int) -> list[int]:
        return list(FRAME.unpack_from(self._content, self._start(number)))

    def _checksum(self, before: tuple[int, int], content: bytes) -> tuple[int, int]:
        first, second = before
        words = struct.unpack(f"{self._order}{len(content) // 4}I", content)
        for even, odd in zip(words[::2], words[1::2], strict=True):
            first = (first + even + second) & MAX_VALUE
            second = (second + odd + first) & MAX_VALUE
        return first, second
