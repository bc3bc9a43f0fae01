"""A view is rebuilt beside the generation that readers see, and they are switched over in one step, or not at all."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from esdbclient import StreamState
from pymongo.asynchronous.database import AsyncDatabase

from core.eventstore.connection import Client
from core.eventstore.consistency_token import to_token
from core.eventstore.log import EventLog
from core.failures import InvalidRequest, ServiceFailure
from core.readmodel.checkpoints import CheckpointStore
from core.readmodel.generations import BuildInfo, Phase, PreviousGeneration, ViewGenerations
from core.readmodel.views.customer_orders import customer_orders
from core.readmodel.views.order_list import order_list
from core.readmodel.views.sales_daily import sales_daily
from projections.operations.planners.generations import GenerationUnavailable, RebuildRunning, RollbackStale
from projections.operations.plans import PlanOutdated, Requester
from protos.operations.v1 import projections_pb2 as pb
from server.queries.freshness import FreshViews
from tests.support.eventually import eventually
from tests.support.orders import cancelled
from tests.support.processes import running
from tests.support.viewing import fold
from tests.support.views import QUICK, Operator, append, append_broken, documents, new_order, reached, supervised

Mongo = AsyncDatabase[Any]
REBUILD: dict[str, Any] = {"rebuild": pb.Rebuild()}


@pytest.fixture
def own_log() -> Iterator[str]:
    """An empty log for each test: what is folded is what the test wrote."""
    with running("embedded", "eventstore", "--port", "0", "--memory") as store:
        yield store.ready["uri"]


class Waiting:
    """A call whose caller waits for ten seconds."""

    def time_remaining(self) -> float:
        return 10.0


async def orders(client: Client, number: int) -> tuple[list[Any], int]:
    """Written orders, one in three cancelled; their events and the last position."""
    events: list[Any] = []
    last = 0
    for n in range(number):
        order: list[Any] = new_order(quantity=n % 5 + 1)
        if n % 3 == 0:
            order.append(replace(cancelled(), order_id=order[0].order_id, units=n % 5 + 1))
        last = await append(client, order)
        events += order
    return events, last


@pytest.mark.parametrize("view", [order_list, sales_daily, customer_orders], ids=lambda view: view.name)
async def test_a_rebuilt_view_is_the_fold_and_readers_see_it(client: Client, mongo: Mongo, view: Any) -> None:
    events, last = await orders(client, 30)
    operator = Operator(view, client, mongo)
    async with supervised(view, client, mongo):
        await reached(mongo, view, last)
        await CheckpointStore(mongo).documents(view.name, 1).delete_many({})  # whatever has gone wrong with it
        ended = await operator.rebuilt()
    assert (ended.from_generation, ended.to_generation) == (1, 2)
    assert (ended.verified, ended.differences, ended.switched, ended.failure) == (True, 0, True, "")
    assert ended.events == len(events)
    assert ended.documents == len(fold(view, events))
    pointer = await operator.pointer()
    assert (pointer.generation, pointer.building, pointer.kept and pointer.kept.generation) == (2, None, 1)
    assert await documents(mongo, view, 2) == fold(view, events)


async def test_what_is_written_meanwhile_is_in_it_and_both_go_on_following(client: Client, mongo: Mongo) -> None:
    events, _ = await orders(client, 20)
    operator = Operator(sales_daily, client, mongo)
    async with supervised(sales_daily, client, mongo):
        await operator.apply(**REBUILD)
        more, _ = await orders(client, 20)
        await eventually(operator.pointer, lambda now: now.generation == 2)
        after, last = await orders(client, 5)
        await reached(mongo, sales_daily, last)
        everything = fold(sales_daily, [*events, *more, *after])
        assert await documents(mongo, sales_daily, 2) == everything
        await operator.apply(rollback=pb.Rollback())
        await reached(mongo, sales_daily, last)
        assert await documents(mongo, sales_daily, 1) == everything, "the kept one has followed the log"
        assert (await operator.pointer()).generation == 1


async def test_a_token_holds_before_and_after_a_switch_and_a_rollback(client: Client, mongo: Mongo) -> None:
    await orders(client, 5)
    operator = Operator(order_list, client, mongo)
    fresh = FreshViews(operator.state, {"order_list": "order-.*"}, EventLog(client))
    async with supervised(order_list, client, mongo):
        for act in (None, REBUILD, {"rollback": pb.Rollback()}):
            if act is REBUILD:
                await operator.rebuilt()
            elif act is not None:
                await operator.apply(**act)
            last = await append(client, order := new_order())
            reported = await fresh.at_least("order_list", to_token(last), Waiting())
            rows = operator.state.documents("order_list", reported.generation)
            assert await rows.count_documents({"_id": order[0].order_id}) == 1


async def test_a_rebuild_that_differs_from_the_fold_is_not_switched_to(client: Client, mongo: Mongo) -> None:
    _, last = await orders(client, 3)
    await append_broken(client, (poisoned := new_order())[0].order_id)
    operator = Operator(order_list, client, mongo)
    async with supervised(order_list, client, mongo):
        await reached(mongo, order_list, last)
        ended = await operator.rebuilt()
        assert (ended.switched, ended.differences) == (False, 1)
        assert f"order-{poisoned[0].order_id} revision 0" in ended.failure, "it names what must be repaired"
        pointer = await operator.pointer()
        assert (pointer.generation, pointer.building and pointer.building.phase) == (1, Phase.FAILED)

        allowed = await operator.rebuilt(rebuild=pb.Rebuild(allow_parked=True))
        assert (allowed.switched, allowed.to_generation) == (True, 3), "numbers are not given twice"
        await eventually(operator.pointer, lambda now: now.dropping == ())
        assert await operator.state.documents("order_list", 2).estimated_document_count() == 0


async def test_a_rebuild_switches_though_a_stream_was_deleted(client: Client, mongo: Mongo) -> None:
    await orders(client, 3)
    deleted = new_order()
    await append(client, deleted)
    await client.tombstone_stream(f"order-{deleted[0].order_id}", current_version=StreamState.ANY)
    await orders(client, 1)
    async with supervised(order_list, client, mongo):
        outcome = await Operator(order_list, client, mongo).rebuilt()
    assert (outcome.switched, outcome.differences) == (True, 0)
    assert deleted[0].order_id not in await documents(mongo, order_list, outcome.to_generation)


async def test_the_generation_kept_so_far_goes_after_the_next_switch(client: Client, mongo: Mongo) -> None:
    await orders(client, 5)
    operator = Operator(order_list, client, mongo)
    async with supervised(order_list, client, mongo):
        await operator.rebuilt()
        await operator.rebuilt()
        gone = await eventually(operator.pointer, lambda now: now.dropping == ())
        assert (gone.generation, gone.kept and gone.kept.generation, set(gone.made)) == (3, 2, {2, 3})
        names = await mongo.list_collection_names()
        assert {"order_list.g2", "order_list.g3"} <= set(names)
        assert "order_list.g1" not in names
        assert await operator.state.lease("order_list", 1) is None


async def test_the_kept_generation_goes_when_its_time_is_over(client: Client, mongo: Mongo) -> None:
    await orders(client, 2)
    brief = QUICK.model_copy(update={"keep_generation": 0.0})
    operator = Operator(order_list, client, mongo, brief)
    async with supervised(order_list, client, mongo, brief):
        await operator.rebuilt()
        await eventually(operator.pointer, lambda now: now.kept is None and now.dropping == ())
        with pytest.raises(GenerationUnavailable):
            await operator.apply(rollback=pb.Rollback())


async def test_the_kept_generation_goes_by_command(client: Client, mongo: Mongo) -> None:
    await orders(client, 2)
    operator = Operator(order_list, client, mongo)
    async with supervised(order_list, client, mongo):
        await operator.rebuilt()
        await operator.apply(drop=pb.Drop())
        await eventually(operator.pointer, lambda now: now.kept is None and now.dropping == ())
        for change in (pb.Drop(), pb.Drop(generation=2), pb.Drop(generation=9)):
            with pytest.raises(GenerationUnavailable):
                await operator.apply(drop=change)


async def test_a_rebuild_can_be_given_up(client: Client, mongo: Mongo) -> None:
    await orders(client, 2)
    operator = Operator(order_list, client, mongo)
    plan_id = await operator.apply(**REBUILD)  # and nobody carries it on
    with pytest.raises(RebuildRunning) as refused:
        await operator.apply(**REBUILD)
    assert refused.value.metadata["plan_id"] == plan_id
    with pytest.raises(RebuildRunning):
        await operator.apply(reset=pb.Reset())
    await operator.apply(drop=pb.Drop(generation=2))
    async with supervised(order_list, client, mongo):
        assert (await operator.rebuilt()).to_generation == 3


async def test_a_plan_is_refused_when_the_world_has_changed(client: Client, mongo: Mongo) -> None:
    await orders(client, 2)
    operator = Operator(order_list, client, mongo)
    async with supervised(order_list, client, mongo):
        await eventually(operator.pointer, lambda now: bool(now.made))
        change = operator.change(**REBUILD)
        plan = await operator.changes.plan(order_list, change)
        await operator.rebuilt()
        with pytest.raises(PlanOutdated):
            await operator.changes.apply(order_list, change, Requester("ann", "again", plan.id))
        with pytest.raises(PlanOutdated):
            await operator.changes.apply(
                order_list, operator.change(drop=pb.Drop()), Requester("ann", "another act", plan.id)
            )


async def test_a_change_without_an_action_is_refused(client: Client, mongo: Mongo) -> None:
    with pytest.raises(ServiceFailure):
        await Operator(order_list, client, mongo).apply()


async def test_a_reset_makes_again_only_what_has_changed_since(client: Client, mongo: Mongo) -> None:
    before, middle = await orders(client, 10)
    after, last = await orders(client, 10)
    operator = Operator(order_list, client, mongo)
    rows = operator.state.documents("order_list", 1)
    async with supervised(order_list, client, mongo):
        await reached(mongo, order_list, last)
        await rows.update_many({"position": {"$gt": middle}}, {"$set": {"status": "WRONG"}})
        await rows.update_one({"_id": before[0].order_id}, {"$set": {"status": "LEFT ALONE"}})
        typed = middle + 1  # the position of no event: that of the one before counts
        ended = await operator.rebuilt(reset=pb.Reset(position=typed))
    assert (ended.switched, ended.differences) == (True, 0)
    expected = fold(order_list, [*before, *after])
    expected[before[0].order_id]["status"] = "LEFT ALONE"
    assert await documents(mongo, order_list, 2) == expected


async def test_a_reset_of_a_counter_counts_everything_once(client: Client, mongo: Mongo) -> None:
    before, middle = await orders(client, 10)
    after, last = await orders(client, 10)
    operator = Operator(sales_daily, client, mongo)
    async with supervised(sales_daily, client, mongo):
        await reached(mongo, sales_daily, last)
        await operator.rebuilt(reset=pb.Reset(position=middle))
    assert await documents(mongo, sales_daily, 2) == fold(sales_daily, [*before, *after])


async def test_a_reset_to_where_the_view_never_was_is_refused(client: Client, mongo: Mongo) -> None:
    with pytest.raises(InvalidRequest):
        await Operator(order_list, client, mongo).apply(reset=pb.Reset(position=2**40))


async def test_a_kept_generation_that_nobody_follows_is_not_rolled_back_to(
    client: Client, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was made by other code; its readers would go back in time."""
    await orders(client, 3)
    operator = Operator(order_list, client, mongo)
    async with supervised(order_list, client, mongo):
        await operator.rebuilt()

        def by_others(now: ViewGenerations) -> ViewGenerations:
            return replace(now, made={**now.made, 1: BuildInfo(code="other")})

        await operator.state.generations.change("order_list", by_others)
        await eventually(lambda: _follows(operator, 1), lambda now: not now)
        _, last = await orders(client, 3)
        await reached(mongo, order_list, last)
        monkeypatch.setattr("projections.operations.planners.generations.FRESH_WITHIN", 0.2)
        with pytest.raises(RollbackStale):
            await operator.apply(rollback=pb.Rollback())
        assert (await operator.pointer()).generation == 2


