"""The system projections and the Projections service as the unmodified esdbclient sees them."""

import asyncio
import json
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from esdbclient import NewEvent, RecordedEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.exceptions import (
    EventStoreDBClientException,
    ExceptionThrownByHandler,
    GrpcDeadlineExceeded,
    NotFound,
    OperationFailed,
)
from esdbclient.protos.Grpc import projections_pb2

from embedded.eventstore import node as embedded_node
from embedded.stack import embedded_eventstore
from tests.support.eventually import eventually
from tests.support.processes import Running, running

Client = AsyncEventStoreDBClient
COMMAND = ("embedded", "eventstore", "--port", "0", "--projections", "system")
SYSTEM = ("$by_category", "$by_event_type", "$by_correlation_id", "$stream_by_category", "$streams")


@pytest.fixture(scope="module")
def node() -> Iterator[Running]:
    with running(*COMMAND, "--memory") as store:
        yield store


@pytest.fixture
async def client(node: Running) -> AsyncIterator[Client]:
    client = await connected(node)
    yield client
    await client.close()


async def connected(node: Running) -> Client:
    client = AsyncEventStoreDBClient(node.ready["uri"])
    await client.connect()
    return client


def unique() -> str:
    return f"c{uuid.uuid4().hex}"


async def append(client: Client, stream: str, *events: NewEvent) -> None:
    await client.append_to_stream(stream, current_version=StreamState.ANY, events=events)


def event(type_: str, data: bytes = b"{}", metadata: bytes = b"") -> NewEvent:
    return NewEvent(type=type_, data=data, metadata=metadata)


async def read(client: Client, stream: str, *, resolve: bool = False) -> list[RecordedEvent]:
    try:
        return [e async for e in await client.read_stream(stream, resolve_links=resolve)]
    except NotFound:
        return []


async def grown(client: Client, stream: str, count: int, *, resolve: bool = False) -> list[RecordedEvent]:
    return await eventually(lambda: read(client, stream, resolve=resolve), lambda found: len(found) >= count)


async def at_the_end(client: Client) -> None:
    """Wait until every projection has seen all there is."""

    async def progress() -> list[float]:
        return [(await client.get_projection_statistics(name=name)).progress for name in SYSTEM]

    await eventually(progress, lambda found: found == [100.0] * len(SYSTEM))


async def test_a_category_collects_links_in_the_order_of_the_log(client: Client) -> None:
    category = unique()
    await append(client, f"{category}-1-x", event("A"))
    await append(client, f"{category}-2", event("B"))
    await append(client, f"{category}-1-x", event("C"))
    links = await grown(client, f"$ce-{category}", 3)
    assert [e.data for e in links] == [
        place.encode() for place in (f"0@{category}-1-x", f"0@{category}-2", f"1@{category}-1-x")
    ]
    assert {e.type for e in links} == {"$>"}
    assert {e.content_type for e in links} == {"application/octet-stream"}
    assert [e.stream_position for e in links] == [0, 1, 2]
    resolved = await read(client, f"$ce-{category}", resolve=True)
    assert [(e.type, e.stream_name) for e in resolved] == [
        ("A", f"{category}-1-x"), ("B", f"{category}-2"), ("C", f"{category}-1-x"),
    ]  # fmt: skip
    about = json.loads(links[0].metadata)
    assert about["$o"] == f"{category}-1-x"
    assert about["$causedBy"] == str(resolved[0].id)


async def test_types_streams_categories_and_correlations_are_indexed(client: Client) -> None:
    category, correlation = unique(), unique()
    stream, type_ = f"{category}-1", f"T{category}"
    await append(client, stream, event(type_, metadata=json.dumps({"$correlationId": correlation}).encode()))
    await append(client, stream, event(type_))
    await client.set_stream_metadata(stream, metadata={"$maxCount": 9})
    by_type = await grown(client, f"$et-{type_}", 2)
    assert [e.data for e in by_type] == [f"{n}@{stream}".encode() for n in (0, 1)]
    [reference] = await grown(client, f"$category-{category}", 1)
    assert (reference.type, reference.data) == ("$@", stream.encode())
    [correlated] = await grown(client, f"$bc-{correlation}", 1)
    assert correlated.data == f"0@{stream}".encode()
    assert json.loads(correlated.metadata)["$correlationId"] == correlation
    await at_the_end(client)
    every = [e.data.decode() for e in await read(client, "$streams")]
    assert (every.count(f"0@{stream}"), every.count(f"0@$${stream}")) == (1, 1)
    metadata = [e.data.decode() for e in await read(client, "$et-$metadata")]
    assert f"0@{stream}" in metadata


