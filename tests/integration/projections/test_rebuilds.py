"""One act rebuilds every view that has to be rebuilt, and no other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest
from pymongo.asynchronous.database import AsyncDatabase

from core.eventstore.connection import Client
from core.eventstore.log import EventLog
from core.readmodel.checkpoints import CheckpointStore
from projections.app import serving
from protos.operations.v1 import projections_pb2 as pb
from protos.operations.v1.projections_pb2_grpc import ProjectionServiceStub
from tests.support.calling import fresh_id, refusal
from tests.support.eventually import eventually
from tests.support.views import QUICK, append, new_order

Mongo = AsyncDatabase[Any]
VIEWS = ("customer_orders", "order_detail", "order_list")
OF_ANOTHER_LOG = ["customer_orders", "order_list"]
WITHIN = 60.0  # seconds


@pytest.fixture
async def operations(own_log: str, client: Client, mongo: Mongo, mongo_uri: str, database: str) -> AsyncIterator[Any]:
    """Three views, of which two were made from another log: another event lies at their checkpoints."""
    position, state = await append(client, new_order()), CheckpointStore(mongo)
    for view in OF_ANOTHER_LOG:
        checkpoint = await state.take_over(view, 1)
        await state.advance(
            replace(checkpoint, position=position, last_event_position=position, last_event_id=fresh_id())
        )
        await state.release(checkpoint)
    settings = QUICK.model_copy(
        update={
            "eventstore_uri": own_log,
            "mongo_uri": mongo_uri,
            "mongo_database": database,
            "grace": 1.0,
            "views": VIEWS,
        }
    )
    async with serving(settings, 0) as address, grpc.aio.insecure_channel(address) as channel:
        yield ProjectionServiceStub(channel)


async def plan(operations: Any) -> pb.PlanRebuildsResponse:
    found: pb.PlanRebuildsResponse = await operations.PlanRebuilds(pb.PlanRebuildsRequest(), timeout=WITHIN)
    return found


def act(planned: pb.PlanRebuildsResponse) -> pb.RebuildAllRequest:
    views = [one.view for one in planned.views]
    return pb.RebuildAllRequest(plan_id=planned.plan_id, views=views, reason="a test")


async def results(operations: Any, request: pb.RebuildAllRequest) -> dict[str, pb.RebuildResult]:
    reported = operations.RebuildAll(request, timeout=WITHIN)
    return {message.view: message.result async for message in reported if message.HasField("result")}


async def generations(operations: Any) -> dict[str, int]:
    found = await operations.ListProjections(pb.ListProjectionsRequest(), timeout=WITHIN)
    return {one.view: one.generation for one in found.projections}


async def test_the_plan_names_the_views_of_another_log_and_the_act_rebuilds_these(operations: Any) -> None:
    planned = await plan(operations)
    assert {one.view: one.reason for one in planned.views} == dict.fromkeys(OF_ANOTHER_LOG, "made from another log")
    assert all(one.queries for one in planned.views)

    ended = await results(operations, act(planned))
    assert {view: (one.switched, one.differences) for view, one in ended.items()} == dict.fromkeys(
        OF_ANOTHER_LOG, (True, 0)
    )
    assert await generations(operations) == {"customer_orders": 2, "order_detail": 1, "order_list": 2}
    assert not (await plan(operations)).views
    assert await results(operations, act(planned)) == ended  # called again, it reports how it ended


async def test_the_list_reports_which_log_it_is_and_which_each_view_is_made_of(operations: Any) -> None:
    async def listed() -> tuple[str, str]:
        found = await operations.ListProjections(pb.ListProjectionsRequest(), timeout=WITHIN)
        return found.log, next(one.log for one in found.projections if one.view == "order_detail")

    served, made_of = await eventually(listed, all)
    assert served == made_of


async def test_the_act_goes_on_without_its_caller(operations: Any) -> None:
    request = act(await plan(operations))
    reported = operations.RebuildAll(request, timeout=WITHIN)
    await reported.read()
    reported.cancel()
    assert set((await plan(operations)).rebuilding) <= set(OF_ANOTHER_LOG)

    async def look() -> dict[str, int]:
        return await generations(operations)

    await eventually(look, lambda now: now == {"customer_orders": 2, "order_detail": 1, "order_list": 2}, WITHIN)


async def test_a_plan_that_is_not_what_would_be_done_now_is_refused(operations: Any) -> None:
    request = act(await plan(operations))
    request.plan_id = "another"
    refused = await refusal(operations.RebuildAll(request, timeout=WITHIN).read())
    assert refused.reason == "PLAN_OUTDATED"
    del request.views[:]
    assert (await refusal(operations.RebuildAll(request, timeout=WITHIN).read())).reason == "PLAN_OUTDATED"


async def test_what_was_not_begun_of_a_plan_is_begun_when_it_is_asked_for_again(operations: Any) -> None:
    planned = await plan(operations)
    only = pb.ProjectionChange(view="order_list", rebuild=pb.Rebuild())
    alone = await operations.PlanProjection(pb.PlanProjectionRequest(change=only), timeout=WITHIN)
    begun = pb.RebuildProjectionRequest(plan_id=alone.plan_id, change=only, reason="a test")
    async for _ in operations.RebuildProjection(begun, timeout=WITHIN):
        pass
    request = act(planned)
    request.plan_id = alone.plan_id  # as if the process that began the plan had died after one view
    assert sorted(await results(operations, request)) == OF_ANOTHER_LOG


async def test_a_paused_view_is_reported_and_left_out(operations: Any) -> None:
    await operations.PauseProjection(pb.PauseProjectionRequest(view="order_list", reason="a test"), timeout=WITHIN)
    planned = await plan(operations)
    assert [one.view for one in planned.views] == ["customer_orders"]
    assert list(planned.paused) == ["order_list"]


@asynccontextmanager
async def paused(operations: Any, view: str) -> AsyncIterator[None]:
    await operations.PauseProjection(pb.PauseProjectionRequest(view=view, reason="a test"), timeout=WITHIN)
    yield
    await operations.ResumeProjection(pb.ResumeProjectionRequest(view=view), timeout=WITHIN)


async def test_a_paused_view_is_reported_to_be_of_another_log_before_it_has_found_out(
    operations: Any, client: Client, mongo: Mongo
) -> None:
    """No process runs it that could look."""
    last = await EventLog(client).last()
    assert last is not None

    async def is_live() -> bool:
        found = await operations.GetProjection(pb.GetProjectionRequest(view="order_detail"), timeout=WITHIN)
        return bool(found.projection.status == pb.PROJECTION_STATUS_LIVE)

    await eventually(is_live)
    async with paused(operations, "order_detail"):
        state = CheckpointStore(mongo)
        checkpoint = await state.take_over("order_detail", 1)
        await state.advance(
            replace(checkpoint, last_event_position=last.commit_position or 0, last_event_id=fresh_id())
        )
        found = await operations.GetProjection(pb.GetProjectionRequest(view="order_detail"), timeout=WITHIN)
        assert (found.projection.log_mismatch, found.projection.rebuild_reason) == (True, "made from another log")
        assert found.projection.astray, "callers of former releases know this name"
