"""The verifier finds what is damaged, names it, and finds nothing where nothing is."""

from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import grpc
import pytest
from esdbclient import StreamState
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from core.domain.order.events import OrderPlaced
from core.eventstore.connection import Client
from core.eventstore.consistency_token import to_token
from core.eventstore.log import EventLog
from core.failures import NotFreshEnough
from core.readmodel.checkpoints import CheckpointStore
from core.readmodel.view import Handler
from core.readmodel.views import VIEWS
from core.readmodel.views.order_list import order_list
from core.readmodel.views.order_timeline import order_timeline
from core.readmodel.views.sales_daily import sales_daily
from projections.app import serving
from projections.config import Settings
from projections.stores import Stores
from projections.verification.full import Progress, Result, Verifier
from protos.operations.v1 import projections_pb2 as pb
from protos.operations.v1.projections_pb2_grpc import ProjectionServiceStub
from server.queries.freshness import FreshViews
from tests.support.calling import refusal
from tests.support.eventually import eventually
from tests.support.orders import cancelled
from tests.support.processes import running
from tests.support.views import QUICK, append, append_broken, documents, new_order, reached, run

Mongo = AsyncDatabase[Any]


@pytest.fixture
def own_log() -> Iterator[str]:
    """An empty log for each test: what is folded is what the test wrote."""
    with running("embedded", "eventstore", "--port", "0", "--memory") as store:
        yield store.ready["uri"]


class Waiting:
    """A call whose caller waits for five seconds."""

    def time_remaining(self) -> float:
        return 5.0


async def verdicts(client: Client, mongo: Mongo, *views: Any) -> dict[str, Result]:
    verifier = Verifier(Stores.of(client, mongo), catch_up_within=10.0)
    return {x.view: x async for x in verifier.verify(views) if isinstance(x, Result)}


@pytest.fixture
async def followed(client: Client, mongo: Mongo) -> None:
    """Three orders, one of them cancelled, in both views."""
    for _ in range(2):
        await append(client, new_order())
    last = await append(client, order := new_order())
    last = await append(client, [replace(cancelled(), order_id=order[0].order_id)])
    async with run(order_list, client, mongo), run(sales_daily, client, mongo):
        await reached(mongo, order_list, last)
        await reached(mongo, sales_daily, last)


async def test_views_that_are_right_have_no_difference(client: Client, mongo: Mongo, followed: None) -> None:
    found = await verdicts(client, mongo, order_list, sales_daily)
    assert [result.differences for result in found.values()] == [0, 0]
    assert found["order_list"].documents == found["order_list"].streams >= 3
    assert found["order_list"].events >= 13


Damage = Callable[[AsyncCollection[Any]], Any]


@pytest.mark.parametrize(
    ("damage", "field"),
    [
        (lambda rows: rows.update_one({"status": "CANCELLED"}, {"$set": {"status": "PLACED"}}), "status"),
        (lambda rows: rows.update_one({"status": "CANCELLED"}, {"$set": {"surplus": 1}}), "surplus"),
        (lambda rows: rows.update_one({"status": "CANCELLED"}, {"$inc": {"position": -1}}), "position"),
        (lambda rows: rows.delete_one({"status": "CANCELLED"}), ""),
        (lambda rows: rows.insert_one({"_id": "nobody's", "position": 1, "status": "PLACED"}), "position"),
        (lambda rows: rows.update_one({"status": "CANCELLED"}, {"$unset": {"position": ""}}), "position"),
    ],
    ids=["changed", "surplus field", "set back", "missing", "surplus document", "without its position"],
)
async def test_what_is_damaged_is_found_and_named(
    client: Client, mongo: Mongo, followed: None, damage: Damage, field: str
) -> None:
    await damage(CheckpointStore(mongo).documents("order_list", 1))
    result = (await verdicts(client, mongo, order_list))["order_list"]
    assert (result.differences, [x.field for x in result.listed]) == (1, [field])


async def test_a_checkpoint_ahead_of_the_log_is_reported(client: Client, mongo: Mongo, followed: None) -> None:
    """As after the log was restored from an older backup."""
    state = CheckpointStore(mongo)
    await state.advance(replace(await state.take_over("order_list", 1), position=2**40))
    result = (await verdicts(client, mongo, order_list))["order_list"]
    assert [x.key for x in result.listed] == ["checkpoint"]