async def test_links_contribute_where_they_lead_and_what_is_not_json_is_left_out(client: Client) -> None:
    category, type_ = unique(), unique()
    await append(client, f"elsewhere{category}", event("A"))
    link = NewEvent(type="$>", data=f"0@elsewhere{category}".encode(), content_type="application/octet-stream")
    raw = NewEvent(type=type_, data=b"\xff", content_type="application/octet-stream")
    await append(client, f"{category}-1", link, event(type_, data=b"not json"), raw)
    links = await grown(client, f"$ce-{category}", 2)
    assert [e.data for e in links] == [f"0@elsewhere{category}".encode(), f"2@{category}-1".encode()]
    await at_the_end(client)
    assert [e.data for e in await read(client, f"$et-{type_}")] == [f"2@{category}-1".encode()]


async def test_the_projections_index_neither_system_streams_nor_each_other(client: Client) -> None:
    await append(client, f"$hidden-{unique()}", event("HiddenType"))
    await append(client, f"{unique()}-1", event("A"))
    await at_the_end(client)
    assert await read(client, "$et-HiddenType") == []
    assert await read(client, "$et-$>") == []
    assert not any(b"@$" in e.data and b"@$$" not in e.data for e in await read(client, "$streams"))


async def test_a_category_can_be_subscribed_to_both_ways(client: Client) -> None:
    category = unique()
    await append(client, f"{category}-1", event("A"))
    await client.create_subscription_to_stream("g", f"$ce-{category}", resolve_links=True)
    subscription = await client.subscribe_to_stream(f"$ce-{category}", resolve_links=True)
    persistent = await client.read_subscription_to_stream("g", f"$ce-{category}")
    first = [await asyncio.wait_for(anext(s), 20) for s in (subscription, persistent)]
    await append(client, f"{category}-2", event("B"))
    second = [await asyncio.wait_for(anext(s), 20) for s in (subscription, persistent)]
    assert [e.type for e in first + second] == ["A", "A", "B", "B"]
    await subscription.stop()
    await persistent.stop()


async def test_a_stopped_projection_adds_nothing_until_it_goes_on_and_a_reset_doubles_nothing(client: Client) -> None:
    category = unique()
    await append(client, f"{category}-1", event("A"))
    await grown(client, f"$ce-{category}", 1)
    await client.disable_projection(name="$by_category")
    assert (await client.get_projection_statistics(name="$by_category")).status == "Stopped"
    await append(client, f"{category}-1", event("B"))
    await grown(client, f"$category-{category}", 1)
    assert len(await read(client, f"$ce-{category}")) == 1
    with pytest.raises(OperationFailed):
        await client.delete_projection(name="$by_event_type")  # it runs
    await client.reset_projection(name="$by_category")
    await client.enable_projection(name="$by_category")
    assert len(await grown(client, f"$ce-{category}", 2)) == 2
    await client.reset_projection(name="$by_category")
    await client.restart_projections_subsystem()
    await at_the_end(client)
    assert len(await read(client, f"$ce-{category}")) == 2


async def test_a_killed_node_goes_on_without_a_double_or_a_gap(tmp_path: Path) -> None:
    appended = 0
    with running(*COMMAND, "--data", str(tmp_path)) as node:
        for _ in range(3):
            client = await connected(node)
            for _ in range(150):
                await append(client, f"order-{appended}", event("Placed"))
                appended += 1
            await grown(client, "$ce-order", appended - 149)  # it is at work
            await client.close()
            node.kill()
            node.start()
        client = await connected(node)
        wanted = [f"0@order-{n}".encode() for n in range(appended)]
        await at_the_end(client)
        for stream in ("$ce-order", "$et-Placed", "$streams"):
            assert [e.data for e in await read(client, stream)] == wanted
        await client.close()


async def test_one_that_is_disabled_has_linked_what_was_written_before(client: Client) -> None:
    category = unique()
    await append(client, f"{category}-1", event("A"))
    await client.disable_projection(name="$by_category")
    try:
        assert len(await read(client, f"$ce-{category}")) == 1
    finally:
        await client.enable_projection(name="$by_category")


def as_an_older_node_left_it(directory: Path) -> None:
    """The state of projections had no version."""
    with closing(sqlite3.connect(directory / "events.db")) as file:
        kept = file.execute("SELECT key, value FROM state WHERE kind = 'system projection'").fetchall()
        for key, value in kept:
            older = {name: found for name, found in json.loads(value).items() if name != "version"}
            file.execute("UPDATE state SET value = ? WHERE key = ?", (json.dumps(older), key))
        file.commit()
    assert kept


