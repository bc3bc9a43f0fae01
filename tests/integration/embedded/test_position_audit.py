"""The audit of positions reports those that were received and had not been sent by any node, and of no other."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from esdbclient import NewEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.exceptions import EventStoreDBClientException
from esdbclient.protos.Grpc import streams_pb2

from embedded.eventstore.node import node
from embedded.eventstore.position_audit import SENT, UNKNOWN, VARIABLE
from embedded.stack import started
from tests.support.position_audit import failure, lines_since
from tests.support.secure_node import STREAMS, calling

pytestmark = pytest.mark.sends_unknown_positions
Client = AsyncEventStoreDBClient


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "audit"))
    return tmp_path / "audit"


@asynccontextmanager
async def client_of(uri: str) -> AsyncIterator[Client]:
    client = AsyncEventStoreDBClient(uri)
    await client.connect()
    yield client
    await client.close()


async def append(client: Client) -> int:
    new = NewEvent(type="Happened", data=b"{}")
    return int(await client.append_to_stream("s-1", current_version=StreamState.ANY, events=[new]))


def unknown(audit: Path) -> list[dict[str, Any]]:
    file = audit / UNKNOWN
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def is_there(audit: Path) -> bool:
    return audit.exists()


async def send(client: Client, position: int) -> None:
    """In every call that takes one."""
    with suppress(EventStoreDBClientException):
        _ = [e async for e in await client.read_all(commit_position=position, filter_include=["Happened"])]
    subscription = await client.subscribe_to_all(commit_position=position)
    await subscription.stop()
    await client.create_subscription_to_all("g", commit_position=position)
    await client.update_subscription_to_all("g", commit_position=position)


async def test_of_positions_that_were_received_nothing_is_reported(audit: Path) -> None:
    async with node(None) as address, client_of(f"esdb://{address}?Tls=false") as client:
        first = await append(client)
        await append(client)
        await send(client, first)
        [event] = [e async for e in await client.read_all(limit=1, filter_include=["Happened"])]
        assert event.commit_position == first
        _ = [e async for e in await client.read_all(commit_position=0)]
        subscription = await client.subscribe_to_all(from_end=True)
        await subscription.stop()
    assert unknown(audit) == []
    assert (audit / SENT).stat().st_size > 0


async def test_one_that_was_calculated_is_reported_with_its_call(audit: Path) -> None:
    async with node(None) as address, client_of(f"esdb://{address}?Tls=false") as client:
        wrong = await append(client) + 1
        await append(client)
        await send(client, wrong)
    found = unknown(audit)
    calls = ["Streams/Read", "Streams/Read", "PersistentSubscriptions/Create", "PersistentSubscriptions/Update"]
    assert [line["call"] for line in found] == calls
    assert {(line["commit"], line["prepare"]) for line in found} == {(wrong, wrong)}
    assert found[0]["about"].startswith("count, ")
    assert "Happened" in found[0]["about"]
    assert [line["about"].partition(",")[0] for line in found[1:]] == ["subscription", "group g", "group g"]


async def test_a_read_that_lacks_its_count_is_refused_as_without_the_audit(
    audit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = streams_pb2.ReadReq()
    request.options.all.position.commit_position = request.options.all.position.prepare_position = 1
    request.options.filter.event_type.prefix.append("x")
    request.options.filter.max = 1
    request.options.uuid_option.string.SetInParent()
    answers = []
    for where in (str(audit), ""):
        monkeypatch.setenv(VARIABLE, where)
        async with node(None) as address, calling(address) as caller:
            answers.append(await caller.answered(STREAMS + "Read", request))
    assert answers[0] == answers[1]
    assert answers[0].code == "INVALID_ARGUMENT"


async def test_what_another_node_sent_is_known_also_before_a_restart(audit: Path, tmp_path: Path) -> None:
    async with node(tmp_path / "data") as address, client_of(f"esdb://{address}?Tls=false") as client:
        with started("eventstore") as uri:  # a process of its own, started before the position is sent
            first = await append(client)
            await append(client)
            async with client_of(uri) as other:
                for _ in range(3):  # so that its log is as long
                    await append(other)
                await send(other, first)
    async with node(tmp_path / "data") as address, client_of(f"esdb://{address}?Tls=false") as client:
        await send(client, first)
    assert unknown(audit) == []


async def test_without_the_variable_nothing_is_written(audit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    async with node(None) as address, client_of(f"esdb://{address}?Tls=false") as client:
        wrong = await append(client) + 1
        await append(client)
        await send(client, wrong)
    assert not is_there(audit)


def test_the_check_of_a_test_sees_only_its_own_lines(tmp_path: Path) -> None:
    assert lines_since(tmp_path, 0) == ([], 0)
    (tmp_path / UNKNOWN).write_text("before\n")
    _, start = lines_since(tmp_path, 0)
    assert lines_since(tmp_path, start) == ([], start)
    (tmp_path / UNKNOWN).write_text("before\nmine\n")
    assert lines_since(tmp_path, start)[0] == ["mine"]
    assert "mine" in (failure(["mine"], on_purpose=False) or "")
    assert failure(["mine"], on_purpose=True) is None
    assert failure([], on_purpose=False) is None
