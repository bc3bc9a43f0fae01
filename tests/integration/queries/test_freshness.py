"""Waiting for a token, against a checkpoint that the test moves itself."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from esdbclient import NewEvent, StreamState
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from core.eventstore.connection import Client, connect
from core.eventstore.consistency_token import to_token
from core.eventstore.log import EventLog
from core.failures import Draining, NotFreshEnough, TokenInvalid
from core.readmodel.checkpoints import Checkpoint, CheckpointStore
from server.queries.freshness import FreshViews
from tests.support.calling import fresh_id
from tests.support.eventually import eventually

VIEW = "order_list"


@dataclass
class Call:
    """What a waiting call knows of its caller's patience, in seconds."""

    patience: float | None = 10.0

    def time_remaining(self) -> float | None:
        return self.patience


@dataclass
class Scene:
    """A view that follows streams of its own prefix, and nobody who runs it but the test."""

    client: Client
    state: CheckpointStore
    prefix: str
    fresh: FreshViews
    checkpoint: Checkpoint

    async def event(self, prefix: str = "") -> int:
        stream = f"{prefix or self.prefix}-{fresh_id()}"
        event = NewEvent("Happened", b"{}")
        return await self.client.append_to_stream(stream, current_version=StreamState.ANY, events=[event])

    async def follow_to(self, position: int) -> None:
        self.checkpoint = replace(self.checkpoint, position=position)
        await self.state.advance(self.checkpoint)

    async def ask(self, position: int, patience: float | None = 10.0) -> Checkpoint:
        return await self.fresh.at_least(VIEW, to_token(position), Call(patience))


@pytest.fixture
async def scene(eventstore_uri: str, mongo_uri: str, database: str) -> AsyncIterator[Scene]:
    client = await connect(eventstore_uri)
    async with AsyncMongoClient[dict[str, Any]](mongo_uri) as mongo:
        documents: AsyncDatabase[dict[str, Any]] = mongo[database]
        state, prefix = CheckpointStore(documents), f"v{fresh_id().replace('-', '')}"
        fresh = FreshViews(state, {VIEW: f"{prefix}-.*"}, EventLog(client))
        yield Scene(client, state, prefix, fresh, await state.take_over(VIEW, 1))
        await mongo.drop_database(database)
    await client.close()


async def test_a_call_waits_until_the_view_has_come_as_far(scene: Scene) -> None:
    wanted = await scene.event()
    waiting = [asyncio.create_task(scene.ask(wanted)) for _ in range(20)]
    done, _ = await asyncio.wait(waiting, timeout=0.3)
    assert not done
    await scene.follow_to(wanted)
    assert {(await call).position for call in waiting} == {wanted}


async def test_when_the_deadline_comes_first_it_is_not_fresh_enough(scene: Scene) -> None:
    wanted = await scene.event()
    with pytest.raises(NotFreshEnough) as refused:
        await scene.ask(wanted, patience=0.2)
    assert refused.value.metadata["wanted"] == str(wanted)
    assert refused.value.metadata["view"] == VIEW


async def test_a_server_that_stops_lets_nobody_wait(scene: Scene) -> None:
    wanted = await scene.event()
    waiting = asyncio.create_task(scene.ask(wanted))
    done, _ = await asyncio.wait([waiting], timeout=0.1)
    assert not done
    scene.fresh.drain()
    with pytest.raises(Draining):
        await waiting
    with pytest.raises(Draining):
        await scene.ask(wanted)


async def test_a_deadline_that_has_passed_is_not_waited_for(scene: Scene) -> None:
    with pytest.raises(NotFreshEnough):
        await scene.ask(await scene.event(), patience=0.0)


async def test_events_of_other_streams_are_not_waited_for(scene: Scene) -> None:
    await scene.follow_to(await scene.event())
    wanted = await scene.event("elsewhere")
    answer = await scene.ask(wanted)
    assert answer.position >= wanted
    assert scene.checkpoint.position < wanted


async def test_one_followed_event_before_the_token_is_enough_to_wait(scene: Scene) -> None:
    missing = await scene.event()
    wanted = await scene.event("elsewhere")
    with pytest.raises(NotFreshEnough):
        await scene.ask(wanted, patience=0.3)
    await scene.follow_to(missing)
    assert (await scene.ask(wanted)).position >= wanted


async def test_a_position_that_the_log_has_not_reached_is_waited_for(scene: Scene) -> None:
    await scene.follow_to(await scene.event())
    with pytest.raises(NotFreshEnough):
        await scene.ask(2**50, patience=0.3)


async def test_what_was_proved_does_not_outlive_a_new_epoch(scene: Scene) -> None:
    """A view that starts again, from a backup or after a reset, may stand before what an older one had."""
    first = await scene.event()
    await scene.follow_to(first)
    wanted = await scene.event()
    await scene.follow_to(wanted)
    await scene.ask(wanted)
    scene.checkpoint = await scene.state.take_over(VIEW, 1)
    await scene.follow_to(first)

    async def position() -> int:
        return (await scene.fresh.at_least(VIEW, "", Call())).position

    await eventually(position, lambda now: now == first)
    with pytest.raises(NotFreshEnough):
        await scene.ask(wanted, patience=0.3)


async def test_without_a_token_nobody_waits(scene: Scene) -> None:
    await scene.event()
    answer = await scene.fresh.at_least(VIEW, "", Call())
    assert answer.position == 0


async def test_what_is_no_token_is_refused(scene: Scene) -> None:
    with pytest.raises(TokenInvalid):
        await scene.fresh.at_least(VIEW, "no token", Call())
