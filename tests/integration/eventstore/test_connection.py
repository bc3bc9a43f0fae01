"""The connection of a role outlives every change of leader, as three real nodes were measured to go through it.

`embedded.eventstore.cluster` plays what they said and did, ten times as fast where that does not matter.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from esdbclient import NewEvent, StreamState

from core.eventstore.client import RecordedEvent
from core.eventstore.connection import Client, connect
from core.eventstore.log import EventFilter, EventLog
from core.eventstore.persistent import ALL, Groups
from core.eventstore.store import EventStore
from core.eventstore.subscription import CatchUpSubscription, SubscriptionLost
from core.failures import StoreUnavailable
from embedded.eventstore.cluster import Cluster, cluster
from embedded.eventstore.messages import gossip_pb2
from embedded.eventstore.node import node
from tests.support.eventually import eventually

PACE = 0.1
STREAM = "order-1"
Act = Callable[[Cluster], Awaitable[None]]


def event() -> NewEvent:
    return NewEvent(type="Happened", data=b"{}")


class Writer:
    """Appends one event after the other, and repeats what failed with the same event, as callers do."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self.written: list[NewEvent] = []
        self.failed = 0

    async def append(self) -> None:
        new = event()
        while True:
            try:
                await self._store.append(STREAM, len(self.written) - 1, [new])
                break
            except StoreUnavailable:
                self.failed += 1
                await asyncio.sleep(0.05)
        self.written.append(new)


class Reader:
    """Follows the log, and subscribes again after the last event that it has applied, as views do."""

    def __init__(self, client: Client) -> None:
        self._log = EventLog(client)
        self.taken: list[RecordedEvent] = []

    async def follow(self) -> None:
        position = 0
        while True:
            with suppress(StoreUnavailable, SubscriptionLost):
                async with CatchUpSubscription(self._log, EventFilter(include=("order-.*",)), position) as subscription:
                    while True:
                        for item in await subscription.batch(100, 1.0):
                            if type(item) is RecordedEvent:
                                self.taken.append(item)
                        position = subscription.position
            await asyncio.sleep(0.05)


@asynccontextmanager
async def at_work(c: Cluster, uri: str = "") -> AsyncIterator[tuple[Client, Writer, Reader]]:
    client = await connect(uri or c.uri)
    store, reader = EventStore(EventLog(client)), Reader(client)
    following = asyncio.create_task(reader.follow())
    try:
        yield client, Writer(store), reader
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await store.close()
        await client.close()


async def everything_came(writer: Writer, reader: Reader) -> None:
    async def ids() -> list[object]:
        return [x.id for x in reader.taken]

    assert await eventually(ids, lambda now: len(now) >= len(writer.written)) == [x.id for x in writer.written]


async def killed(c: Cluster) -> None:
    assert c.leader is not None
    await c.kill(c.leader)


async def resigned(c: Cluster) -> None:
    await c.resign()


async def hung(c: Cluster) -> None:
    assert c.leader is not None
    await c.hang(c.leader)


async def hung_and_back(c: Cluster) -> None:
    await c.two_leaders()


async def without_quorum_for_a_while(c: Cluster) -> None:
    await c.lose_quorum()
    await c.settled()
    await c.restore_quorum()


@pytest.mark.parametrize("act", [killed, resigned, hung, hung_and_back, without_quorum_for_a_while])
async def test_writers_and_readers_go_on_and_nothing_is_lost_or_doubled(act: Act) -> None:
    async with cluster(pace=PACE) as c, at_work(c) as (client, writer, reader):
        await writer.append()
        await act(c)
        for _ in range(5):
            await writer.append()
        await c.settled()
        await writer.append()
        await everything_came(writer, reader)
        assert client.generation > 1
        assert client.connection_target == c.addresses[c.leader or 0]


async def test_a_leader_that_hangs_is_left_whichever_host_it_is_in_the_address() -> None:
    async with cluster(pace=PACE) as c:
        for addresses in (c.addresses, c.addresses[::-1]):
            uri = f"esdb://{','.join(addresses)}?Tls=false"
            async with at_work(c, uri) as (_, writer, _reader):
                await writer._store.append(f"order-{addresses[0]}", -1, [event()])
        leader = c.leader or 0
        await c.hang(leader)
        await c.settled()
        for addresses in (c.addresses, c.addresses[::-1]):
            client = await connect(f"esdb://{','.join(addresses)}?Tls=false")
            assert await EventLog(client).head() > 0, "one that hangs keeps nobody from starting"
            await client.close()


async def test_a_dead_leader_that_is_still_listed_keeps_nobody_from_starting() -> None:
    async with cluster(pace=PACE) as c:
        assert c.leader is not None
        await c.two_leaders()
        await c.settled()
        client = await connect(c.uri)
        await EventStore(EventLog(client)).append(STREAM, -1, [event()])
        await client.close()


