"""Commits behind a damage of the write-ahead log were acknowledged: it is reported, not cut off. A torn end is not."""

import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from embedded.eventstore.errors import LogError
from embedded.eventstore.files import back_up, check_log, repair, restore
from embedded.eventstore.log import Log
from embedded.eventstore.records import ANY, system_event
from embedded.eventstore.wal_check import FRAME, HEADER, damaged_middle
from tests.integration.embedded.test_damage import PAGE, Contents, all_of, fill, up_to, write
from tests.support.processes import completed

FRAME_SIZE = FRAME.size + PAGE
Change = Callable[[bytearray, int], None]  # of the whole log, at the start of a frame


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Contents]:
    """A directory as a kill leaves it, and what was acknowledged."""
    directory = tmp_path_factory.mktemp("killed")
    with closing(Log(directory / "running")) as log:
        fill(log, random.Random(0))
        whole = all_of(log)
        shutil.copytree(directory / "running", directory / "killed")
    return directory / "killed", whole


@pytest.fixture
def killed(once: tuple[Path, Contents], tmp_path: Path) -> Path:
    return shutil.copytree(once[0], tmp_path / "killed")


@pytest.fixture
def whole(once: tuple[Path, Contents]) -> Contents:
    return once[1]


def a_bit_of_the_page(content: bytearray, frame: int) -> None:
    content[frame + FRAME.size + 1_000] ^= 1


def a_checksum(content: bytearray, frame: int) -> None:
    content[frame + 16] ^= 1


def the_salts(content: bytearray, frame: int) -> None:
    content[frame + 8 : frame + 16] = bytes(8)


def all_of_it(content: bytearray, frame: int) -> None:
    content[frame : frame + FRAME_SIZE] = bytes(FRAME_SIZE)


def the_header_of_the_log(content: bytearray, _: int) -> None:
    content[20] ^= 1


def changed(directory: Path, change: Change, frame: int) -> None:
    """Change one frame of the write-ahead log; negative numbers count from its end."""
    file = directory / "events.db-wal"
    content = bytearray(file.read_bytes())
    frames = (len(content) - HEADER.size) // FRAME_SIZE
    change(content, HEADER.size + (frame % frames) * FRAME_SIZE)
    file.write_bytes(content)


def contents(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir() if file.suffix != ".db-shm"}


CHANGES = [a_bit_of_the_page, a_checksum, the_salts, all_of_it, the_header_of_the_log]


@pytest.mark.parametrize("frame", [0, 1, 50, 150])
@pytest.mark.parametrize("change", CHANGES)
def test_a_damaged_middle_is_refused_and_left_as_it_is(killed: Path, change: Change, frame: int) -> None:
    changed(killed, change, frame)
    before = contents(killed)
    for act in (Log, check_log, lambda directory: back_up(directory, directory / "copy"), Log):
        with pytest.raises(LogError, match=r"events\.db-wal is damaged at frame \d+, and acknowledged") as caught:
            act(killed)
        assert "\n" not in str(caught.value)
    assert contents(killed) == before


@pytest.mark.parametrize("change", CHANGES[:-1])
def test_the_loss_can_be_accepted_by_name(killed: Path, whole: Contents, change: Change) -> None:
    changed(killed, change, 100)
    damaged = (killed / "events.db-wal").read_bytes()
    reported = orderstream("repair", "--data", killed)
    assert reported.returncode == 0, reported.stderr
    with closing(Log(killed)) as log:
        found = all_of(log)
        assert 0 < len(found.everything) < len(whole.everything)
        assert found == up_to(whole, len(found.everything))
        write(log, lambda writer: writer.append("order-1", ANY, [system_event("on", {})]))
    assert (killed / "events.db-wal.damaged").read_bytes() == damaged, "what was cut off is kept"


def orderstream(*arguments: object) -> subprocess.CompletedProcess[str]:
    return completed("embedded", *arguments)


def test_where_nothing_is_damaged_nothing_is_cut(killed: Path, whole: Contents) -> None:
    with pytest.raises(LogError, match="nothing has to be cut"):
        repair(killed)
    with closing(Log(killed)) as log:
        assert all_of(log) == whole


@pytest.mark.parametrize("cut", [1, 23, 24, 25, 4_000, FRAME_SIZE, FRAME_SIZE + 1, 5 * FRAME_SIZE + 7, 100_000])
def test_a_torn_end_is_no_damage(killed: Path, whole: Contents, cut: int) -> None:
    file = killed / "events.db-wal"
    with file.open("r+b") as torn:
        torn.truncate(file.stat().st_size - cut)
    with closing(Log(killed)) as log:
        found = all_of(log)
    assert found == up_to(whole, len(found.everything))