async def test_links_of_an_older_node_stay_and_are_not_written_again(tmp_path: Path) -> None:
    streams = {"$ce-order": 3, "$et-Placed": 2, "$et-$deleted": 1, "$streams": 2, "$projections-$all": 6}
    for start in range(2):
        async with embedded_node.node(tmp_path, system_projections=True) as address:
            client = AsyncEventStoreDBClient(f"esdb://{address}?Tls=false")
            await client.connect()
            if start == 0:
                await append(client, "order-1", event("Placed"), event("Placed"))
                await client.delete_stream("order-1", current_version=StreamState.ANY)
                await grown(client, "$ce-order", 3)
            else:
                for name in SYSTEM:
                    assert (await client.get_projection_statistics(name=name)).version == 1
                    await client.reset_projection(name=name)
            await at_the_end(client)
            found = {stream: len(await read(client, stream)) for stream in streams}
            metadata = [e.stream_position for e in await read(client, "$$$ce-order")]
            await client.close()
        if start == 0:
            as_an_older_node_left_it(tmp_path)
        assert (found, metadata) == (streams, [0])


async def test_without_the_option_they_are_there_but_stopped() -> None:
    async with embedded_eventstore() as uri:
        client = AsyncEventStoreDBClient(uri)
        await client.connect()
        await only_what_is_enabled_runs(client)
        await client.close()


async def only_what_is_enabled_runs(client: Client) -> None:
    assert {(await client.get_projection_statistics(name=name)).status for name in SYSTEM} == {"Stopped"}
    await append(client, "order-1", event("A"))
    await client.enable_projection(name="$streams")
    assert [e.data for e in await grown(client, "$streams", 1)] == [b"0@order-1"]
    assert await read(client, "$ce-order") == []


QUERY = "fromAll().when({$init: () => ({count: 0})})"


async def test_a_query_is_kept_and_managed_and_honestly_not_run(client: Client) -> None:
    name = unique()
    await client.create_projection(name=name, query=QUERY)
    with pytest.raises(EventStoreDBClientException, match="received Conflict instead"):
        await client.create_projection(name=name, query=QUERY)
    seen = await client.get_projection_statistics(name=name)
    assert (seen.name, seen.mode, seen.status) == (name, "Continuous", "Faulted")
    assert "no JavaScript engine" in seen.state_reason
    assert (await client.get_projection_state(name=name)).value == {}
    await client.update_projection(name=name, query=QUERY + ";")
    assert (await client.get_projection_statistics(name=name)).version == 1
    with pytest.raises(OperationFailed):
        await client.delete_projection(name=name)
    await client.disable_projection(name=name)
    assert (await client.get_projection_statistics(name=name)).status == "Stopped"
    await client.enable_projection(name=name)
    await client.reset_projection(name=name)
    await client.disable_projection(name=name)
    await client.delete_projection(name=name)
    with pytest.raises(NotFound):
        await client.delete_projection(name=name)


async def abort(node: Running, name: str) -> None:
    """As the Node clients do; esdbclient cannot."""
    async with grpc.aio.insecure_channel(node.ready["address"]) as channel:
        rpc: Any = channel.unary_unary(
            "/event_store.client.projections.Projections/Disable",
            projections_pb2.DisableReq.SerializeToString,
            projections_pb2.DisableResp.FromString,
        )
        options = projections_pb2.DisableReq.Options(name=name, write_checkpoint=False)
        await rpc(projections_pb2.DisableReq(options=options))


@pytest.mark.parametrize("of_the_system", [True, False])
async def test_one_that_was_aborted_says_so_until_it_goes_on(
    client: Client, node: Running, of_the_system: bool
) -> None:
    name = "$by_event_type" if of_the_system else unique()
    if not of_the_system:
        await client.create_projection(name=name, query=QUERY)
    before = (await client.get_projection_statistics(name=name)).status
    await abort(node, name)
    assert (await client.get_projection_statistics(name=name)).status == "Aborted/Stopped"
    await client.enable_projection(name=name)
    assert (await client.get_projection_statistics(name=name)).status == before
    await client.disable_projection(name=name)
    assert (await client.get_projection_statistics(name=name)).status == "Stopped"
    await client.enable_projection(name=name)


async def test_what_is_unknown_or_contradictory_is_refused(client: Client) -> None:
    for call in (
        client.get_projection_statistics, client.get_projection_state, client.enable_projection,
        client.disable_projection, client.reset_projection, client.delete_projection,
    ):  # fmt: skip
        with pytest.raises(NotFound):
            await call(name="no-such-projection")
    with pytest.raises(NotFound):
        await client.update_projection(name="no-such-projection", query="")
    with pytest.raises(ExceptionThrownByHandler):
        await client.create_projection(name=unique(), query="", emit_enabled=False, track_emitted_streams=True)
    with pytest.raises(EventStoreDBClientException, match="received Conflict instead"):
        await client.create_projection(name="$by_category", query="")


async def test_the_state_of_a_projection_without_a_query_is_waited_for_in_vain(client: Client) -> None:
    name = unique()
    await client.create_projection(name=name, query="")
    with pytest.raises(GrpcDeadlineExceeded):
        await client.get_projection_state(name=name, timeout=0.2)
    await client.delete_projection(name=name)
