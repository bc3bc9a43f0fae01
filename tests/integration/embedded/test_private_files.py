"""What the stores and the stack write down is nobody else's to read; directories that were there stay as they are."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE

import pytest

from client.local.stack import ANY_PORTS, StackError, stack
from tests.support.processes import ROOT, running


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def open_to_others(directory: Path) -> list[str]:
    """What others may read, write or enter, of all that is there."""
    found = [path for path in (directory, *directory.rglob("*")) if S_IMODE(path.stat().st_mode) & 0o077]
    return [f"{path.relative_to(directory)} {S_IMODE(path.stat().st_mode):o}" for path in found]


def embedded(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "embedded", *map(str, arguments)], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("store", ["eventstore", "mongo"])
def test_a_store_keeps_its_files_to_itself(tmp_path: Path, store: str) -> None:
    with running("embedded", store, "--port", "0", "--data", str(tmp_path / "made" / "data")):
        assert len(list((tmp_path / "made" / "data").rglob("*"))) > 1
        assert open_to_others(tmp_path / "made") == []


def test_so_does_a_backup_and_what_is_restored_of_it(tmp_path: Path) -> None:
    with running("embedded", "eventstore", "--port", "0", "--data", str(tmp_path / "data")):
        embedded("backup", "--data", tmp_path / "data", "--to", tmp_path / "backups" / "copy")
    embedded("restore", "--from", tmp_path / "backups" / "copy", "--data", tmp_path / "restored")
    assert [open_to_others(tmp_path / made) for made in ("backups", "restored")] == [[], []]


async def test_the_stack_keeps_its_logs_to_itself_also_where_a_former_one_did_not(tmp_path: Path) -> None:
    logs = tmp_path / "made" / "data" / "logs"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = {**ANY_PORTS, "mongo": taken.getsockname()[1]}
        for _ in range(2):
            with pytest.raises(StackError):
                async with stack(tmp_path / "made" / "data", ports):
                    pass
            assert (logs / "eventstore.log").exists()
            assert open_to_others(tmp_path / "made") == []
            (logs / "eventstore.log").chmod(0o644)


def test_a_directory_that_was_there_stays_as_it_is(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir(mode=0o755)
    with running("embedded", "eventstore", "--port", "0", "--data", str(given)):
        assert open_to_others(given) == [". 755"]
