"""A known fault of real servers, which the node shows on request: filtered groups on `$all` forget what waits."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from esdbclient import NewEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient

from embedded.eventstore.node import node
from tests.support.eventually import eventually
from tests.support.processes import running

Client = AsyncEventStoreDBClient
WITHIN = 15.0
OFTEN: dict[str, Any] = {"min_checkpoint_count": 1, "max_checkpoint_count": 1_000, "checkpoint_after": 0.1}
FILTER: dict[str, Any] = {"filter_include": ["ours-.*"], "filter_by_stream_name": True}
RESTART = "/event_store.client.persistent_subscriptions.PersistentSubscriptions/RestartSubsystem"


async def connected(address: str) -> Client:
    client = AsyncEventStoreDBClient(f"esdb://{address}?Tls=false")
    await client.connect()
    return client


async def append(client: Client, stream: str, *types: str) -> int:
    events = [NewEvent(type=type_, data=b"{}") for type_ in types]
    return await client.append_to_stream(stream, current_version=StreamState.ANY, events=events)


async def let_wait(client: Client, filtered: dict[str, Any], *, like_24_10: bool) -> None:
    """Three events that no consumer takes, between events of others; until the group keeps its place."""
    await client.create_subscription_to_all("g", **OFTEN, **filtered)
    before = await append(client, "others-1", "X")
    await append(client, "ours-1", "A", "B", "C")
    after = await append(client, "others-1", "Y")
    if filtered != FILTER:
        await eventually(lambda: client.get_subscription_info("g"), lambda info: info.read_buffer_count >= 5)
        return
    place = after if like_24_10 else before
    await eventually(
        lambda: client.get_subscription_info("g"),
        lambda info: info.last_checkpointed_event_position == f"C:{place}/P:{place}",
    )


async def delivered(client: Client) -> list[str]:
    """The types of ours that are delivered now, one that has just been written included."""
    await append(client, "ours-1", "last")
    found: list[str] = []
    async with await client.read_subscription_to_all("g") as consumer:
        while "last" not in found:
            event = await asyncio.wait_for(anext(consumer), WITHIN)
            found += [event.type] * event.stream_name.startswith("ours-")
            await consumer.ack(event)
    return found


async def restart_subsystem(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        rpc: Any = channel.unary_unary(RESTART)
        await rpc(b"", timeout=WITHIN)


CASES = [
    pytest.param(True, FILTER, ["last"], id="like 24.10, filtered"),
    pytest.param(True, {"filter_exclude": []}, ["A", "B", "C", "last"], id="like 24.10, not filtered"),
    pytest.param(False, FILTER, ["A", "B", "C", "last"], id="filtered"),
]


@pytest.mark.parametrize(("like_24_10", "filtered", "wanted"), CASES)
@pytest.mark.parametrize("restarted", ["the subsystem", "the node"])
async def test_what_waits_is_forgotten_at_a_restart_only_with_a_filter_and_on_request(
    tmp_path: Path, like_24_10: bool, filtered: dict[str, Any], wanted: list[str], restarted: str
) -> None:
    async with node(tmp_path, like_24_10=like_24_10) as address:
        client = await connected(address)
        await let_wait(client, filtered, like_24_10=like_24_10)
        if restarted == "the subsystem":
            await restart_subsystem(address)
            assert await delivered(client) == wanted
        await client.close()
    if restarted == "the node":
        async with node(tmp_path, like_24_10=like_24_10) as address:
            client = await connected(address)
            assert await delivered(client) == wanted
            await client.close()


async def test_what_waits_is_delivered_without_a_restart() -> None:
    async with node(None, like_24_10=True) as address:
        client = await connected(address)
        await let_wait(client, FILTER, like_24_10=True)
        assert await delivered(client) == ["A", "B", "C", "last"]
        await client.close()


async def test_the_command_line_has_a_switch_for_it() -> None:
    with running("embedded", "eventstore", "--port", "0", "--memory", "--like-24.10") as store:
        client = await connected(store.ready["address"])
        await let_wait(client, FILTER, like_24_10=True)
        await restart_subsystem(store.ready["address"])
        assert await delivered(client) == ["last"]
        await client.close()
