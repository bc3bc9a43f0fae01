"""A disk that is full, fails, or was cut off: nothing is acknowledged that is not there, and a reopen is clean."""

import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from esdbclient import EventStoreDBClient, NewEvent, StreamState
from esdbclient.exceptions import ServiceUnavailable

from tests.support.disks import failing, needs_strace
from tests.support.processes import Running, running

Client = EventStoreDBClient


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Running]:
    with running("embedded", "eventstore", "--port", "0", "--data", str(tmp_path)) as node:
        yield node


@pytest.fixture
def client(node: Running) -> Iterator[Client]:
    with connected(node) as client:
        yield client


def connected(node: Running) -> Client:
    return EventStoreDBClient(node.ready["uri"])


def append(client: Client, number: int, size: int = 10) -> None:
    event = NewEvent(type=f"E{number}", data=b"x" * size, content_type="application/octet-stream")
    client.append_to_stream("s-1", current_version=number - 1 if number else StreamState.NO_STREAM, events=[event])


def types(client: Client) -> list[str]:
    return [e.type for e in client.get_stream("s-1")]


def first(count: int) -> list[str]:
    return [f"E{n}" for n in range(count)]


@needs_strace
def test_a_full_disk_refuses_and_takes_again_as_soon_as_there_is_space(node: Running, client: Client) -> None:
    append(client, 0)
    with failing(node, "pwrite64", "ENOSPC"):
        with pytest.raises(ServiceUnavailable, match="free some space"):
            append(client, 1)
        assert types(client) == first(1), "what was refused is not there"
    append(client, 1)
    node.kill()
    node.start()
    again = connected(node)
    assert types(again) == first(2)
    again.close()


@needs_strace
def test_after_a_failed_sync_nothing_is_taken_until_a_restart(node: Running, client: Client) -> None:
    append(client, 0)
    with failing(node, "fdatasync", "EIO"), pytest.raises(ServiceUnavailable, match="restarted"):
        append(client, 1)
    with pytest.raises(ServiceUnavailable, match="until the node is restarted"):
        append(client, 1)  # although the disk works again
    assert (types(client))[0] == "E0", "it can still be read"
    node.stop()
    node.start()
    again = connected(node)
    found = types(again)
    assert found in (first(1), first(2)), "it was unknown, and is now one or the other"
    append(again, len(found))
    assert types(again) == first(len(found) + 1)
    again.close()


def test_a_file_that_may_not_grow_loses_nothing_that_was_acknowledged(node: Running, client: Client) -> None:
    count = 0
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (1024 * 1024, resource.RLIM_INFINITY))
    with suppress(ServiceUnavailable):
        for _ in range(100):
            append(client, count, 100_000)
            count += 1
    assert count < 100, "the file did not grow beyond its limit"
    assert types(client) == first(count)
    node.kill()
    node.start()
    again = connected(node)
    assert types(again) in (first(count), first(count + 1))
    again.close()


@pytest.mark.parametrize("cut", [1, 100, 4_000, 20_000])
def test_a_torn_tail_is_recovered_to_the_last_whole_commit(
    node: Running, client: Client, tmp_path: Path, cut: int
) -> None:
    for number in range(20):
        append(client, number)
    node.kill()
    tail = tmp_path / "events.db-wal"
    with tail.open("r+b") as file:
        file.truncate(tail.stat().st_size - cut)
    node.start()
    again = connected(node)
    found = types(again)
    assert 0 < len(found) < 20
    assert found == first(len(found))
    append(again, len(found))
    assert types(again) == first(len(found) + 1)
    again.close()
