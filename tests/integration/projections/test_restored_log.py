"""A log that was restored from an older copy and has grown since: no event that a view has not seen is passed over."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from esdbclient import NewEvent, StreamState
from pymongo.asynchronous.database import AsyncDatabase

from projections.runner import Status
from projections.views.order_list import order_list
from server.eventstore.connection import Client
from server.eventstore.log import EventLog
from server.readmodel.state import Checkpoint, ViewState
from tests.support.calling import fresh_id
from tests.support.eventually import eventually
from tests.support.older_log import copied, node
from tests.support.views import append, documents, is_, new_order, reached, run

Mongo = AsyncDatabase[Any]


async def write_elsewhere(client: Client, number: int) -> int:
    """Events that no view follows; the position of the last."""
    events = [NewEvent("SomethingElse", b"{}") for _ in range(number)]
    return await client.append_to_stream(f"elsewhere-{fresh_id()}", current_version=StreamState.ANY, events=events)


async def checkpoint_of(mongo: Mongo) -> Checkpoint:
    checkpoint = await ViewState(mongo).checkpoint("order_list")
    assert checkpoint is not None
    return checkpoint


@pytest.fixture
async def older(tmp_path: Path, mongo: Mongo) -> Path:
    """A copy of a log with one order. The view has followed the log further, over events of others."""
    data = tmp_path / "data"
    async with node(data) as client:
        await append(client, new_order())
    copy = copied(data)
    async with node(data) as client:
        last = await write_elsewhere(client, 20)
        async with run(order_list, client, mongo):
            await reached(mongo, order_list, last)
            await eventually(lambda: checkpoint_of(mongo), lambda now: now.marked == last)
    return copy


async def grown_past(client: Client, position: int) -> list[Any]:
    """What was written since the copy: an order, and events of others beyond a position that is one of theirs."""
    await append(client, order := new_order(quantity=3))
    assert await write_elsewhere(client, 40) > position
    event = await EventLog(client).at(position)
    assert event is not None, "the event store would not refuse the position"
    return order


async def test_the_event_at_the_checkpoint_tells_that_the_log_is_another(older: Path, mongo: Mongo) -> None:
    kept = await checkpoint_of(mongo)
    async with node(older) as client:
        await grown_past(client, kept.position)
        async with run(order_list, client, mongo) as runner:
            await is_(runner, Status.FAILING)
            assert "rebuild it" in runner.last_error
            assert len(await documents(mongo, order_list)) == 1


async def test_what_lies_between_the_last_known_event_and_the_checkpoint_is_read_again(
    older: Path, mongo: Mongo
) -> None:
    """A checkpoint message of the event store moves the checkpoint, but names no event."""
    state = ViewState(mongo)
    kept = await state.take_over("order_list", 1)
    async with node(older) as client:
        last_common = await EventLog(client).last()
        assert last_common is not None
        await state.advance(replace(kept, marked=last_common.commit_position or 0, mark=str(last_common.id)))
        await state.release(kept)
        order = await grown_past(client, kept.position)
        async with run(order_list, client, mongo) as runner:
            await is_(runner, Status.LIVE)
            await eventually(lambda: documents(mongo, order_list), lambda now: order[0].order_id in now)
