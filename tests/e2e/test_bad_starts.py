"""What keeps a process from starting is one clear line and an exit code, never a traceback."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.local.stack import unused_port
from tests.support.eventually import polled
from tests.support.forked import Forked
from tests.support.processes import ORDERSTREAM, completed, running


def fails(*command: str, environment: dict[str, str] | None = None) -> str:
    """Its one line. No store answers a service, whatever else runs on this machine."""
    nowhere = command[0] in ("server", "projections") and {
        "ORDERSTREAM_EVENTSTORE_URI": f"esdb://127.0.0.1:{unused_port()}?Tls=false",
        "ORDERSTREAM_MONGO_URI": f"mongodb://127.0.0.1:{unused_port()}",
    }
    return complaint(completed(*command, environment=(nowhere or {}) | (environment or {})))


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode not in (0, -6, -11), (done.args, done.stdout)
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("orderstream: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    "command",
    [
        ("server", "commands"),
        ("server", "queries"),
        ("server", "processes"),
        ("projections",),
        ("embedded", "eventstore"),
        ("embedded", "mongo"),
    ],
)
def test_a_taken_port(command: tuple[str, ...], taken: int) -> None:
    said = fails(*command, "--port", str(taken))
    assert f"port {taken}" in said
    assert "taken" in said


def test_a_payment_provider_that_there_is_not() -> None:
    said = fails("server", "processes", environment={"ORDERSTREAM_PAYMENTS": "stripe"})
    assert "there is only 'simulator'" in said


@pytest.mark.parametrize(
    "command", [("server", "commands"), ("server", "queries"), ("server", "processes"), ("projections",)]
)
def test_a_role_whose_leader_is_to_be_a_follower(command: tuple[str, ...]) -> None:
    followers = {"ORDERSTREAM_EVENTSTORE_URI": "esdb://127.0.0.1:9?Tls=false&NodePreference=follower"}
    said = fails(*command, "--port", "0", environment=followers)
    assert "ORDERSTREAM_EVENTSTORE_URI: nodePreference must be leader" in said


@pytest.mark.parametrize(
    "command", [("server", "commands"), ("server", "queries"), ("server", "processes"), ("projections",)]
)
def test_one_that_is_reported_to_stop_while_it_waits_for_its_stores_stops_at_once(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    nowhere = {
        "ORDERSTREAM_EVENTSTORE_URI": "esdb://127.0.0.1:9?Tls=false",
        "ORDERSTREAM_MONGO_URI": "mongodb://127.0.0.1:9/",
    }
    errors, (pipe, held) = tmp_path / "stderr", os.pipe()
    with errors.open("wb") as stderr, (tmp_path / "stdout").open("wb") as stdout:
        arguments = (*command, "--port", "0")
        process = Forked(
            arguments, {**os.environ, **nowhere}, pipe=pipe, stdout=stdout.fileno(), stderr=stderr.fileno()
        )
        try:
            polled(errors.read_text, lambda said: "event store" in said or "waiting" in said)
            process.terminate()
            assert process.wait(timeout=10) == 0, errors.read_text()
        finally:
            process.kill()
            os.close(pipe)
            os.close(held)
    assert "Traceback" not in errors.read_text()


def test_a_taken_port_of_the_stack(taken: int, tmp_path: Path) -> None:
    said = fails(ORDERSTREAM, "up", "--data", str(tmp_path), "--eventstore-port", str(taken))
    assert f"port {taken} for eventstore is taken" in said


@pytest.mark.parametrize("store", ["eventstore", "mongo"])
def test_a_directory_that_cannot_be_written(store: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a directory")
    said = fails("embedded", store, "--port", "0", "--data", str(file / "data"))
    assert "choose another directory" in said
    assert "cannot write" in fails(ORDERSTREAM, "up", "--data", str(file / "data"))


def test_a_foreign_directory(tmp_path: Path) -> None:
    (tmp_path / "events.db").write_text("this is no event log at all, but somebody's letter to their aunt")
    said = fails("embedded", "eventstore", "--port", "0", "--data", str(tmp_path))
    assert "is not an event log" in said


@pytest.mark.parametrize("command", ["backup", "check", "repair"])
def test_the_database_of_a_real_server(command: str, tmp_path: Path) -> None:
    for name in ("chaser.chk", "writer.chk", "chunk-000000.000000"):
        (tmp_path / name).write_bytes(b"\0" * 8)
    to = ("--to", str(tmp_path / "copy")) if command == "backup" else ()
    said = fails("embedded", command, "--data", str(tmp_path), *to)
    assert "is a database of a real EventStoreDB; docs/eventstoredb.md says how to copy one" in said


def test_a_second_node_on_one_directory(tmp_path: Path) -> None:
    with running("embedded", "eventstore", "--port", "0", "--data", str(tmp_path)):
        said = fails("embedded", "eventstore", "--port", "0", "--data", str(tmp_path))
    assert "another node is using" in said


AS_IF_INSTALLED_ELSEWHERE = """
import runpy, sys
sys.executable = sys.argv[1]
sys.argv = ["embedded", "mongo", "--port", "0"]
runpy.run_module("embedded", run_name="__main__", alter_sys=True)
"""


def test_a_view_store_that_is_not_installed(tmp_path: Path) -> None:
    bare = str(tmp_path / "python")
    command = [sys.executable, "-c", AS_IF_INSTALLED_ELSEWHERE, bare]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": str(tmp_path)}
    )
    said = complaint(done)
    assert "secantusd-py is not installed; run: pip install" in said


def test_a_ready_line_says_where(tmp_path: Path) -> None:
    with running("embedded", "eventstore", "--port", "0", "--data", str(tmp_path)) as node:
        assert json.loads(json.dumps(node.ready))["uri"].startswith("esdb://127.0.0.1:")
        assert node.stop() == 0


def test_a_backup_beneath_a_file(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "file"
    with running("embedded", "eventstore", "--port", "0", "--data", str(data)):
        pass
    file.write_text("not a directory")
    said = fails("embedded", "backup", "--data", str(data), "--to", str(file / "copy"))
    assert "choose another place" in said
