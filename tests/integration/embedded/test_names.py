"""Names of streams, which enter the index of the file many at once: each is found before, during and after that."""

import queue
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from embedded.eventstore import stream_index
from embedded.eventstore.errors import LogError
from embedded.eventstore.files import FILE, open_log
from embedded.eventstore.log import Log
from embedded.eventstore.records import NO_STREAM, system_event
from embedded.eventstore.stream_index import INDEXED_TOGETHER
from embedded.eventstore.writer import Outcome, Writer, Written, WrongVersion

FEW = 10  # names that are indexed together where a test says so
PATIENCE = 30  # seconds


class Followed:
    """A log that is read on the thread of the test, while its committer goes on."""

    def __init__(self, directory: Path) -> None:
        self._calls: queue.Queue[Callable[[], object]] = queue.Queue()
        self.log = Log(directory, deliver=lambda call, *rest: self._calls.put(lambda: call(*rest)))
        self.outcomes: dict[str, Outcome] = {}

    def close(self) -> None:
        self.log.close()

    def submit(self, stream: str, *, type_: str = "Happened", content: object = None) -> None:
        event = system_event(type_, content or {})
        self.log.submit(
            lambda writer: writer.append(stream, NO_STREAM, [event]),
            lambda outcome: self.outcomes.__setitem__(stream, outcome),
            stream,
        )

    def go_on(self) -> None:
        self._calls.get(timeout=PATIENCE)()

    def append(self, *streams: str) -> list[Outcome]:
        """All at once; what became of each."""
        for stream in streams:
            self.outcomes.pop(stream, None)
            self.submit(stream)
        while not all(stream in self.outcomes for stream in streams):
            self.go_on()
        return [self.outcomes[stream] for stream in streams]

    def has(self, stream: str) -> bool:
        found = self.log.last_of(stream)
        return found is not None and found.stream == stream


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_index, "INDEXED_TOGETHER", FEW)


def some(count: int) -> list[str]:
    return [f"order-{uuid.uuid4().hex}" for _ in range(count)]


def number_indexed(directory: Path) -> int:
    with closing(sqlite3.connect(directory / FILE)) as connection:
        return int(connection.execute("SELECT count(*) FROM streams WHERE indexed = 1").fetchone()[0])


def change(directory: Path, statement: str) -> None:
    with closing(sqlite3.connect(directory / FILE)) as connection, connection:
        assert connection.execute(statement).rowcount == 1


def test_all_are_found_before_and_after_they_are_indexed_and_after_a_kill(tmp_path: Path) -> None:
    streams = some(INDEXED_TOGETHER + 1_000)
    with closing(Followed(tmp_path / "log")) as followed:
        followed.append(*streams)
        assert INDEXED_TOGETHER <= number_indexed(tmp_path / "log") < len(streams), "some are indexed, others are not"
        assert all(followed.has(stream) for stream in streams)
        assert not any(followed.has(stream) for stream in some(10))
        shutil.copytree(tmp_path / "log", tmp_path / "killed")
    with closing(Followed(tmp_path / "killed")) as followed:
        assert all(followed.has(stream) for stream in streams)
        assert followed.append(*streams) == [WrongVersion(0)] * len(streams), "none is taken for a new one"
        [outcome] = followed.append(*some(1))
        assert isinstance(outcome, Written)


def test_they_are_found_while_they_move_into_the_index(tmp_path: Path, few: None) -> None:
    known, new = some(FEW - 1), some(100 * FEW)
    with closing(Followed(tmp_path)) as followed:
        followed.append(*known)
        for stream in new:
            followed.submit(stream)
        while len(followed.outcomes) < len(known) + len(new):
            followed.go_on()
            assert all(followed.has(stream) for stream in known)
        assert all(followed.has(stream) for stream in new)


def test_a_commit_that_fails_while_it_indexes_leaves_them_as_they_were(tmp_path: Path, few: None) -> None:
    known, new = some(FEW - 1), some(20 * FEW)
    with closing(open_log(tmp_path / FILE, "FULL")) as connection:
        writer = Writer(connection, 0)
        commit(writer, known)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            commit(writer, new)
        writer.roll_back()
        assert number_indexed(tmp_path) == 0
        assert all(writer.stream_index.find(connection, stream) for stream in known)
        assert not any(writer.stream_index.find(connection, stream) for stream in new)
        connection.execute("PRAGMA max_page_count = 1000000")
        commit(writer, new)
        assert number_indexed(tmp_path) == len(known) + len(new)
        numbers = [writer.stream_index.find(connection, stream) for stream in known + new]
        assert numbers == list(range(1, len(numbers) + 1))


def commit(writer: Writer, streams: Sequence[str]) -> None:
    writer.begin()
    for stream in streams:
        writer.append(stream, NO_STREAM, [system_event("Happened", {})])
    writer.commit()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE streams SET name = name || 'x' WHERE id = (SELECT max(id) FROM streams)",
        "UPDATE streams SET name = x'ff' WHERE id = (SELECT max(id) FROM streams)",
        "UPDATE streams SET checksum = 1 WHERE id = (SELECT max(id) FROM streams) - 1",
        "DELETE FROM streams WHERE id = (SELECT max(id) FROM streams)",
        "DELETE FROM streams WHERE id = (SELECT max(id) FROM streams) - 2",
        "UPDATE streams SET id = id + 1 WHERE id = (SELECT max(id) FROM streams)",
    ],
)
def test_a_name_that_no_index_vouches_for_is_not_lost_unnoticed(tmp_path: Path, few: None, damage: str) -> None:
    with closing(Followed(tmp_path)) as followed:
        for stream in some(FEW + 4):
            followed.append(stream)
    assert number_indexed(tmp_path) == FEW
    change(tmp_path, damage)
    with pytest.raises(LogError, match="damaged"):
        Log(tmp_path)


def test_metadata_holds_whether_there_is_little_of_it_or_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_index, "METADATA_STREAMS", 3)
    streams = some(6)
    with closing(Followed(tmp_path)) as followed:
        followed.append(*streams)
    for count, stream in enumerate(streams[:5]):
        with closing(Followed(tmp_path)) as followed:
            followed.submit(f"$${stream}", type_="$metadata", content={"$maxCount": 7})
            followed.go_on()
            limited = [followed.log.retention(each).max_count for each in streams]
            assert limited == [7] * (count + 1) + [None] * (5 - count)
