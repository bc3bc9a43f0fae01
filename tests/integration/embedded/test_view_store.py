"""The process that runs the embedded view store: it starts another one when reads are not answered any more."""

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.support.eventually import polled
from tests.support.processes import Running, running

Client = MongoClient[dict[str, Any]]


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[Running]:
    with running("embedded", "mongo", "--port", "0", "--data", str(tmp_path)) as starter:
        yield starter


@pytest.fixture
def client(starter: Running) -> Iterator[Client]:
    with Client(starter.ready["uri"], serverSelectionTimeoutMS=1_000, socketTimeoutMS=5_000) as client:
        yield client


def store_of(starter: Running) -> int:
    pid = starter.process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def write_until_it_fails(client: Client) -> int:
    """How many documents were acknowledged."""
    for number in range(1_000):
        try:
            client["test"]["kept"].insert_one({"_id": number, "content": os.urandom(10_000)})
        except PyMongoError:
            return number
    raise AssertionError("everything was taken")


def count(client: Client) -> int:
    try:
        return client["test"]["kept"].count_documents({})
    except PyMongoError:
        return -1


def lines(starter: Running) -> list[str]:
    return [line for line in starter.errors().splitlines() if line.startswith("orderstream: ")]


def test_a_full_disk_is_named_once_and_reads_come_back_with_all_that_was_acknowledged(
    starter: Running, client: Client
) -> None:
    resource.prlimit(store_of(starter), resource.RLIMIT_FSIZE, (2 * 1024 * 1024, resource.RLIM_INFINITY))
    acknowledged = write_until_it_fails(client)
    polled(lambda: count(client), lambda found: found >= acknowledged, within=60)
    polled(lambda: lines(starter), lambda said: len(said) == 2, within=60)
    full, again = lines(starter)
    assert "does not answer reads: File too large; free some space" in full
    assert again == "orderstream: the view store answers again"
    client["test"]["kept"].insert_one({"_id": "later"})


def test_a_store_that_was_killed_is_started_again(starter: Running, client: Client) -> None:
    client["test"]["kept"].insert_one({"_id": 1})
    os.kill(store_of(starter), signal.SIGKILL)
    polled(lambda: count(client), lambda found: found == 1, within=60)
    assert "ended with exit code -9; it is started again" in lines(starter)[0]
