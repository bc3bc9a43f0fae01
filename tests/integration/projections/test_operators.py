"""What the service of operators reports and does over several views at once."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from esdbclient import NewEvent, StreamState
from pymongo.asynchronous.database import AsyncDatabase

from core.eventstore.connection import Client
from core.eventstore.log import EventLog
from core.readmodel.checkpoints import CheckpointStore
from core.readmodel.views.order_list import order_list
from projections.app import serving
from projections.engine.lag import Lag, lag_of
from projections.lifecycle.audit_log import STREAM, AuditEntry, AuditLog
from protos.operations.v1 import projections_pb2 as pb
from protos.operations.v1.projections_pb2_grpc import ProjectionServiceStub
from tests.support.calling import refusal
from tests.support.eventually import eventually
from tests.support.processes import running
from tests.support.views import QUICK, append, append_broken, new_order

Mongo = AsyncDatabase[Any]
VIEWS = ("order_detail", "order_list", "sales_daily")
WITHIN = 30.0  # seconds


@pytest.fixture
def own_log() -> Iterator[str]:
    """An empty log for each test."""
    with running("embedded", "eventstore", "--port", "0", "--memory") as store:
        yield store.ready["uri"]


@pytest.fixture
async def operations(own_log: str, mongo: Mongo, mongo_uri: str, database: str) -> AsyncIterator[Any]:
    given: dict[str, Any] = {"eventstore_uri": own_log, "mongo_uri": mongo_uri, "mongo_database": database}
    given |= {"grace": 1.0, "views": VIEWS, "partitions": {"order_list": 2}, "measure_every": 60.0}
    async with (
        serving(QUICK.model_copy(update=given), 0) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield ProjectionServiceStub(channel)


async def listed(operations: Any) -> dict[str, pb.Projection]:
    found = await operations.ListProjections(pb.ListProjectionsRequest(), timeout=WITHIN)
    return {one.view: one for one in found.projections}


async def live(operations: Any, position: int) -> dict[str, pb.Projection]:
    """Every view, once it covers a position."""

    async def look() -> dict[str, pb.Projection]:
        return await listed(operations)

    return await eventually(look, lambda now: all(x.position >= position for x in now.values()), WITHIN)


async def planned(operations: Any, change: pb.ProjectionChange) -> pb.PlanProjectionResponse:
    plan: pb.PlanProjectionResponse = await operations.PlanProjection(
        pb.PlanProjectionRequest(change=change), timeout=WITHIN
    )
    return plan


async def applied(operations: Any, change: pb.ProjectionChange, plan_id: str) -> pb.ApplyProjectionResponse:
    request = pb.ApplyProjectionRequest(change=change, plan_id=plan_id, reason="a test", wait=True)
    reply: pb.ApplyProjectionResponse = await operations.ApplyProjection(request, timeout=WITHIN)
    return reply


async def test_a_stream_is_skipped_in_every_view_by_one_act(operations: Any, client: Client) -> None:
    order = new_order()
    stream = f"order-{order[0].order_id}"
    await append(client, order[:3])
    await append_broken(client, order[0].order_id)
    last = await append(client, order[3:])
    assert {x.parked_streams for x in (await live(operations, last)).values()} == {1}

    everywhere = pb.ProjectionChange(skip=pb.SkipParked(stream=stream))
    plan = await planned(operations, everywhere)
    assert [text.partition(": ")[0] for text in plan.effects if "skipped for good" in text] == sorted(VIEWS)
    assert any(f"orderstream events exclude {stream} 3" in text for text in plan.effects)

    reply = await applied(operations, everywhere, plan.plan_id)
    assert reply.done
    assert [one.view for one in reply.projections] == sorted(VIEWS)
    assert {one.parked_streams for one in (await listed(operations)).values()} == {0}
    nothing = await refusal(operations.PlanProjection(pb.PlanProjectionRequest(change=everywhere), timeout=WITHIN))
    assert nothing.reason == "STREAM_NOT_PARKED"


async def test_one_view_alone_is_skipped_if_it_is_named(operations: Any, client: Client) -> None:
    order = new_order()
    await append(client, order[:3])
    last = await append_broken(client, order[0].order_id)
    await live(operations, last)
    alone = pb.ProjectionChange(view="order_list", skip=pb.SkipParked(stream=f"order-{order[0].order_id}"))
    await applied(operations, alone, (await planned(operations, alone)).plan_id)
    parked = {view: one.parked_streams for view, one in (await listed(operations)).items()}
    assert parked == {"order_detail": 1, "order_list": 0, "sales_daily": 1}


async def test_a_view_of_which_nothing_can_be_reported_says_so_and_the_others_are_reported(
    operations: Any, client: Client, mongo: Mongo
) -> None:
    last = await append(client, new_order())
    await live(operations, last)
    pointer = {"_id": "order_list"}
    found = await mongo["projections"].find_one(pointer)
    assert found is not None
    await mongo["projections"].update_one(pointer, {"$unset": {"generation": ""}})
    try:
        now = await listed(operations)
    finally:
        await mongo["projections"].replace_one(pointer, found)
    assert "KeyError" in now["order_list"].unavailable
    assert [now[view].position >= last for view in ("order_detail", "sales_daily")] == [True, True]
    assert not now["sales_daily"].unavailable


async def test_each_part_of_a_view_names_its_owner(operations: Any, client: Client) -> None:
    now = await live(operations, await append(client, new_order()))
    assert [len(now[view].owners) for view in sorted(VIEWS)] == [1, 2, 1]
    assert {owner for one in now.values() for owner in one.owners} == {now["order_list"].owner}


async def test_a_rebuild_that_a_parked_stream_stops_says_how_to_go_on(operations: Any, client: Client) -> None:
    order = new_order()
    await append(client, order)
    await live(operations, await append_broken(client, order[0].order_id))
    change = pb.ProjectionChange(view="sales_daily", rebuild=pb.Rebuild())
    request = pb.RebuildProjectionRequest(
        change=change, plan_id=(await planned(operations, change)).plan_id, reason="a test"
    )
    reported = operations.RebuildProjection(request, timeout=WITHIN)
    [result] = [message.result async for message in reported if message.HasField("result")]
    assert not result.switched
    assert "orderstream projections skip" in result.failure
    assert "--allow-parked" in result.failure


async def test_a_plan_to_reset_counts_the_events_behind_its_position(operations: Any, client: Client) -> None:
    first = await append(client, new_order())
    await append(client, new_order())
    await live(operations, await append(client, new_order()))
    change = pb.ProjectionChange(view="order_list", reset=pb.Reset(position=first))
    plan = await planned(operations, change)
    assert (plan.from_position, plan.events, plan.documents) == (first, 8, 2)
    whole = await planned(operations, pb.ProjectionChange(view="order_list", rebuild=pb.Rebuild()))
    assert (whole.events, whole.documents) == (12, 3)


async def test_an_event_that_is_no_act_is_shown_as_unreadable(operations: Any, client: Client) -> None:
    for event in (NewEvent("OperatorActed", b'{"act": 7'), NewEvent("OperatorActed", b"\xff"), NewEvent("Else", b"{}")):
        async with AuditLog(client).recorded(AuditEntry(act="PauseProjection", subject="order_list", actor="ann")):
            await client.append_to_stream(STREAM, current_version=StreamState.ANY, events=[event])
    for view in ("", "order_list"):
        reported = await operations.ListActs(pb.ListActsRequest(view=view), timeout=WITHIN)
        assert [one.act.act for one in reported.acts] == ["", "PauseProjection"] * 3
        assert [bool(one.unreadable) for one in reported.acts] == [True, False] * 3
        assert all(len(one.unreadable) <= 500 for one in reported.acts)


async def test_the_head_of_a_view_is_found_from_where_the_view_is(client: Client, mongo: Mongo) -> None:
    """Whatever others have written since: it lies behind the view, or the view is at it."""
    log, state = EventLog(client), CheckpointStore(mongo)
    first = await append(client, new_order())
    checkpoint = await state.take_over("order_list", 1)
    assert (await lag_of(log, order_list, checkpoint)).head == first
    elsewhere = [NewEvent("SomethingElse", b"{}") for _ in range(300)]
    await client.append_to_stream("elsewhere-1", current_version=StreamState.ANY, events=elsewhere)
    await state.advance(at := replace(checkpoint, position=first))
    found = await lag_of(log, order_list, at)
    assert (found, found.head) == (Lag(0, 0.0), first)
    last = await append(client, new_order())
    found = await lag_of(log, order_list, at)
    assert (found.events, found.head) == (4, last)


async def test_a_defect_is_answered_with_an_id_that_is_in_the_log_and_nothing_else(
    operations: Any, mongo: Mongo
) -> None:
    await mongo["projections"].replace_one({"_id": "order_list"}, {"version": 1}, upsert=True)  # none of ours
    refused = await refusal(operations.GetProjection(pb.GetProjectionRequest(view="order_list"), timeout=WITHIN))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert refused.text == f"internal error {refused.metadata['error_id']}; it is in the log"


async def test_a_request_over_the_limit_is_refused_with_a_reason(operations: Any) -> None:
    request = pb.GetProjectionRequest(view="x" * 300_000)
    refused = await refusal(operations.GetProjection(request, timeout=WITHIN))
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE")


async def test_a_view_of_which_nothing_can_be_reported_keeps_no_other_from_what_operators_want(
    operations: Any, client: Client, mongo: Mongo
) -> None:
    last = await append(client, new_order())
    await live(operations, last)
    await mongo["projections"].update_one({"_id": "order_list"}, {"$unset": {"generation": ""}})
    change = pb.ProjectionChange(view="sales_daily", rebuild=pb.Rebuild())
    request = pb.RebuildProjectionRequest(
        change=change, plan_id=(await planned(operations, change)).plan_id, reason="a test"
    )
    reported = [message async for message in operations.RebuildProjection(request, timeout=WITHIN)]
    assert reported[-1].result.switched
