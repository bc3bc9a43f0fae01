"""A directory that an older node wrote: what is in it stays, and its positions show like all others.

`tests/e2e/former_releases/killed_with_open_steps.tar.xz` holds one of layout 3. Its records were encoded with their
numbers, 1, 2, 3 …, as positions.
"""

import sqlite3
import tarfile
from pathlib import Path

import pytest
from esdbclient import NewEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient

from embedded.eventstore.files import back_up, check_log, restore
from embedded.eventstore.node import node
from embedded.eventstore.positions import offset
from tests.support.processes import ROOT

FORMER = ROOT / "tests/e2e/former_releases/killed_with_open_steps.tar.xz"
RECORDS = 409
GROUP, CHECKPOINT = "checkout-757f0202", 248  # the number of the last record that the group has done with
TYPES = ["Order.*", "Shipment.*", "Payment.*", "Refund.*", "Hold.*"]  # of the events that it consumes


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with tarfile.open(FORMER) as former:
        wanted = [member for member in former.getmembers() if member.name.startswith("eventstore")]
        former.extractall(tmp_path, members=wanted, filter="data")
    return tmp_path / "eventstore"


async def positions(client: AsyncEventStoreDBClient, **how: object) -> list[int | None]:
    how = {"filter_exclude": [], **how}
    return [e.commit_position async for e in await client.read_all(**how)]  # type: ignore[arg-type]


def layout(directory: Path) -> int:
    file = sqlite3.connect(directory / "events.db")
    try:
        return int(file.execute("PRAGMA user_version").fetchone()[0])
    finally:
        file.close()


def stored(directory: Path) -> list[tuple[int, bytes, int]]:
    file = sqlite3.connect(directory / "events.db")
    try:
        found = "SELECT position, encoded, checksum FROM events WHERE position <= ? ORDER BY position"
        return file.execute(found, (RECORDS,)).fetchall()
    finally:
        file.close()


async def connected(address: str) -> AsyncEventStoreDBClient:
    client = AsyncEventStoreDBClient(f"esdb://{address}?Tls=false")
    await client.connect()
    return client


async def test_its_records_show_positions_like_those_that_come_after(directory: Path) -> None:
    before = stored(directory)
    for start in range(2):  # the second finds records of both layouts
        written = RECORDS + start
        async with node(directory) as address:
            client = await connected(address)
            assert await positions(client) == [offset(n) for n in range(1, written + 1)]
            assert await positions(client, commit_position=offset(100), limit=3) == [offset(n) for n in range(100, 103)]
            [event] = [
                e async for e in await client.read_all(filter_exclude=[], commit_position=offset(RECORDS), limit=1)
            ]
            found = [e async for e in await client.read_stream(event.stream_name)]
            assert found[event.stream_position].commit_position == offset(RECORDS)
            new = NewEvent(type="Happened", data=b"{}")
            position = await client.append_to_stream("s-1", current_version=StreamState.ANY, events=[new])
            assert position == offset(written + 1)
            await client.close()
    assert stored(directory) == before, "records are not written again"


async def test_its_group_goes_on_behind_its_checkpoint(directory: Path) -> None:
    async with node(directory) as address:
        client = await connected(address)
        consumer = await client.read_subscription_to_all(GROUP)
        async for event in consumer:
            behind = {"commit_position": offset(CHECKPOINT + 1), "filter_include": TYPES, "limit": 1}
            assert [event.commit_position] == await positions(client, **behind)
            break
        info = await client.get_subscription_info(GROUP)
        assert info.start_from == "C:0/P:0"
        assert info.last_checkpointed_event_position == f"C:{offset(CHECKPOINT)}/P:{offset(CHECKPOINT)}"
        await consumer.stop()
        await client.close()


async def test_it_is_backed_up_restored_and_checked_as_it_is(directory: Path, tmp_path: Path) -> None:
    assert check_log(directory) == (RECORDS, RECORDS)
    assert back_up(directory, tmp_path / "copy") == (RECORDS, RECORDS)
    assert restore(tmp_path / "copy", tmp_path / "other") == (RECORDS, RECORDS)
    assert layout(tmp_path / "other") == 3
    async with node(tmp_path / "other") as address:
        client = await connected(address)
        assert await client.get_commit_position(filter_exclude=[]) == offset(RECORDS)
        await client.close()
    assert layout(tmp_path / "other") == 4
    assert check_log(tmp_path / "other") == (RECORDS, RECORDS)