async def _follows(operator: Operator, generation: int) -> bool:
    lease = await operator.state.lease(operator.view.name, generation)
    return lease is not None and lease.owner != ""


async def test_changed_handlers_are_reported_and_a_rebuild_uses_the_new_ones(client: Client, mongo: Mongo) -> None:
    _, last = await orders(client, 3)
    operator = Operator(order_list, client, mongo)

    def by_others(now: ViewGenerations) -> ViewGenerations:
        return replace(now, made={1: BuildInfo(code="before")})

    await operator.state.generations.change("order_list", by_others)
    async with supervised(order_list, client, mongo) as supervisor:
        await reached(mongo, order_list, last)  # nobody else follows it, so the new code does
        await operator.rebuilt()
        assert (await operator.pointer()).info(2).code == supervisor.runners.code != "before"


async def test_a_pointer_as_older_releases_wrote_it_is_read_and_changed(mongo: Mongo) -> None:
    await mongo["projections"].insert_one({"_id": "order_list", "generation": 1, "paused": True})
    state = CheckpointStore(mongo)
    assert await state.paused("order_list")
    await state.resume("order_list")
    kept = PreviousGeneration(generation=7, until=1)
    changed = await state.generations.change("order_list", lambda now: replace(now, kept=kept))
    assert changed == await state.generations.get("order_list")
    assert (changed.kept, changed.paused, changed.version) == (kept, False, 2)
