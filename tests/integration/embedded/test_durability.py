"""Acknowledged means on disk, whatever happens next."""

import asyncio
import re
import shutil
import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from esdbclient import NewEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.exceptions import EventStoreDBClientException

from tests.support.processes import Running, running

WRITERS = 8


async def connect(node: Running) -> AsyncEventStoreDBClient:
    client = AsyncEventStoreDBClient(node.ready["uri"])
    await client.connect()
    return client


async def write_until_it_dies(
    client: AsyncEventStoreDBClient, writer: int, round_: int, acknowledged: list[str]
) -> None:
    version: StreamState | int = StreamState.NO_STREAM
    stream = f"crash-{round_}.{writer}"
    for number in range(100_000):
        pair = [NewEvent(type=f"{number}a", data=b"{}"), NewEvent(type=f"{number}b", data=b"{}")]
        try:
            await client.append_to_stream(stream, current_version=version, events=pair, timeout=2)
        except (EventStoreDBClientException, asyncio.CancelledError):
            return
        acknowledged.append(f"{stream} {number}")
        version = 2 * number + 1


async def crash_rounds(data: Path, rounds: int) -> None:
    node = Running("embedded", "eventstore", "--port", "0", "--data", str(data))
    try:
        for round_ in range(rounds):
            client = await connect(node)
            acknowledged: list[str] = []
            writers = [
                asyncio.create_task(write_until_it_dies(client, n, round_, acknowledged)) for n in range(WRITERS)
            ]
            while len(acknowledged) < 100:  # noqa: ASYNC110  # a bounded wait: the test has a deadline
                await asyncio.sleep(0.005)
            node.kill()
            await asyncio.wait(writers, timeout=20)
            await client.close()
            node.start()
            await check(node, round_, acknowledged)
    finally:
        node.close()


async def check(node: Running, round_: int, acknowledged: list[str]) -> None:
    client = await connect(node)
    found: set[str] = set()
    for writer in range(WRITERS):
        stream = f"crash-{round_}.{writer}"
        events = [event async for event in await client.read_stream(stream)]
        assert [event.stream_position for event in events] == list(range(len(events))), "revisions are dense"
        assert len(events) % 2 == 0, "an append is there whole or not at all"
        found |= {f"{stream} {event.type[:-1]}" for event in events}
    positions = [event.commit_position or 0 async for event in await client.read_all()]
    assert positions == sorted(set(positions)), "positions rise strictly"
    assert set(acknowledged) <= found
    await client.close()


async def test_killed_under_concurrent_appends_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    await crash_rounds(tmp_path, rounds=3)


@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_the_same_fifty_times(tmp_path: Path) -> None:
    await crash_rounds(tmp_path, rounds=50)


async def test_a_record_changed_on_disk_is_never_served(tmp_path: Path) -> None:
    with running("embedded", "eventstore", "--port", "0", "--data", str(tmp_path)) as node:
        client = await connect(node)
        await client.append_to_stream(
            "s-1", current_version=StreamState.NO_STREAM, events=[NewEvent(type="A", data=b'{"amount":100}')]
        )
        await client.close()
        node.stop()
        with sqlite3.connect(tmp_path / "events.db") as file:
            [(encoded,)] = file.execute("SELECT encoded FROM events WHERE type = 'A'").fetchall()
            file.execute("UPDATE events SET encoded = ? WHERE type = 'A'", (encoded.replace(b"100", b"900"),))
        file.close()
        node.start()
        client = await connect(node)
        with pytest.raises(EventStoreDBClientException, match="damaged"):
            _ = [event async for event in await client.read_stream("s-1")]
        await client.close()


@pytest.mark.skipif(
    not shutil.which("strace"), reason="STRACE NOT INSTALLED: the order of fsync and reply is not shown"
)
async def test_the_disk_is_synced_before_the_reply_is_sent(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-e", "trace=fdatasync,fsync,sendmsg", "-o", str(trace), "-p"]
    with running("embedded", "eventstore", "--port", "0", "--data", str(tmp_path / "data")) as node:
        tracer = subprocess.Popen(  # noqa: ASYNC220  # nothing else runs in this loop meanwhile
            [*strace, str(node.process.pid)],
            stderr=subprocess.PIPE,
        )
        assert tracer.stderr is not None
        await asyncio.to_thread(tracer.stderr.readline)  # it says that it is attached
        client = await connect(node)
        for number in range(5):
            await client.append_to_stream(
                f"s-{number}", current_version=StreamState.NO_STREAM, events=[NewEvent(type="A", data=b"{}")]
            )
        await client.close()
        tracer.terminate()
        tracer.communicate(timeout=20)
    calls = re.findall(r"(fdatasync|fsync|sendmsg)\(", trace.read_text())
    synced = [index for index, call in enumerate(calls) if call != "sendmsg"]
    assert len(synced) >= 5, "each append alone was synced"
    assert sys.platform == "linux"
    for earlier, later in pairwise(synced):
        assert "sendmsg" in calls[earlier:later], "a reply goes out between two syncs, after the first of them"