async def test_an_order_whose_stream_was_deleted_leaves_its_views_and_stays_in_the_sums(
    client: Client, mongo: Mongo, followed: None
) -> None:
    """The event store ends the stream with an event of its own, which a filter on stream names lets through."""
    order = new_order()
    await append(client, order)
    async with run(order_list, client, mongo), run(order_timeline, client, mongo):
        await reached(mongo, order_list, last := await append(client, new_order()))
        await reached(mongo, order_timeline, last)
        before = await documents(mongo, order_list)
        timeline = await documents(mongo, order_timeline)
        await client.tombstone_stream(f"order-{order[0].order_id}", current_version=StreamState.ANY)
        last = await append(client, new_order())
        await reached(mongo, order_list, last)
        await reached(mongo, order_timeline, last)
    after = await documents(mongo, order_list)
    assert before.keys() - after.keys() == {order[0].order_id}
    assert timeline.items() <= (await documents(mongo, order_timeline)).items()
    found = await verdicts(client, mongo, order_list, order_timeline)
    assert [result.listed for result in found.values()] == [[], []]


async def test_more_documents_than_are_folded_at_once_take_several_passes_with_the_same_verdict(
    client: Client, mongo: Mongo, followed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a stream is stuck at an event of one document, and what waits behind it belongs to others."""
    bad, right = new_order(), order_timeline.handlers[OrderPlaced]

    def fails(document: Any, e: Any) -> Any:
        if e.data.order_id == bad[0].order_id:
            raise ZeroDivisionError("a bug")
        return right.reduce(document, e)

    monkeypatch.setitem(order_timeline.handlers, OrderPlaced, Handler(right.key, fails))
    await append(client, bad)
    last = await append_broken(client, (await placed_order(client))[0].order_id)
    views = (order_list, order_timeline, sales_daily)
    async with AsyncExitStack() as running_views:
        for view in views:
            await running_views.enter_async_context(run(view, client, mongo))
        for view in views:
            await reached(mongo, view, last)
    rows = CheckpointStore(mongo).documents("order_list", 1)
    await rows.update_one({"status": "CANCELLED"}, {"$set": {"status": "PLACED"}})
    await rows.update_one({"status": "CONFIRMED"}, {"$unset": {"position": ""}})
    await rows.insert_one({"_id": "nobody's", "position": 1})

    async def verdict(at_once: int) -> tuple[list[Progress], dict[str, Any]]:
        reported = [x async for x in Verifier(Stores.of(client, mongo), at_once=at_once).verify(views)]
        results = {x.view: asdict(x) for x in reported if isinstance(x, Result)}
        for result in results.values():
            result["listed"].sort(key=lambda one: one["key"])
        return [x for x in reported if isinstance(x, Progress)], results

    once, whole = await verdict(1_000)
    often, parts = await verdict(3)
    assert parts == whole
    assert {view: (x["differences"], x["parked"]) for view, x in whole.items()} == {
        "order_list": (4, 1),
        "order_timeline": (2, 2),
        "sales_daily": (1, 1),
    }
    assert often[-1].events >= 5 * once[-1].events, "the log was read several times"
    assert [x.position for x in often] == sorted(x.position for x in often)
    assert often[-1].position == often[-1].head == once[-1].position


async def placed_order(client: Client) -> list[Any]:
    await append(client, order := new_order())
    return list(order)


async def test_verifying_while_the_log_grows_finds_nothing(client: Client, mongo: Mongo, followed: None) -> None:
    async with run(order_list, client, mongo), run(sales_daily, client, mongo):
        messages = Verifier(Stores.of(client, mongo)).verify([order_list, sales_daily])
        await append(client, new_order())
        async for message in messages:
            last = await append(client, new_order())
            assert not isinstance(message, Result) or message.differences == 0, message
        await reached(mongo, order_list, last)


async def test_the_whole_service(own_log: str, client: Client, mongo: Mongo, mongo_uri: str, database: str) -> None:
    settings = Settings(eventstore_uri=own_log, mongo_uri=mongo_uri, mongo_database=database, grace=1.0)
    async with serving(settings, 0) as address, grpc.aio.insecure_channel(address) as channel:
        operations: Any = ProjectionServiceStub(channel)
        last = await append(client, order := new_order())

        async def projection() -> pb.Projection:
            ask = pb.GetProjectionRequest(view="order_list")
            return (await operations.GetProjection(ask, timeout=10)).projection  # type: ignore[no-any-return]

        live = pb.PROJECTION_STATUS_LIVE
        seen = await eventually(projection, lambda now: now.position >= last and now.status == live)
        assert (seen.epoch, seen.generation, bool(seen.owner)) == (1, 1, True)

        verdict = [x async for x in operations.VerifyProjections(pb.VerifyProjectionsRequest(), timeout=60)]
        results = {x.result.view: x.result for x in verdict if x.HasField("result")}
        assert [x.snapshots.differences for x in verdict if x.HasField("snapshots")] == [0]
        assert {view: x.differences for view, x in results.items()} == {view.name: 0 for view in VIEWS}

        broken = await append_broken(client, order[0].order_id)
        parked = await eventually(projection, lambda now: bool(now.parked_streams and now.last_error))
        assert "MalformedEvent" in parked.last_error
        state = CheckpointStore(mongo)
        fresh = FreshViews(state, {"order_list": "order-.*"}, EventLog(client))
        with pytest.raises(NotFreshEnough):  # never answered as if the parked event were in it
            await fresh.at_least("order_list", to_token(broken), Waiting())
        last = await append(client, another := new_order())
        assert (await fresh.at_least("order_list", to_token(last), Waiting())).parked == 1
        await eventually(projection, lambda now: now.position >= last > broken)
        assert await mongo["order_list.g1"].count_documents({"_id": another[0].order_id}) == 1
        only = pb.VerifyProjectionsRequest(views=["order_list"])
        [reported] = [x.result async for x in operations.VerifyProjections(only, timeout=60) if x.HasField("result")]
        assert [x.key for x in reported.listed] == [f"order-{order[0].order_id}"]

        names = (await operations.ListProjections(pb.ListProjectionsRequest(), timeout=10)).projections
        assert [x.view for x in names] == sorted(view.name for view in VIEWS)

        health: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", "order_list", "operations.v1.ProjectionService"):
            check = partial(health.Check, health_pb2.HealthCheckRequest(service=service), timeout=5)
            await eventually(check, lambda now: now.status == health_pb2.HealthCheckResponse.SERVING)

        nowhere = await refusal(operations.GetProjection(pb.GetProjectionRequest(view="nowhere"), timeout=5))
        assert (nowhere.code, nowhere.reason) == (grpc.StatusCode.NOT_FOUND, "VIEW_NOT_FOUND")
        for request in (
            pb.VerifyProjectionsRequest(max_differences=-1),
            pb.VerifyProjectionsRequest(max_differences=1_001),
            pb.VerifyProjectionsRequest(sample=-1),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                [x async for x in operations.VerifyProjections(request, timeout=5)]
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_paused_view_stands_still_until_it_is_resumed(
    own_log: str, client: Client, mongo: Mongo, mongo_uri: str, database: str
) -> None:
    settings = QUICK.model_copy(
        update={"eventstore_uri": own_log, "mongo_uri": mongo_uri, "mongo_database": database, "grace": 1.0}
    )
    view = {"view": "order_list"}
    async with serving(settings, 0) as address, grpc.aio.insecure_channel(address) as channel:
        operations: Any = ProjectionServiceStub(channel)

        async def status() -> Any:
            return (await operations.GetProjection(pb.GetProjectionRequest(**view), timeout=10)).projection.status

        async def pause(name: str) -> Any:
            request = pb.PauseProjectionRequest(view=name, reason="a test")
            return (await operations.PauseProjection(request, timeout=10)).projection

        await eventually(status, lambda now: now == pb.PROJECTION_STATUS_LIVE)
        paused = await pause("order_list")
        assert paused.status == pb.PROJECTION_STATUS_PAUSED
        last = await append(client, order := new_order())
        await reached(mongo, sales_daily, last)
        assert await mongo["order_list.g1"].count_documents({"_id": order[0].order_id}) == 0
        assert await status() == pb.PROJECTION_STATUS_PAUSED

        await operations.ResumeProjection(pb.ResumeProjectionRequest(**view), timeout=10)
        await reached(mongo, order_list, last)
        assert await mongo["order_list.g1"].count_documents({"_id": order[0].order_id}) == 1
        nowhere = await refusal(pause("nowhere"))
        assert nowhere.reason == "VIEW_NOT_FOUND"
