"""The stand-in for three nodes: how each member answers, and what the members say while the leader changes.

L is the leader before, member 0; F, member 1, leads after it; G is member 2.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest
from esdbclient import NewEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient

from embedded.eventstore.cluster import Cluster, cluster
from embedded.eventstore.errors import ActError, PortError
from embedded.eventstore.members.control import control
from embedded.eventstore.node import node
from tests.support.eventually import eventually
from tests.support.hand_clock import HandClock
from tests.support.members import (
    Call,
    Caller,
    Refused,
    append,
    batch_append,
    create_group,
    delete,
    features,
    gossip,
    group_info,
    read_all,
    read_group,
    read_stream,
    refused,
)

L, F, G = range(3)
PACE = 0.05
NOT_READY = Refused("UNAVAILABLE", "Server Is Not Ready")
CANCELED = Refused("ABORTED", "Operation timed out: Request canceled by server")


class Stage:
    """A cluster, calls to its members, and the clock that it goes by."""

    def __init__(self, cluster: Cluster, clock: HandClock) -> None:
        self.cluster, self.clock = cluster, clock
        self.caller = Caller(cluster.addresses)
        self.ask = self.caller.ask

    async def listed(self, *members: int) -> list[str]:
        return [await self.caller.listed(n) for n in members]

    async def after(self, seconds: float, expected: dict[int, str]) -> None:
        """Once so much more time has passed, members list what is expected."""
        await self.clock.advance(seconds)

        async def look() -> dict[int, str]:
            return {n: await self.caller.listed(n) for n in expected}

        await eventually(look, lambda seen: seen == expected)

    def not_leader(self, to: int) -> Refused:
        return Refused("NOT_FOUND", "Leader info available", "not-leader", self.cluster.addresses[to])

    async def appends(self, n: int) -> Any:
        """What an append that requires the leader gets: None if it was written."""
        answer = await self.ask(n, append("s-1"), wants_leader=True)
        return answer if isinstance(answer, Refused) else None

    async def revision(self, n: int) -> int:
        """Of the last event of the stream, as a member reads it."""
        opened = self.caller.opened(n, read_stream("s-1"))
        revisions = [m.event.event.stream_revision async for m in opened if m.HasField("event")]
        return revisions[-1] if revisions else -1


async def how_it_ends(answers: AsyncIterator[Any]) -> Refused:
    try:
        async for _ in answers:
            pass
    except grpc.aio.AioRpcError as error:
        return refused(error)
    raise AssertionError("it has ended without a failure")


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    clock = HandClock()
    async with cluster(pace=PACE, sleep=clock.sleep) as members:
        stage = Stage(members, clock)
        yield stage
        await stage.caller.close()


@pytest.fixture
async def quick() -> AsyncIterator[Cluster]:
    async with cluster(pace=PACE) as members:
        yield members


# ------------------------------------------------------------------ at a follower


@pytest.mark.parametrize("call", [append("s-1"), batch_append("s-1"), delete("s-1")], ids=lambda c: c.method[32:])
async def test_a_follower_forwards_writes_unless_they_require_the_leader(stage: Stage, call: Call) -> None:
    await stage.appends(L)
    assert await stage.ask(F, call, wants_leader=True) == stage.not_leader(L)
    assert await stage.revision(L) == 0
    assert not isinstance(await stage.ask(F, call), Refused)
    assert await stage.revision(G) == (-1 if call.method.endswith("Delete") else 1)


@pytest.mark.parametrize("call", [read_stream("s-1"), read_all()], ids=["stream", "all"])
async def test_a_follower_answers_finite_reads_unless_they_require_the_leader(stage: Stage, call: Call) -> None:
    await stage.appends(L)
    assert await stage.ask(F, call, wants_leader=True) == stage.not_leader(L)
    assert (await stage.ask(F, call)).WhichOneof("content") == "event"


@pytest.mark.parametrize("wants_leader", [True, False])
@pytest.mark.parametrize("call", [read_stream("s-1", endlessly=True), read_all(endlessly=True)], ids=["stream", "all"])
async def test_a_follower_confirms_subscriptions(stage: Stage, call: Call, wants_leader: bool) -> None:
    assert (await stage.ask(F, call, wants_leader=wants_leader)).WhichOneof("content") == "confirmation"


@pytest.mark.parametrize("wants_leader", [True, False])
async def test_a_follower_serves_no_groups(stage: Stage, wants_leader: bool) -> None:
    assert not isinstance(await stage.ask(L, create_group("s-1")), Refused)
    for call in (create_group("s-2"), read_group("s-1")):
        assert await stage.ask(F, call, wants_leader=wants_leader) == stage.not_leader(L)
    assert await stage.ask(F, group_info("s-1"), wants_leader=wants_leader) == NOT_READY
    assert (await stage.ask(L, group_info("s-1"))).subscription_info.group_name == "g"


async def test_a_follower_answers_gossip_and_features(stage: Stage) -> None:
    assert await stage.listed(L, F, G) == ["Leader Follower Follower"] * 3
    members = (await stage.ask(F, gossip(), wants_leader=True)).members
    assert tuple(f"{m.http_end_point.address}:{m.http_end_point.port}" for m in members) == stage.cluster.addresses
    assert not isinstance(await stage.ask(F, features(), wants_leader=True), Refused)


async def test_a_plain_client_of_three_addresses_finds_the_leader(quick: Cluster) -> None:
    await quick.resign()
    await quick.settled()
    assert quick.leader == F
    client = AsyncEventStoreDBClient(quick.uri)
    await client.connect()
    try:
        assert client.connection_target == quick.addresses[F]
        await client.append_to_stream("s-1", current_version=StreamState.NO_STREAM, events=[NewEvent("E", b"{}")])
    finally:
        await client.close()


# ------------------------------------------------------------------ the leader ends


async def test_a_killed_leader_is_replaced_as_measured(stage: Stage) -> None:
    await stage.cluster.kill(L)
    assert [await stage.appends(F), await stage.appends(G)] == [stage.not_leader(L)] * 2
    await stage.after(0.2, {F: "Unknown(dead) PreLeader Unknown", G: "Unknown(dead) Leader Follower"})
    assert [await stage.appends(F), await stage.appends(G)] == [NOT_READY, stage.not_leader(F)]
    assert stage.cluster.states == ("", "PreLeader", "Follower")
    await stage.after(0.6, {F: "Unknown(dead) Leader PreReplica", G: "Unknown(dead) Leader Follower"})
    assert [await stage.appends(F), await stage.appends(G)] == [None, stage.not_leader(F)]
    assert stage.cluster.leader == F
    await stage.after(3.7, {F: "Unknown(dead) Leader Follower", G: "Unknown(dead) Leader Follower"})
    await stage.cluster.settled()


async def test_calls_of_a_killed_member_break_and_its_port_refuses_until_it_is_started(quick: Cluster) -> None:
    caller = Caller(quick.addresses)
    open_ = aiter(caller.opened(G, read_all(endlessly=True)))
    await anext(open_)
    await quick.kill(G)
    assert (await how_it_ends(open_)).code == "UNAVAILABLE"
    host, _, port = quick.addresses[G].partition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
    await quick.settled()
    before = await caller.ask(L, gossip())
    await quick.start(G)
    assert quick.states[G] == "Initializing"
    await quick.settled()
    assert await eventually(lambda: caller.listed(G), lambda seen: "Follower" in seen) == "Leader Follower Follower"
    after = await caller.ask(L, gossip())
    is_the_same = [was.instance_id == now.instance_id for was, now in zip(before.members, after.members, strict=True)]
    assert is_the_same == [True, True, False]
    await caller.close()


async def test_a_started_member_catches_up_and_follows(stage: Stage) -> None:
    await stage.cluster.kill(G)
    await stage.after(0.4, {L: "Leader Follower Follower(dead)", F: "Leader Follower Follower(dead)"})
    await stage.cluster.settled()
    await stage.cluster.start(G)
    assert await stage.listed(G) == ["Unknown(dead) Unknown(dead) Initializing"]
    assert await stage.ask(G, read_stream("s-1")) == NOT_READY
    await stage.after(0.5, {G: "Leader Follower PreReplica", L: "Leader Follower PreReplica"})
    assert await stage.appends(G) == stage.not_leader(L)
    await stage.after(0.5, {G: "Leader Follower CatchingUp", L: "Leader Follower PreReplica"})
    await stage.after(0.5, {G: "Leader Follower Follower", L: "Leader Follower PreReplica"})
    await stage.after(0.5, {G: "Leader Follower Follower", L: "Leader Follower Follower"})


async def test_a_call_that_was_forwarded_to_a_dead_leader_is_aborted_and_not_written(stage: Stage) -> None:
    await stage.cluster.kill(L)
    assert await stage.ask(F, append("s-1")) == Refused("ABORTED", "Operation timed out: Forwarding timeout")
    assert await stage.revision(F) == -1


# ------------------------------------------------------------------ the leader resigns


async def test_a_resigning_leader_is_replaced_as_measured(stage: Stage) -> None:
    await stage.cluster.resign()
    await stage.after(0.1, {L: "ResigningLeader Follower Follower", F: "Leader Follower Follower"})
    assert [await stage.appends(n) for n in (L, F, G)] == [NOT_READY, stage.not_leader(L), stage.not_leader(L)]
    await stage.after(0.8, {L: "PreReplica PreLeader Follower", F: "PreReplica PreLeader Follower"})
    answers = [await stage.appends(n) for n in (L, F, G)]
    assert answers == [stage.not_leader(F), NOT_READY, stage.not_leader(L)]
    assert await stage.ask(G, append("s-1")) == NOT_READY
    await stage.after(0.2, {F: "PreReplica Leader Follower", G: "Leader Follower Follower"})
    assert [await stage.appends(n) for n in (L, F, G)] == [stage.not_leader(F), None, stage.not_leader(L)]
    await stage.after(0.9, {L: "Follower Leader PreReplica", F: "PreReplica Leader Follower"})
    assert [await stage.appends(n) for n in (L, F, G)] == [stage.not_leader(F), None, stage.not_leader(F)]
    await stage.after(2.5, dict.fromkeys((L, F, G), "Follower Leader Follower"))


@pytest.mark.parametrize(
    "call",
    [append("s-1"), batch_append("s-1"), delete("s-1"), read_all(), read_all(endlessly=True), create_group("s-1"),
     read_group("s-1"), group_info("s-1")],
    ids=["append", "batch", "delete", "read", "subscription", "create group", "read group", "info"],
)  # fmt: skip
async def test_a_member_between_two_states_is_not_ready(stage: Stage, call: Call) -> None:
    await stage.cluster.resign()
    await stage.after(0.1, {L: "ResigningLeader Follower Follower"})
    for wants_leader in (True, False):
        assert await stage.ask(L, call, wants_leader=wants_leader) == NOT_READY


async def test_a_resigning_leader_drops_consumers_and_the_next_one_goes_on_at_the_checkpoint(stage: Stage) -> None:
    await stage.ask(L, create_group("s-1"))
    for _ in range(2):
        await stage.appends(L)
    consumer = aiter(stage.caller.opened(L, read_group("s-1")))
    assert (await anext(consumer)).HasField("subscription_confirmation")
    assert (await anext(consumer)).event.event.stream_revision == 0
    await stage.cluster.resign()
    await stage.clock.advance(0.1)
    ended = await how_it_ends(consumer)
    assert (ended.code, ended.exception) == ("CANCELLED", "persistent-subscription-dropped")
    await stage.after(0.8, {F: "PreReplica PreLeader Follower"})
    await stage.after(0.2, {F: "PreReplica Leader Follower"})
    again = aiter(stage.caller.opened(F, read_group("s-1")))
    await anext(again)
    assert (await anext(again)).event.event.stream_revision == 0


async def test_a_subscription_at_a_follower_goes_on_through_a_change_of_leader(quick: Cluster) -> None:
    caller = Caller(quick.addresses)
    subscription = aiter(caller.opened(G, read_stream("s-1", endlessly=True)))
    await anext(subscription)
    await quick.resign()
    await quick.settled()
    assert await caller.ask(F, append("s-1"), wants_leader=True)
    message = await anext(subscription)
    while not message.HasField("event"):
        message = await anext(subscription)
    assert message.event.event.stream_revision == 0
    await caller.close()


async def test_a_leader_that_is_killed_while_it_resigns_is_listed_as_dead(stage: Stage) -> None:
    await stage.cluster.resign()
    await stage.after(0.1, {L: "ResigningLeader Follower Follower"})
    await stage.cluster.kill(L)
    stage.clock.let_go()
    await stage.cluster.settled()
    assert await stage.listed(F, G) == ["Follower(dead) Leader Follower"] * 2


async def test_an_open_call_for_batches_ends_when_its_member_leads_no_longer(stage: Stage) -> None:
    batches = [batch_append("s-1"), batch_append("s-1")]
    call = stage.caller.written_to(L, batches[0], wants_leader=True)
    await call.write(batches[0].requests[0])
    assert (await call.read()).HasField("success")
    await stage.cluster.resign()
    await stage.after(0.1, {L: "ResigningLeader Follower Follower"})
    await call.write(batches[1].requests[0])
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await call.read()
    assert refused(ended.value) == NOT_READY
    assert await stage.revision(F) == 0


async def test_a_node_resigns_when_an_operator_asks_it_to(quick: Cluster) -> None:
    caller = Caller(quick.addresses)
    resign = Call("/event_store.client.operations.Operations/ResignNode", gossip().requests, gossip().answer)
    await caller.ask(F, resign)
    await quick.settled()
    assert quick.leader == L
    await caller.ask(L, resign)
    await quick.settled()
    assert quick.leader == F
    await caller.close()


# ------------------------------------------------------------------ the leader hangs


async def test_a_hung_leader_is_replaced_as_measured(stage: Stage) -> None:
    await stage.cluster.hang(L)
    assert stage.cluster.leader is None
    assert await stage.listed(F, G) == ["Leader Follower Follower"] * 2
    assert [await stage.appends(F), await stage.appends(G)] == [stage.not_leader(L)] * 2
    await stage.after(2.2, {F: "Leader PreReplica Follower", G: "Leader Follower PreReplica"})
    assert [await stage.appends(F), await stage.appends(G)] == [stage.not_leader(L)] * 2
    await stage.after(2.1, dict.fromkeys((F, G), "Leader(dead) Unknown Unknown"))
    assert [await stage.appends(F), await stage.appends(G)] == [NOT_READY] * 2
    await stage.after(1.1, dict.fromkeys((F, G), "Unknown(dead) Leader Follower"))
    assert [await stage.appends(F), await stage.appends(G)] == [None, stage.not_leader(F)]
    assert stage.cluster.leader == F


async def test_a_hung_leader_that_goes_on_is_a_second_one_for_a_time_and_has_to_be_started_twice(stage: Stage) -> None:
    await stage.listed(L)
    await stage.cluster.hang(L)
    while_hung = asyncio.create_task(stage.appends(L))
    await stage.after(2.2, {F: "Leader PreReplica Follower"})
    await stage.after(2.1, {F: "Leader(dead) Unknown Unknown"})
    await stage.after(1.1, {F: "Unknown(dead) Leader Follower"})
    await stage.cluster.settled()
    await stage.cluster.resume(L)
    assert await stage.listed(L, F, G) == ["Leader Leader Follower"] * 3
    assert stage.cluster.leader == F
    while_deposed = asyncio.create_task(stage.ask(L, append("s-1")))
    assert [await stage.ask(L, group_info("s-1")), await stage.ask(L, create_group("s-1"))] == [NOT_READY] * 2
    assert await stage.appends(F) is None
    await stage.after(2.5, {L: "Unknown Leader Follower", F: "Leader Leader Follower"})
    assert [await while_hung, await while_deposed] == [CANCELED, CANCELED]
    await stage.after(0.2, dict.fromkeys((F, G), "Leader(dead) Leader Follower"))
    await stage.cluster.settled()
    assert stage.cluster.states == ("", "Leader", "Follower")
    await stage.cluster.start(L)
    await stage.clock.advance(0.5)
    await stage.cluster.settled()
    assert stage.cluster.states == ("", "Leader", "Follower")
    await stage.cluster.start(L)
    for _ in range(3):
        await stage.clock.advance(0.5)
    await stage.after(0.5, dict.fromkeys((L, F, G), "Follower Leader Follower"))
    assert await stage.revision(L) == 0


async def test_a_hung_member_accepts_connections_and_passes_no_byte(stage: Stage) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
    subscription = aiter(stage.caller.opened(G, read_stream("s-1", endlessly=True)))
    await anext(subscription)  # confirmed
    await anext(subscription)  # caught up
    await stage.cluster.hang(G)
    reader, writer = await asyncio.open_connection(*stage.cluster.addresses[G].split(":"))
    writer.write(preface)
    answered = asyncio.create_task(reader.read(1))
    event = asyncio.create_task(anext(subscription))
    assert await stage.ask(G, gossip(), within=0.2) == Refused("DEADLINE_EXCEEDED", "Deadline Exceeded")
    assert await stage.appends(L) is None
    assert not answered.done()
    assert not event.done()
    await stage.cluster.resume(G)
    assert len(await answered) == 1
    assert (await event).event.event.stream_revision == 0
    writer.close()
    await writer.wait_closed()


async def test_a_leader_that_hangs_for_less_than_it_takes_to_be_noticed_goes_on(stage: Stage) -> None:
    await stage.listed(L)
    await stage.cluster.hang(L)
    meanwhile = asyncio.create_task(stage.appends(L))
    forwarded = asyncio.create_task(stage.ask(G, append("s-1")))
    await stage.clock.advance(2.1)
    assert await stage.revision(F) == -1
    await stage.cluster.resume(L)
    assert await meanwhile is None
    assert not isinstance(await forwarded, Refused)
    await stage.clock.advance(0.1)
    await stage.cluster.settled()
    assert await stage.listed(L, F, G) == ["Leader Follower Follower"] * 3
    assert await stage.revision(F) == 1


async def test_a_hung_follower_is_listed_as_dead_until_it_goes_on(stage: Stage) -> None:
    await stage.cluster.hang(G)
    await stage.after(4.3, dict.fromkeys((L, F), "Leader Follower Follower(dead)"))
    await stage.cluster.resume(G)
    await stage.after(0.2, dict.fromkeys((L, F, G), "Leader Follower Follower"))


async def test_two_leaders_are_one_act(quick: Cluster) -> None:
    await quick.two_leaders()
    assert quick.states == ("Leader", "Leader", "Follower")
    assert quick.leader == F
    await quick.settled()
    assert quick.states == ("", "Leader", "Follower")


# ------------------------------------------------------------------ without a quorum


async def test_the_last_member_still_sends_callers_to_the_leader_that_went(stage: Stage) -> None:
    await stage.cluster.kill(G)
    await stage.after(0.4, {F: "Leader Follower Follower(dead)"})
    await stage.cluster.settled()
    await stage.cluster.kill(L)
    await stage.after(0.4, {F: "Leader(dead) Follower Leader(dead)"})
    assert await stage.appends(F) == stage.not_leader(L)
    await stage.after(0.6, {F: "Leader(dead) PreReplica Leader(dead)"})
    assert await stage.appends(F) == stage.not_leader(L)
    assert await stage.ask(F, read_stream("s-1")) is not None
    assert stage.cluster.leader is None


async def test_a_leader_without_followers_writes_nothing_and_gives_up(stage: Stage) -> None:
    await stage.cluster.kill(G)
    await stage.after(0.4, {L: "Leader Follower Follower(dead)"})
    await stage.cluster.settled()
    await stage.cluster.kill(F)
    waiting = asyncio.create_task(stage.appends(L))
    assert await stage.revision(L) == -1
    assert not waiting.done()
    await stage.after(0.4, {L: "Unknown Follower(dead) Follower(dead)"})
    assert [await waiting, await stage.appends(L)] == [CANCELED, NOT_READY]


async def test_a_leader_whose_followers_hang_writes_when_one_goes_on(stage: Stage) -> None:
    await stage.listed(F)
    await stage.cluster.hang(F)
    await stage.cluster.hang(G)
    waiting = asyncio.create_task(stage.appends(L))
    assert await stage.revision(L) == -1
    assert not waiting.done()
    await stage.cluster.resume(F)
    assert await waiting is None


async def test_an_election_that_is_disturbed_is_held_again(stage: Stage) -> None:
    """The next leader hangs while it is elected."""
    await stage.cluster.kill(L)
    await stage.after(0.2, {G: "Unknown(dead) Leader Follower"})
    await stage.cluster.hang(F)
    stage.clock.let_go()
    await stage.cluster.settled()
    assert (stage.cluster.leader, stage.cluster.states) == (None, ("", "", "Follower"))
    await stage.cluster.resume(F)
    await stage.cluster.settled()
    assert stage.cluster.states in {("", "Leader", "Follower"), ("", "Follower", "Leader")}
    assert stage.cluster.leader is not None


async def test_a_member_that_hung_through_an_election_follows_the_new_leader(stage: Stage) -> None:
    await stage.cluster.kill(L)
    await stage.cluster.hang(G)
    await stage.after(0.2, {F: "Unknown(dead) PreLeader Unknown"})
    await stage.cluster.resume(G)
    assert await stage.appends(G) == stage.not_leader(L)
    stage.clock.let_go()
    await stage.cluster.settled()
    assert await stage.listed(F, G) == ["Unknown(dead) Leader Follower", "Leader(dead) Leader Follower"]
    assert await stage.appends(G) == stage.not_leader(F)


async def test_what_follows_from_acts_comes_in_their_order(quick: Cluster) -> None:
    caller = Caller(quick.addresses)
    await quick.kill(G)
    await quick.start(G)
    await quick.settled()
    assert await caller.listed(L) == "Leader Follower Follower"
    await caller.close()


async def test_a_leader_that_is_killed_while_another_member_returns_is_replaced_as_measured(stage: Stage) -> None:
    await stage.cluster.kill(G)
    await stage.after(0.4, {L: "Leader Follower Follower(dead)"})
    await stage.cluster.settled()
    await stage.cluster.start(G)
    await stage.cluster.kill(L)
    for _ in range(4):
        await stage.clock.advance(0.5)
    await stage.after(0.2, {F: "Unknown(dead) PreLeader Unknown"})


async def test_a_hung_leader_without_quorum_is_replaced_when_another_member_returns(quick: Cluster) -> None:
    caller = Caller(quick.addresses)
    await quick.kill(G)
    await quick.settled()
    await quick.hang(L)
    await quick.settled()
    assert await caller.listed(F) == "Leader(dead) PreReplica Leader(dead)"
    await quick.start(G)
    await quick.settled()
    assert quick.states == ("", "Leader", "Follower")
    await quick.resume(L)
    assert quick.states == ("Leader", "Leader", "Follower")
    await quick.settled()
    assert quick.states == ("", "Leader", "Follower")
    await caller.close()


async def test_a_hung_leader_without_quorum_goes_on_as_leader(quick: Cluster) -> None:
    await quick.kill(G)
    await quick.settled()
    await quick.hang(L)
    await quick.settled()
    await quick.resume(L)
    await quick.settled()
    assert (quick.leader, quick.states) == (L, ("Leader", "Follower", ""))


async def test_who_was_dead_before_stays_so_in_every_list(quick: Cluster) -> None:
    caller = Caller(quick.addresses)
    await quick.kill(G)
    await quick.settled()
    await quick.resign()
    await quick.settled()
    assert [await caller.listed(n) for n in (L, F)] == ["Follower Leader Follower(dead)"] * 2
    await caller.close()


async def test_a_leader_is_elected_when_the_quorum_returns(quick: Cluster) -> None:
    caller = Caller(quick.addresses)
    assert await caller.ask(L, append("s-1"), wants_leader=True)
    await quick.lose_quorum()
    await quick.settled()
    assert (quick.leader, quick.states) == (None, ("", "", "PreReplica"))
    await quick.restore_quorum()
    await quick.settled()
    assert (quick.leader, quick.states) == (G, ("Follower", "Follower", "Leader"))
    assert (await caller.ask(G, append("s-1"), wants_leader=True)).success.current_revision == 1
    await caller.close()


# ------------------------------------------------------------------ all of it


async def test_nothing_that_was_acknowledged_is_lost(quick: Cluster) -> None:
    """Two writers and what befalls their leaders; each append is counted only when it was answered."""
    acknowledged: list[set[str]] = [set(), set()]
    is_over = asyncio.Event()

    async def write(number: int) -> None:
        caller = Caller(quick.addresses)
        while not is_over.is_set():
            for n in range(3):
                call = append(f"s-{number}")
                if not isinstance(await caller.ask(n, call, wants_leader=True, within=0.3), Refused):
                    acknowledged[number].add(call.requests[1].proposed_message.id.string)
        await caller.close()

    async def befall() -> None:
        for _ in range(2):
            for act in (quick.resign, quick.two_leaders, quick.lose_quorum):
                await act()
                await quick.settled()
                await quick.restore_quorum()
                await quick.settled()
        is_over.set()

    await asyncio.gather(write(0), write(1), befall())
    client = AsyncEventStoreDBClient(quick.uri)
    await client.connect()
    for number, ids in enumerate(acknowledged):
        kept = {str(event.id) for event in await client.get_stream(f"s-{number}")}
        assert len(ids) > 20
        assert ids <= kept
    await client.close()


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_has_happened_members_that_are_enough_agree_on_one_leader(seed: int) -> None:
    """Acts at random, most of them while what follows from others is still going on."""
    random = Random(seed)
    async with cluster(sleep=lambda _: asyncio.sleep(0)) as members:
        acts = [members.kill, members.hang, members.resume, members.start]
        for _ in range(12):
            act: Any = random.choice([*acts, lambda _: members.resign()])
            with suppress(ActError):
                await act(random.randrange(3))
            for _ in range(random.choice((0, 1, 2, 3, 5, 1_000))):
                await asyncio.sleep(0)
        await members.settled()
        running = [n for n, state in enumerate(members.states) if state]
        assert (members.leader is not None) == (len(running) >= 2)
        for n in running if len(running) >= 2 else ():
            member = members._members.all[n]
            assert member.state == ("Leader" if n == members.leader else "Follower")
            assert member.leader == (None if n == members.leader else members.leader)
            assert [m for m, entry in enumerate(member.entries) if entry.is_alive] == running


async def test_what_was_written_is_that_of_a_node(tmp_path: Path) -> None:
    async with cluster(tmp_path) as members:
        caller = Caller(members.addresses)
        assert await caller.ask(L, append("s-1"))
        await caller.close()
    async with node(tmp_path) as address:
        caller = Caller([address])
        assert await caller.ask(0, read_stream("s-1"))
        await caller.close()


async def test_what_is_impossible_is_refused(quick: Cluster) -> None:
    with pytest.raises(ActError, match="member 0 has not ended"):
        await quick.start(L)
    with pytest.raises(ActError, match="member 0 is not hung"):
        await quick.resume(L)
    await quick.kill(G)
    with pytest.raises(ActError, match="member 2 has ended already"):
        await quick.kill(G)
    with pytest.raises(ActError, match="member 2 does not run"):
        await quick.hang(G)
    await quick.kill(F)
    await quick.settled()
    with pytest.raises(ActError, match="there is no leader"):
        await quick.resign()


async def test_a_taken_port_is_one_line(quick: Cluster) -> None:
    taken = int(quick.addresses[F].rpartition(":")[2])
    with pytest.raises(PortError, match=f"port {taken} on 127.0.0.1 is taken or not allowed; .* --port"):
        async with cluster(ports=(0, taken, 0)):
            pass
    with pytest.raises(PortError, match=f"port {taken} on 127.0.0.1 is taken or not allowed; .* --control-port"):
        async with control(quick, "127.0.0.1", taken):
            pass