@pytest.mark.parametrize("change", CHANGES[:-1])
def test_the_last_commit_may_be_torn_anywhere(killed: Path, whole: Contents, change: Change) -> None:
    file = killed / "events.db-wal"
    frames = (file.stat().st_size - HEADER.size) // FRAME_SIZE
    begins = frames - pages_of_the_last_commit(file.read_bytes())
    for frame in range(begins, frames):
        copy = shutil.copytree(killed, killed.with_name(f"torn-{frame}"))
        changed(copy, change, frame)
        with closing(Log(copy)) as log:
            assert all_of(log) == up_to(whole, len(whole.everything) - 1)


def pages_of_the_last_commit(content: bytes) -> int:
    ends = [at for at in range(HEADER.size, len(content) - PAGE, FRAME_SIZE) if FRAME.unpack_from(content, at)[1]]
    return (ends[-1] - ends[-2]) // FRAME_SIZE


def test_what_an_earlier_round_left_behind_counts_for_nothing(tmp_path: Path) -> None:
    with closing(Log(tmp_path / "running")) as log:
        fill(log, random.Random(0))
        log._writer_connection.execute("PRAGMA wal_checkpoint(RESTART)")
        for number in range(3):
            write(log, lambda writer, n=number: writer.append("order-1", ANY, [system_event(f"N{n}", {})]))  # type: ignore[misc]  # bound here
        whole = all_of(log)
        shutil.copytree(tmp_path / "running", tmp_path / "killed")
    file = tmp_path / "killed" / "events.db-wal"
    content = file.read_bytes()
    round_ = HEADER.unpack_from(content)[4:6]
    present = [
        at
        for at in range(HEADER.size, len(content) - PAGE, FRAME_SIZE)
        if FRAME.unpack_from(content, at)[2:4] == round_
    ]
    assert 0 < len(present) < (len(content) - HEADER.size) // FRAME_SIZE, "frames of the earlier round are behind"
    torn = shutil.copytree(tmp_path / "killed", tmp_path / "torn")
    with closing(Log(tmp_path / "killed")) as log:
        assert all_of(log) == whole
    changed(torn, a_bit_of_the_page, len(present) - 1)
    with closing(Log(torn)) as log:
        assert all_of(log) == up_to(whole, len(whole.everything) - 1)


def test_what_was_written_and_rolled_back_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    with sqlite3.connect(path, isolation_level=None) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA cache_size = 2")  # so that it is written before it is committed
        db.execute("CREATE TABLE t (x)")
        db.execute("BEGIN")
        db.executemany("INSERT INTO t VALUES (?)", [(bytes(3_000),)] * 100)
        db.execute("ROLLBACK")
        db.execute("INSERT INTO t VALUES (1)")
        shutil.copytree(tmp_path, tmp_path / "killed")
    db.close()
    content = bytearray((tmp_path / "killed" / "some.db-wal").read_bytes())
    ends = [at for at in range(HEADER.size, len(content) - PAGE, FRAME_SIZE) if FRAME.unpack_from(content, at)[1]]
    assert len(content) > ends[-1] + 20 * FRAME_SIZE, "what was rolled back is behind the last commit"
    a_bit_of_the_page(content, ends[-1])
    (tmp_path / "killed" / "some.db-wal").write_bytes(content)
    assert damaged_middle(tmp_path / "killed" / "some.db") is None


@pytest.mark.parametrize("lose", [Path.unlink, lambda file: file.write_bytes(b"")], ids=["missing", "empty"])
def test_a_file_that_was_lost_does_not_take_the_log_beside_it_along(killed: Path, lose: Callable[[Path], None]) -> None:
    lose(killed / "events.db")
    before = contents(killed)
    with pytest.raises(LogError, match=r"events\.db is lost"):
        Log(killed)
    assert contents(killed) == before


def test_a_log_left_behind_is_not_folded_into_a_backup_that_is_restored(killed: Path, tmp_path: Path) -> None:
    back_up(killed, tmp_path / "backup")
    other = tmp_path / "other"
    other.mkdir()
    (other / "events.db-wal").write_bytes(b"of some other log")
    with pytest.raises(LogError, match="choose an empty directory"):
        restore(tmp_path / "backup", other)