async def test_without_a_quorum_calls_fail_soon_and_say_why() -> None:
    async with cluster(pace=PACE) as c, at_work(c) as (client, writer, _):
        await writer.append()
        await c.lose_quorum()
        await c.settled()

        async def trouble() -> str:
            with suppress(StoreUnavailable):
                await EventLog(client).head()
            return client.trouble

        assert "is PreReplica" in await eventually(trouble, lambda now: "is PreReplica" in now)
        with pytest.raises(StoreUnavailable):
            async with asyncio.timeout(1.0):  # those who come later do not wait for what others have waited for
                await EventLog(client).head()


async def test_the_deadline_of_one_caller_does_not_end_what_all_wait_for() -> None:
    async with cluster(pace=PACE) as c, at_work(c) as (client, writer, _):
        await writer.append()
        assert c.leader is not None
        await c.kill(c.leader)
        for _ in range(20):
            with suppress(TimeoutError, StoreUnavailable):
                async with asyncio.timeout(0.01):
                    await EventLog(client).head()
        await writer.append()


async def test_changes_of_leader_leave_no_connection_open() -> None:
    async with cluster(pace=0.02) as c, at_work(c) as (client, writer, reader):
        await writer.append()
        await everything_came(writer, reader)
        before = open_sockets()
        for _ in range(8):
            await c.resign()
            await c.settled()
            await writer.append()
        await everything_came(writer, reader)

        async def more() -> int:
            return open_sockets() - before

        await eventually(more, lambda now: now <= 8)  # both ends before and behind the stand-in of two connections
        assert client.generation > 4


def open_sockets() -> int:
    named = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            named.append(str(descriptor.readlink()))
    return sum(name.startswith("socket:") for name in named)


async def test_a_single_host_that_is_a_follower_leads_a_writer_to_the_leader() -> None:
    async with cluster(pace=PACE) as c:
        follower = next(n for n, state in enumerate(c.states) if state == "Follower")
        async with at_work(c, f"esdb://{c.addresses[follower]}?Tls=false") as (client, writer, reader):
            await writer.append()
            await everything_came(writer, reader)
            assert client.connection_target == c.addresses[c.leader or 0]


async def test_reads_go_to_a_follower_that_is_asked_for_and_to_another_when_it_goes() -> None:
    async with cluster(pace=PACE) as c, at_work(c) as (_, writer, _reader):
        await writer.append()
        client = await connect(f"{c.uri}&NodePreference=follower")
        first = c.addresses.index(client.connection_target)
        assert first != c.leader
        assert not client.writes
        reader = Reader(client)
        following = asyncio.create_task(reader.follow())
        await everything_came(writer, reader)
        await c.kill(first)
        await writer.append()
        await everything_came(writer, reader)
        assert client.connection_target != c.addresses[first]
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await client.close()


async def test_the_acts_on_groups_go_to_the_leader_after_a_change() -> None:
    async with cluster(pace=PACE) as c, at_work(c) as (client, writer, _):
        await writer.append()
        groups = Groups(EventLog(client))
        await groups.create_on_all("g", 0)
        await c.resign()
        await c.settled()
        await writer.append()
        assert (await groups.one(ALL, "g")).name == "g"
        consumer = await groups.consumer_of_all("g")
        delivered = [event async for event in until_one_of(consumer.events(), "Happened")]
        assert delivered[-1].id == writer.written[0].id
        await consumer.stop()


async def test_more_reads_at_once_than_a_node_takes_on_a_connection_are_all_answered() -> None:
    """A node takes a hundred calls; what it refuses it has not looked at."""
    async with node(None) as address:
        client = await connect(f"esdb://{address}?Tls=false")
        log = EventLog(client)
        await client.append_to_stream(STREAM, current_version=StreamState.NO_STREAM, events=[event()])
        read = await asyncio.gather(*(log.complete_stream(STREAM) for _ in range(300)))
        assert all(found and len(found) == 1 for found in read)
        await client.close()


async def test_a_state_that_no_release_knows_yet_is_no_leader_and_ends_nothing() -> None:
    states = iter((77, 77))

    async def read(_request: bytes, _context: object) -> bytes:
        info = gossip_pb2.ClusterInfo()
        member = info.members.add(state=next(states, 8), is_alive=True)
        member.http_end_point.address, member.http_end_point.port = "localhost", 1
        return bytes(info.SerializeToString())

    server = grpc.aio.server()
    handlers: dict[str, Any] = {"Read": grpc.unary_unary_rpc_method_handler(read)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("event_store.client.gossip.Gossip", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = await connect(f"esdb://127.0.0.1:{port}?Tls=false")
    assert (client.trouble, client.generation) == ("", 1)
    assert next(states, None) is None
    await client.close()
    await server.stop(0)


async def until_one_of(events: AsyncGenerator[RecordedEvent, None], kind: str) -> AsyncIterator[RecordedEvent]:
    async with aclosing(events):
        async for one in events:
            yield one
            if one.type == kind:
                return
