"""A stream that failed is applied after a fix, or without the failing event; a damaged document is repaired."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from core.domain.order.events import OrderConfirmed, OrderPlaced
from core.eventstore.connection import Client
from core.failures import InvalidRequest
from core.readmodel.view import Handler, View
from core.readmodel.views.customer_orders import customer_orders
from core.readmodel.views.order_list import order_list
from core.readmodel.views.order_timeline import order_timeline
from core.readmodel.views.sales_daily import sales_daily
from projections.engine.runner import Runner
from projections.lifecycle.owner_requests import DONE, Request
from projections.lifecycle.repair import DocumentRepair
from projections.operations.planners.parked import StreamNotParked
from projections.operations.plans import PlanOutdated, Requester
from projections.stores import Stores
from projections.verification.full import Result, Verifier
from protos.operations.v1 import projections_pb2 as pb
from tests.support.eventually import eventually
from tests.support.orders import cancelled, confirmed, noted
from tests.support.processes import running
from tests.support.viewing import fold
from tests.support.views import Operator, append, append_broken, documents, new_order, reached, run, supervised

Mongo = AsyncDatabase[Any]
Fix = Callable[[], None]


@pytest.fixture
def own_log() -> Iterator[str]:
    """An empty log for each test: what is folded is what the test wrote."""
    with running("embedded", "eventstore", "--port", "0", "--memory") as store:
        yield store.ready["uri"]


@pytest.fixture
def bug(monkeypatch: pytest.MonkeyPatch) -> Callable[[View[Any], type, str], Fix]:
    """A handler that fails for one order until it is fixed."""

    def plant(view: View[Any], event: type, order_id: str) -> Fix:
        right = view.handlers[event]

        def reduce(document: Any, e: Any) -> Any:
            if e.data.order_id == order_id:
                raise ZeroDivisionError("a bug")
            return right.reduce(document, e)

        monkeypatch.setitem(view.handlers, event, Handler(right.key, reduce))
        return lambda: monkeypatch.setitem(view.handlers, event, right)

    return plant


async def parked(operator: Operator) -> list[tuple[str, int, int]]:
    """Streams with the revision that failed and how many wait behind it."""
    found = await operator.changes.parked(await operator.pointer())
    return [(one.failed.stream, one.failed.revision, one.waiting) for one in found]


async def differences(client: Client, mongo: Mongo, view: View[Any]) -> int:
    results = [x async for x in Verifier(Stores.of(client, mongo)).verify([view]) if isinstance(x, Result)]
    return sum(result.differences for result in results)


@pytest.mark.parametrize("view", [order_list, sales_daily, customer_orders], ids=lambda view: view.name)
async def test_after_a_fix_a_retry_takes_everything_in(client: Client, mongo: Mongo, bug: Any, view: Any) -> None:
    """Also where documents are shared, and have gone on without the failed event."""
    events: list[Any] = []
    bad = new_order(quantity=3)
    fix = bug(view, OrderPlaced, bad[0].order_id)
    operator = Operator(view, client, mongo)
    async with supervised(view, client, mongo):
        for order in (new_order(), bad, new_order(quantity=4)):
            events += order
            await append(client, order)
        late = replace(cancelled(), order_id=bad[0].order_id, units=3)
        last = await append(client, [late])
        await reached(mongo, view, last)
        assert [(stream, revision) for stream, revision, _ in await parked(operator)] == [
            (f"order-{bad[0].order_id}", 2)
        ]

        assert await operator.outcome(retry=pb.RetryParked()) == (
            True,
            [f"order-{bad[0].order_id}: OrderPlacedV2 2@order-{bad[0].order_id}: ZeroDivisionError: a bug"],
        )
        assert len(await parked(operator)) == 1, "nothing was repaired"

        fix()
        done, reported = await operator.outcome(retry=pb.RetryParked(stream=f"order-{bad[0].order_id}"))
        assert (done, reported) == (True, [f"order-{bad[0].order_id}: applied"])
        assert await parked(operator) == []
        assert await documents(mongo, view) == fold(view, [*events, late])
        last = await append(client, [confirmed_of(bad)])
        await reached(mongo, view, last)
        assert await parked(operator) == [], "it goes on as any other stream"
        assert await differences(client, mongo, view) == 0


async def test_what_comes_while_a_stream_is_taken_in_is_taken_in_too(client: Client, mongo: Mongo, bug: Any) -> None:
    """Also where it changes documents that nothing before it changed: here a document per event."""
    orders = [new_order() for _ in range(3)]
    fixes = [bug(order_timeline, OrderConfirmed, order[0].order_id) for order in orders]
    operator, mender = Operator(order_timeline, client, mongo), DocumentRepair(order_timeline, Stores.of(client, mongo))

    async def is_fixed(runner: Runner, order_id: str) -> bool:
        retry = Request(id="", view=order_timeline.name, generation=1, streams=(f"order-{order_id}",))
        return await mender.repair(runner, retry) == (DONE, f"order-{order_id}: applied")

    async with run(order_timeline, client, mongo) as runner:
        last = max([await append(client, order) for order in orders])
        await reached(mongo, order_timeline, last)
        for fix in reversed(fixes):
            fix()
        for order in orders:
            order_id, number = order[0].order_id, 0
            fixing = asyncio.create_task(is_fixed(runner, order_id))
            while not fixing.done():
                last = await append(client, [replace(noted(f"n{number}"), order_id=order_id)])
                number += 1
            assert await fixing
        await reached(mongo, order_timeline, last)
        assert await parked(operator) == []
        assert await differences(client, mongo, order_timeline) == 0


def confirmed_of(order: list[Any]) -> OrderConfirmed:
    return replace(confirmed(), order_id=order[0].order_id)


async def test_what_cannot_be_read_is_skipped_for_good(client: Client, mongo: Mongo) -> None:
    bad, good = new_order(), new_order()
    operator = Operator(order_list, client, mongo)
    async with supervised(order_list, client, mongo):
        await append(client, bad)
        await append_broken(client, bad[0].order_id)
        await append(client, [replace(cancelled(), order_id=bad[0].order_id)])
        last = await append(client, good)
        await reached(mongo, order_list, last)
        stream = f"order-{bad[0].order_id}"
        assert await parked(operator) == [(stream, 4, 1)]

        done, reported = await operator.outcome(retry=pb.RetryParked(stream=stream))
        assert done
        assert "MalformedEvent" in reported[0], "a retry alone is of no use"

        assert await operator.outcome(skip=pb.SkipParked(stream=stream)) == (True, [f"{stream}: applied"])
        rows = await documents(mongo, order_list)
        assert (rows[bad[0].order_id]["status"], rows[good[0].order_id]["status"]) == ("CANCELLED", "CONFIRMED")
        assert await differences(client, mongo, order_list) == 0
        rebuilt = await operator.rebuilt()
        assert (rebuilt.switched, rebuilt.differences) == (True, 0), "a rebuild skips it too"
        assert await documents(mongo, order_list, 2) == rows


async def test_a_second_failure_behind_the_first_stays_parked_alone(client: Client, mongo: Mongo) -> None:
    order = new_order()
    stream = f"order-{order[0].order_id}"
    operator = Operator(order_list, client, mongo)
    async with supervised(order_list, client, mongo):
        await append(client, order[:1])
        await append_broken(client, order[0].order_id)
        await append(client, order[1:3])
        await append_broken(client, order[0].order_id)
        last = await append(client, order[3:])
        await reached(mongo, order_list, last)
        assert await parked(operator) == [(stream, 1, 4)]
        done, reported = await operator.outcome(skip=pb.SkipParked(stream=stream))
        assert done
        assert reported[0].startswith(f"{stream}: OrderConfirmed 4@{stream}: MalformedEvent")
        assert await parked(operator) == [(stream, 4, 1)]
        assert (await documents(mongo, order_list))[order[0].order_id]["status"] == "PLACED"
        await operator.outcome(skip=pb.SkipParked(stream=stream))
        assert (await documents(mongo, order_list))[order[0].order_id]["status"] == "CONFIRMED"


async def test_an_order_that_begins_with_what_cannot_be_read(client: Client, mongo: Mongo) -> None:
    """Its stream says which document it would have been: a retry must not take it for nothing to do."""
    order = new_order()
    stream = f"order-{order[0].order_id}"
    operator = Operator(order_list, client, mongo)
    async with supervised(order_list, client, mongo):
        last = await append_broken(client, order[0].order_id)
        await reached(mongo, order_list, last)
        _, reported = await operator.outcome(retry=pb.RetryParked(stream=stream))
        assert "MalformedEvent" in reported[0]
        assert await parked(operator) == [(stream, 0, 0)]


async def test_a_plan_to_retry_holds_until_something_else_is_parked(client: Client, mongo: Mongo) -> None:
    order = new_order()
    operator = Operator(order_list, client, mongo)
    async with supervised(order_list, client, mongo):
        last = await append_broken(client, order[0].order_id)
        await reached(mongo, order_list, last)
        change = operator.change(retry=pb.RetryParked())
        plan = await operator.changes.plan(order_list, change)
        assert (plan.events, plan.documents) == (1, 1)
        last = await append(client, order)
        await reached(mongo, order_list, last)
        with pytest.raises(PlanOutdated):
            await operator.changes.apply(order_list, change, Requester("ann", "too late", plan.id))


async def test_what_is_not_parked_is_not_retried_nor_skipped(client: Client, mongo: Mongo) -> None:
    operator = Operator(order_list, client, mongo)
    with pytest.raises(StreamNotParked):
        await operator.apply(retry=pb.RetryParked())
    with pytest.raises(StreamNotParked):
        await operator.apply(skip=pb.SkipParked(stream="order-1"))
    with pytest.raises(InvalidRequest):
        await operator.apply(skip=pb.SkipParked())
    with pytest.raises(InvalidRequest):
        await operator.apply(key=pb.RebuildKey())


@pytest.mark.parametrize("view", [order_list, sales_daily], ids=lambda view: view.name)
async def test_one_document_is_made_again(client: Client, mongo: Mongo, view: Any) -> None:
    operator, events = Operator(view, client, mongo), []
    async with supervised(view, client, mongo):
        for _ in range(4):
            order = new_order()
            events += order
            last = await append(client, order)
        await reached(mongo, view, last)
        right = await documents(mongo, view)
        key = next(iter(right))
        rows = operator.state.documents(view.name, 1)
        damages: list[Any] = [
            rows.update_one({"_id": key}, {"$set": {"surplus": 1}}),
            rows.delete_one({"_id": key}),
            rows.update_one({"_id": key}, {"$inc": {"position": 10_000}}),
        ]
        for damage in damages:
            await damage
            assert await operator.outcome(key=pb.RebuildKey(key=key)) == (True, ["1 rebuilt"])
            assert await documents(mongo, view) == right
        await rows.insert_one({"_id": "nobody's", "position": 1})
        await operator.outcome(key=pb.RebuildKey(key="nobody's"))
        assert await documents(mongo, view) == right
        last = await append(client, more := new_order())
        await reached(mongo, view, last)
        assert await documents(mongo, view) == fold(view, [*events, *more]), "it goes on with what was put there"


async def test_what_is_asked_while_nobody_owns_the_view_is_done_later(client: Client, mongo: Mongo) -> None:
    operator = Operator(order_list, client, mongo)
    last = await append(client, order := new_order())
    async with supervised(order_list, client, mongo):
        await reached(mongo, order_list, last)
    rows = operator.state.documents("order_list", 1)
    await rows.delete_many({})
    assert await operator.outcome(within=0.2, key=pb.RebuildKey(key=order[0].order_id)) == (False, [])
    async with supervised(order_list, client, mongo):

        async def found() -> int:
            return await rows.count_documents({"_id": order[0].order_id, "status": "CONFIRMED"})

        await eventually(found)


async def test_one_bad_stream_of_a_thousand_keeps_nobody_waiting(client: Client, mongo: Mongo, bug: Any) -> None:
    written = [new_order() for _ in range(1_000)]
    bad = written[417][0].order_id
    fix = bug(order_list, OrderConfirmed, bad)
    places = asyncio.Semaphore(32)

    async def write(order: list[Any]) -> int:
        async with places:
            return await append(client, order)

    operator = Operator(order_list, client, mongo)
    async with supervised(order_list, client, mongo):
        last = max(await asyncio.gather(*(write(order) for order in written)))
        await reached(mongo, order_list, last)
        rows = await documents(mongo, order_list)
        assert [key for key, row in rows.items() if row["status"] != "CONFIRMED"] == [bad]
        assert await parked(operator) == [(f"order-{bad}", 3, 0)]
        fix()
        assert await operator.outcome(retry=pb.RetryParked()) == (True, [f"order-{bad}: applied"])
        assert await documents(mongo, order_list) == fold(order_list, [event for order in written for event in order])
