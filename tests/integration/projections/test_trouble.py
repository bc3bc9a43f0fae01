"""What an operator must see: a view that stands still, a handler that hangs, another log than before, how far it is."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from esdbclient import NewEvent, StreamState
from prometheus_client import REGISTRY
from pymongo.asynchronous.database import AsyncDatabase

from core.domain.order.events import OrderPlaced
from core.eventstore.connection import Client, connect
from core.eventstore.consistency_token import to_token
from core.eventstore.log import EventLog
from core.failures import LogMismatch
from core.readmodel.checkpoints import Checkpoint, CheckpointStore, now_micros
from core.readmodel.view import Handler
from core.readmodel.views.order_list import order_list
from projections.engine import handler_timeout
from projections.engine.lag import Lag, is_stalled, lag_of
from projections.engine.part import Status
from projections.engine.runner import Runner
from projections.stores import Stores
from projections.verification.full import Result, Verifier
from server.queries.freshness import FreshViews
from tests.support.eventually import eventually
from tests.support.processes import running
from tests.support.viewing import fold
from tests.support.views import QUICK, Operator, append, documents, new_order, reached, run, supervised

Mongo = AsyncDatabase[Any]


@pytest.fixture
def own_log() -> Iterator[str]:
    """An empty log for each test."""
    with running("embedded", "eventstore", "--port", "0", "--memory") as store:
        yield store.ready["uri"]


class Waiting:
    """A call whose caller waits for a second."""

    def time_remaining(self) -> float:
        return 1.0


async def test_a_handler_that_hangs_parks_its_stream_and_no_other(
    client: Client, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = new_order(), new_order()
    right = order_list.handlers[OrderPlaced]

    def hangs(document: Any, e: Any) -> Any:
        while e.data.order_id == bad[0].order_id:
            pass
        return right.reduce(document, e)

    monkeypatch.setitem(order_list.handlers, OrderPlaced, Handler(right.key, hangs))
    monkeypatch.setattr(handler_timeout, "HANDLER_TIMEOUT", 0.2)
    await append(client, bad)
    last = await append(client, good)
    async with run(order_list, client, mongo) as runner:
        await reached(mongo, order_list, last)
        assert "HandlerTimeout" in runner.last_error
        assert runner.parked_streams == 1
    assert (await documents(mongo, order_list))[good[0].order_id]["status"] == "CONFIRMED"


async def test_lag_is_counted_in_events_and_in_the_time_the_first_has_waited(client: Client, mongo: Mongo) -> None:
    checkpoint = await CheckpointStore(mongo).take_over("order_list", 1)
    log = EventLog(client)
    assert await lag_of(log, order_list, checkpoint) == Lag(0, 0.0)
    first = await append(client, new_order())
    last = await append(client, new_order())
    lag = await lag_of(log, order_list, checkpoint)
    assert (lag.events, lag.seconds > 0) == (8, True)
    half = await lag_of(log, order_list, replace(checkpoint, position=first))
    assert (half.events, half.seconds <= (await lag_of(log, order_list, checkpoint)).seconds) == (4, True)
    assert await lag_of(log, order_list, replace(checkpoint, position=last)) == Lag(0, 0.0)


HOUR = 3_600_000_000


@pytest.mark.parametrize(
    ("moved", "lag", "stalled"),
    [
        (HOUR, Lag(3, 3_600.0), True),
        (HOUR, Lag(0, 0.0), False),
        (HOUR, Lag(1, 0.1), False),
        (0, Lag(1_000, 3_600.0), False),
    ],
    ids=["stands still", "an idle log", "an event just came after an idle hour", "far behind but moving"],
)
def test_stalled_is_no_progress_while_the_log_grows(moved: int, lag: Lag, stalled: bool) -> None:
    at = now_micros() - moved
    checkpoint = Checkpoint(view="v", generation=1, position=5, caught_up_at=at, updated_at=at, epoch=1, moved_at=at)
    assert is_stalled(checkpoint, lag, 30.0) is stalled
    assert not is_stalled(None, lag, 30.0)


async def test_a_view_that_stands_still_is_red_until_it_goes_on(
    client: Client, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    brief = QUICK.model_copy(update={"stalled_after": 0.2, "measure_every": 0.05})
    async with supervised(order_list, client, mongo, brief) as view:
        last = await append(client, new_order())
        await reached(mongo, order_list, last)

        async def stalled() -> bool:
            return view.checks.stalled

        apply, goes_on = Runner.apply, asyncio.Event()

        async def stands_still(runner: Runner, *arguments: Any) -> None:
            await goes_on.wait()
            await apply(runner, *arguments)

        monkeypatch.setattr(Runner, "apply", stands_still)
        last = await append(client, new_order())
        await eventually(stalled)
        goes_on.set()
        await eventually(stalled, lambda now: not now)
        await reached(mongo, order_list, last)


@pytest.mark.parametrize("grown", [False, True], ids=["shorter than before", "grown again past the checkpoint"])
async def test_an_older_log_is_reported_and_the_view_is_rebuilt(client: Client, mongo: Mongo, grown: bool) -> None:
    """As after a restore from an older backup: nothing of the lost future may pass for true."""
    for _ in range(3):
        last = await append(client, new_order())
    async with supervised(order_list, client, mongo):
        await reached(mongo, order_list, last)
    with running("embedded", "eventstore", "--port", "0", "--memory") as restored:
        older = await connect(restored.ready["uri"])
        kept: list[Any] = []
        for _ in range(6 if grown else 1):
            kept += (order := new_order())
            position = await append(older, order)
        if grown:
            last = await older.append_to_stream(
                "elsewhere-1", current_version=StreamState.ANY, events=[NewEvent("SomethingElse", b"{}")]
            )
        operator = Operator(order_list, older, mongo)
        async with supervised(order_list, older, mongo) as view:

            async def failing() -> Status:
                return view.runners.status

            await eventually(failing, lambda now: now is Status.FAILING)
            assert "rebuild it" in view.runners.last_error
            if not grown:
                reported = [x async for x in Verifier(Stores.of(older, mongo), catch_up_within=1).verify([order_list])]
                [result] = [x for x in reported if isinstance(x, Result)]
                assert "checkpoint" in [x.key for x in result.listed]
            fresh = FreshViews(operator.state, {"order_list": "order-.*"}, EventLog(older))

            async def seen() -> tuple[int, bool]:
                checkpoint = await fresh.at_least("order_list", "", Waiting())
                return checkpoint.generation, checkpoint.log_mismatch

            await eventually(seen, lambda now: now == (1, True))
            with pytest.raises(LogMismatch):
                await fresh.at_least("order_list", to_token(position), Waiting())

            ended = await operator.rebuilt()
            assert (ended.switched, ended.differences) == (True, 0)
            await eventually(seen, lambda now: now == (2, False))
            assert (await fresh.at_least("order_list", to_token(position), Waiting())).generation == 2
            assert await documents(mongo, order_list, 2) == fold(order_list, kept)
            await eventually(failing, lambda now: now is Status.LIVE)
        await older.close()


async def test_metrics_report_lag_of_the_owner(client: Client, mongo: Mongo) -> None:
    brief = QUICK.model_copy(update={"measure_every": 0.05})
    async with supervised(order_list, client, mongo, brief) as view:
        last = await append(client, new_order())
        await reached(mongo, order_list, last)

        async def measured() -> Any:
            return REGISTRY.get_sample_value("orderstream_projection_lag_events", {"view": "order_list"})

        assert await eventually(measured, lambda now: now == 0.0) == 0.0
        assert not view.checks.stalled
