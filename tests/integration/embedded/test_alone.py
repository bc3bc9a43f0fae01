"""The stores used on their own: context managers, backup, restore, check."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from esdbclient import EventStoreDBClient, NewEvent, StreamState

from embedded.stack import NotStartedError, embedded_eventstore, started
from tests.support.eventually import eventually
from tests.support.processes import ORDERSTREAM, ROOT, completed


def embedded(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return completed("embedded", *arguments)


def orderstream(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return completed(ORDERSTREAM, "embedded", *arguments)


def write(uri: str, stream: str, count: int) -> None:
    with EventStoreDBClient(uri) as client:
        events = [NewEvent(type=f"E{n}", data=b'{"amount":100}') for n in range(count)]
        client.append_to_stream(stream, current_version=StreamState.NO_STREAM, events=events)


def types(uri: str, stream: str) -> list[str]:
    with EventStoreDBClient(uri) as client:
        return [event.type for event in client.get_stream(stream)]


async def test_a_block_has_an_event_store_of_its_own() -> None:
    async with embedded_eventstore() as uri:
        write(uri, "s-1", 2)
        assert types(uri, "s-1") == ["E0", "E1"]


def test_what_was_kept_is_there_the_next_time(tmp_path: Path) -> None:
    for expected in range(2):
        with started("eventstore", tmp_path) as uri:
            write(uri, f"s-{expected}", 1)
            assert all(types(uri, f"s-{n}") == ["E0"] for n in range(expected + 1))


def test_a_store_that_cannot_start_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "events.db").write_text("a letter, not a log; long enough to look like something")
    with pytest.raises(NotStartedError), started("eventstore", tmp_path):
        pass


PARENT = """
import sys, time
from embedded.stack import started
with started(sys.argv[1]) as uri:
    print(uri, flush=True)
    time.sleep(600)
"""


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def has_ended(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z"


async def test_a_store_ends_with_its_killed_parent() -> None:
    parent = subprocess.Popen(  # noqa: ASYNC220  # nothing else runs in this loop
        [sys.executable, "-c", PARENT, "eventstore"], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    uri = parent.stdout.readline().decode().strip()
    child = child_of(parent.pid)
    write(uri, f"s-{uuid.uuid4()}", 1)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    async def is_gone() -> bool:
        return has_ended(child)

    await eventually(is_gone)


def test_a_backup_of_a_running_node_is_restored_whole(tmp_path: Path) -> None:
    with started("eventstore", tmp_path / "data") as uri:
        write(uri, "s-1", 3)
        made = orderstream("backup", "--data", tmp_path / "data", "--to", tmp_path / "copy")
        assert json.loads(made.stdout)["events"] == 4, made.stderr
        write(uri, "s-2", 1)
    restored = embedded("restore", "--from", tmp_path / "copy", "--data", tmp_path / "other")
    assert restored.returncode == 0, restored.stderr
    with started("eventstore", tmp_path / "other") as uri:
        assert types(uri, "s-1") == ["E0", "E1", "E2"]
    again = embedded("restore", "--from", tmp_path / "copy", "--data", tmp_path / "other")
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert "choose an empty directory" in again.stderr


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE events SET type = 'Other' WHERE position = 3",
        "UPDATE events SET revision = 7 WHERE position = 4",
        "DELETE FROM events WHERE position = 3",
        "UPDATE streams SET name = 's-2' WHERE name = 's-1'",
    ],
)
def test_damage_is_named_by_the_check_and_keeps_a_backup_from_being_made(tmp_path: Path, damage: str) -> None:
    with started("eventstore", tmp_path) as uri:
        write(uri, "s-1", 3)
    assert json.loads(embedded("check", "--data", tmp_path).stdout)["events"] == 4
    file = sqlite3.connect(tmp_path / "events.db")
    with file:
        file.execute(damage)
    file.close()
    checked = embedded("check", "--data", tmp_path)
    assert checked.returncode == 1
    assert "damaged" in checked.stderr or "missing" in checked.stderr
    assert embedded("backup", "--data", tmp_path, "--to", tmp_path / "copy").returncode == 1
    assert not (tmp_path / "copy").exists()
