"""A log that was restored from an older copy and has grown since: no event that a view has not seen is passed over."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from esdbclient import NewEvent, StreamState
from pymongo.asynchronous.database import AsyncDatabase

from core.eventstore.connection import Client
from core.eventstore.identity import LogIdentity
from core.eventstore.log import EventLog
from core.failures import LogMismatch
from core.readmodel.checkpoints import Checkpoint, CheckpointStore
from core.readmodel.generations import ActiveRebuild, BuildInfo, Phase, rebuild_started
from core.readmodel.views.order_list import order_list
from projections.engine.lease import process_id
from projections.engine.membership import Membership
from projections.engine.part import Status
from projections.lifecycle.audit_log import AuditLog
from projections.lifecycle.rebuild import RebuildProcedure
from projections.operations.planners.generations import GenerationUnavailable
from projections.stores import Stores
from projections.verification.full import Result, Verifier
from protos.operations.v1 import projections_pb2 as pb
from tests.support.calling import fresh_id
from tests.support.eventually import eventually
from tests.support.older_log import copied, node
from tests.support.views import QUICK, Operator, append, documents, is_, new_order, reached, run, supervised

Mongo = AsyncDatabase[Any]


async def write_elsewhere(client: Client, number: int) -> int:
    """Events that no view follows; the position of the last."""
    events = [NewEvent("SomethingElse", b"{}") for _ in range(number)]
    return await client.append_to_stream(f"elsewhere-{fresh_id()}", current_version=StreamState.ANY, events=events)


async def checkpoint_of(mongo: Mongo) -> Checkpoint:
    checkpoint = await CheckpointStore(mongo).checkpoint("order_list")
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
            await eventually(lambda: checkpoint_of(mongo), lambda now: now.last_event_position == last)
    return copy


async def grown_past(client: Client, position: int) -> list[Any]:
    """What was written since the copy: an order, and events of others beyond a position that is one of theirs."""
    await append(client, order := new_order(quantity=3))
    assert await write_elsewhere(client, 40) > position
    event = await EventLog(client).at(position)
    assert event is not None, "the event store would not refuse the position"
    return order


async def test_the_event_at_the_checkpoint_reports_that_the_log_is_another(older: Path, mongo: Mongo) -> None:
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
    state = CheckpointStore(mongo)
    kept = await state.take_over("order_list", 1)
    async with node(older) as client:
        last_common = await EventLog(client).last()
        assert last_common is not None
        await state.advance(
            replace(kept, last_event_position=last_common.commit_position or 0, last_event_id=str(last_common.id))
        )
        await state.release(kept)
        order = await grown_past(client, kept.position)
        async with run(order_list, client, mongo) as runner:
            await is_(runner, Status.LIVE)
            await eventually(lambda: documents(mongo, order_list), lambda now: order[0].order_id in now)


@pytest.fixture
async def other_log(older: Path, mongo: Mongo) -> Path:
    """A log that has grown since it was restored. The view has found out that it is another one."""
    kept = await checkpoint_of(mongo)
    async with node(older) as client:
        await grown_past(client, kept.position)
        async with run(order_list, client, mongo) as runner:
            await is_(runner, Status.FAILING)
            await eventually(lambda: checkpoint_of(mongo), lambda now: now.log_mismatch)
    return older


async def test_a_view_of_another_log_stays_so_when_a_later_start_finds_its_own_log(
    other_log: Path, tmp_path: Path, mongo: Mongo
) -> None:
    before = await documents(mongo, order_list)
    async with node(tmp_path / "data") as client:
        await append(client, new_order())
        async with run(order_list, client, mongo) as runner:
            await is_(runner, Status.FAILING)
            assert "the event at" in runner.last_error
    assert (await checkpoint_of(mongo)).log_mismatch
    assert await documents(mongo, order_list) == before


async def test_only_a_rebuild_makes_a_view_of_another_log_right(other_log: Path, mongo: Mongo) -> None:
    """It differs though the log has grown past it, and none of its documents is rebuilt."""
    actions: list[dict[str, Any]] = [
        {"retry": pb.RetryParked()},
        {"skip": pb.SkipParked(stream="order-1")},
        {"key": pb.RebuildKey(key="1")},
    ]
    async with node(other_log) as client, supervised(order_list, client, mongo) as supervisor:
        operator = Operator(order_list, client, mongo)
        for action in actions:
            with pytest.raises(LogMismatch, match="order_list was made from another log"):
                await operator.apply(**action)
        verifying = Verifier(Stores.of(client, mongo)).verify([order_list])
        [result] = [message async for message in verifying if isinstance(message, Result)]
        assert "log" in [difference.field for difference in result.listed]

        await eventually(lambda: checkpoint_of(mongo), lambda now: now.status == Status.FAILING)
        assert supervisor.runners.log_mismatch
        outcome = await operator.rebuilt()
        assert (outcome.switched, outcome.differences, outcome.documents) == (True, 0, 2)
        assert not (await checkpoint_of(mongo)).log_mismatch
        with pytest.raises(GenerationUnavailable, match="generation 1, which is of another log"):
            await operator.apply(rollback=pb.Rollback())


async def test_a_rebuild_under_which_the_log_is_replaced_fails(tmp_path: Path, mongo: Mongo) -> None:
    state = CheckpointStore(mongo)
    building = ActiveRebuild(generation=2, plan_id="plan", started_at=0, total=1)
    pointer = await state.generations.change("order_list", lambda now: rebuild_started(now, building, BuildInfo()))
    assert pointer is not None
    checkpoint = await state.take_over("order_list", 2)
    await state.advance(replace(checkpoint, position=2**40, log_mismatch=True))
    async with node(tmp_path / "data") as client:
        rebuild = RebuildProcedure(
            order_list,
            state,
            Verifier(Stores.of(client, mongo)),
            AuditLog(client),
            QUICK,
            membership=Membership(state, process_id(), 0.05, 0.5),
        )
        await rebuild.carry_on(pointer)
    ended = await state.generations.get("order_list")
    assert ended.generation == 1
    assert ended.building is not None
    assert ended.building.phase is Phase.FAILED
    assert "generation 2 of order_list was made from another log" in ended.building.failure


async def test_a_view_of_a_log_with_another_identity_is_of_another_log_whatever_lies_at_its_checkpoint(
    tmp_path: Path, mongo: Mongo
) -> None:
    state = CheckpointStore(mongo)
    async with node(tmp_path / "data") as client:
        identity = await LogIdentity(EventLog(client)).ensure()
        position = await append(client, new_order())
        async with run(order_list, client, mongo):
            await reached(mongo, order_list, position)
        assert (await checkpoint_of(mongo)).log == identity
        kept = await state.take_over("order_list", 1)
        await state.advance(replace(kept, log=(another := fresh_id())))
        await state.release(kept)
        async with run(order_list, client, mongo) as runner:
            await is_(runner, Status.FAILING)
            assert f"made of log {another}, and this is log {identity}" in runner.last_error
