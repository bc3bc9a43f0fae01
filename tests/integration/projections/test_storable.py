"""A document that MongoDB cannot store parks the streams that led to it; the view goes on for everybody else."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from core.domain.order.events import OrderPlaced
from core.eventstore.connection import Client
from core.readmodel.view import Handler, View
from core.readmodel.views.order_detail import order_detail
from core.readmodel.views.sales_daily import sales_daily
from projections.engine.applier import BatchApplier
from projections.engine.parked_events import ParkedEvents
from projections.engine.storable import MAX_DOCUMENT
from projections.stores import Stores
from projections.verification.full import Result, Verifier
from projections.verification.sampling import Sampler
from protos.operations.v1 import projections_pb2 as pb
from tests.support.orders import euros, line_added, noted
from tests.support.processes import running
from tests.support.viewing import fold, stored
from tests.support.views import Operator, append, documents, new_order, reached, run, supervised

Mongo = AsyncDatabase[Any]
TOO_MUCH = 2**63  # minor units


@pytest.fixture
def own_log() -> Iterator[str]:
    """An empty log for each test: what is folded is what the test wrote."""
    with running("embedded", "eventstore", "--port", "0", "--memory") as store:
        yield store.ready["uri"]


def costing(order: list[Any], minor: int) -> list[Any]:
    """The order with another total, as a broken tool writes it."""
    return [replace(e, total=euros(minor)) if isinstance(e, OrderPlaced) else e for e in order]


async def results(client: Client, mongo: Mongo, view: View[Any]) -> Result:
    [result] = [x async for x in Verifier(Stores.of(client, mongo)).verify([view]) if isinstance(x, Result)]
    return result


async def parked(operator: Operator) -> list[tuple[str, int, int]]:
    found = await operator.changes.parked(await operator.pointer())
    return [(one.failed.stream, one.failed.revision, one.waiting) for one in found]


UNSTORABLE: dict[str, dict[str, Any]] = {
    "an integer of more than 8 bytes": {"sum": TOO_MUCH},
    "larger than 16 MB": {"text": "x" * MAX_DOCUMENT},
    "a key with a NUL": {"a\x00b": 1},
    "a key that is no text": {"of": {1: 2}},
    "text that is not Unicode": {"text": "\ud800"},
}


@pytest.mark.parametrize("content", UNSTORABLE.values(), ids=UNSTORABLE)
async def test_what_cannot_be_stored_parks_its_stream_and_no_other(
    mongo_uri: str, database: str, content: dict[str, Any]
) -> None:
    view = View[dict[str, Any]]("odd", key=lambda e: str(e.data.order_id), categories=("order",))

    @view.on(OrderPlaced)
    def reduce(_: dict[str, Any] | None, e: Any) -> dict[str, Any]:
        return content if e.data.order_id == bad else {"units": 1}

    events = [e for _ in range(3) for e in new_order()]
    bad = events[4].order_id
    async with AsyncMongoClient[dict[str, Any]](mongo_uri) as store:
        parked_events = ParkedEvents(store[database], "odd", 1)
        for _ in range(2):  # a replay changes nothing
            worker = BatchApplier(view, store[database]["odd"], parked_events)
            await worker.apply(stored(events))
        [held] = await parked_events.streams()
        assert (held.failed.stream, held.failed.revision, held.waiting) == (f"order-{bad}", 2, 0)
        assert str(held.failed.error).startswith("NotStorable: ")
        assert len(str(held.failed.error)) <= 500
        assert await store[database]["odd"].count_documents({}) == 2
        await store.drop_database(database)


async def test_a_document_that_several_streams_share_is_held_at_the_event_that_makes_it_too_large(
    client: Client, mongo: Mongo
) -> None:
    """Each total is one that MongoDB takes; their sum is not."""
    first, second, third = (costing(new_order(), minor) for minor in (TOO_MUCH - 2, 2, 1))
    await append(client, first)
    await append(client, second)
    last = await append(client, third)
    operator = Operator(sales_daily, client, mongo)
    async with supervised(sales_daily, client, mongo):
        await reached(mongo, sales_daily, last)
        stream = f"order-{second[0].order_id}"
        assert await parked(operator) == [(stream, 2, 0)]
        assert await documents(mongo, sales_daily) == fold(sales_daily, [*first, *third])

        found = await results(client, mongo, sales_daily)
        assert (found.differences, found.parked, found.unfolded) == (1, 1, {stream})

        done, reported = await operator.outcome(retry=pb.RetryParked(stream=stream))
        assert done, "it does not go on for ever"
        assert "NotStorable" in reported[0]
        assert await parked(operator) == [(stream, 2, 0)]

        ended = await operator.rebuilt()
        assert (ended.switched, ended.differences) == (False, 1)
        assert stream in ended.failure
        await operator.apply(drop=pb.Drop(generation=2))
        ended = await operator.rebuilt(rebuild=pb.Rebuild(allow_parked=True))
        assert (ended.switched, ended.differences) == (True, 1)
        assert await parked(operator) == [(stream, 2, 0)]

        done, reported = await operator.outcome(skip=pb.SkipParked(stream=stream))
        assert (done, reported) == (True, [f"{stream}: applied"])
        assert (await results(client, mongo, sales_daily)).differences == 0


async def test_a_retry_that_leaves_no_room_for_another_stream_is_answered_and_changes_nothing(
    client: Client, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = costing(new_order(), TOO_MUCH - 2), costing(new_order(), 2)
    right = sales_daily.handlers[OrderPlaced]

    def failing(document: Any, e: Any) -> Any:
        if e.data.order_id == first[0].order_id:
            raise ZeroDivisionError("a bug")
        return right.reduce(document, e)

    monkeypatch.setitem(sales_daily.handlers, OrderPlaced, Handler(right.key, failing))
    await append(client, first)
    last = await append(client, second)
    operator = Operator(sales_daily, client, mongo)
    async with supervised(sales_daily, client, mongo):
        await reached(mongo, sales_daily, last)
        monkeypatch.setitem(sales_daily.handlers, OrderPlaced, right)
        done, reported = await operator.outcome(retry=pb.RetryParked(stream=f"order-{first[0].order_id}"))
        assert done, "it is not tried for ever"
        assert f"order-{second[0].order_id}: NotStorable" in reported[0]
        assert await parked(operator) == [(f"order-{first[0].order_id}", 2, 0)]
        assert await documents(mongo, sales_daily) == fold(sales_daily, second)


async def test_samples_of_a_view_agree_that_a_stream_is_held(client: Client, mongo: Mongo) -> None:
    """A price as no command of ours accepts it; what comes later waits behind it."""
    good, bad = new_order(), new_order()
    bad[1] = line_added(order_id=bad[0].order_id, unit_price=euros(TOO_MUCH))
    await append(client, bad)
    last = await append(client, good)
    async with run(order_detail, client, mongo) as runner:
        await reached(mongo, order_detail, last)
        late = replace(noted("n1"), order_id=bad[0].order_id)
        last = await append(client, [late])
        await reached(mongo, order_detail, last)
        assert runner.parked_streams == 1
        checked = await Sampler(order_detail, Stores.of(client, mongo)).check(10)
        assert (checked.documents, checked.differences) == (2, 0)
        assert (await documents(mongo, order_detail))[good[0].order_id]["status"] == "CONFIRMED"
