"""One view on real stores: killed anywhere it goes on, one process owns it, one bad stream stops no other."""

from dataclasses import replace
from typing import Any

import pytest
from esdbclient import NewEvent, StreamState
from pymongo.asynchronous.database import AsyncDatabase

from core.domain.order.events import OrderPlaced
from core.eventstore.connection import Client, connect
from core.eventstore.log import EventLog, streams
from core.eventstore.recorded import Recorded
from core.eventstore.subscription import CatchUpSubscription, SubscriptionLost
from core.failures import StoreUnavailable
from core.readmodel.checkpoints import CheckpointStore, Fenced
from core.readmodel.view import View
from core.readmodel.views.order_list import order_list
from core.readmodel.views.sales_daily import sales_daily
from projections.engine.applier import BatchApplier
from projections.engine.lease import has_exited, process_id
from projections.engine.parked_events import Parked, ParkedEvents
from projections.engine.part import Status
from tests.support.calling import fresh_id
from tests.support.eventually import eventually
from tests.support.orders import ANN, cancelled, placed
from tests.support.processes import running
from tests.support.viewing import fold, stored
from tests.support.views import (
    append,
    append_broken,
    begin_at_the_end,
    documents,
    is_,
    new_order,
    reached,
    run,
)

Mongo = AsyncDatabase[Any]


def following(client: Client, view: View[Any], position: int) -> CatchUpSubscription:
    return CatchUpSubscription(EventLog(client), streams(view.stream_filter()), position)


async def test_what_is_written_shows_and_the_checkpoint_follows(client: Client, mongo: Mongo) -> None:
    await begin_at_the_end(client, mongo, order_list)
    before, after = new_order(), new_order()
    last = await append(client, before)
    async with run(order_list, client, mongo) as runner:
        await reached(mongo, order_list, last)
        await is_(runner, Status.LIVE)
        last = await append(client, after)
        await reached(mongo, order_list, last)
    assert await documents(mongo, order_list) == fold(order_list, [*before, *after])
    assert runner.status is Status.STOPPED
    lease = await CheckpointStore(mongo).lease("order_list", 1)
    assert lease is not None
    assert lease.owner == "", "a clean stop leaves the view to the first process"


async def test_a_crash_between_documents_and_checkpoint_counts_nothing_twice(client: Client, mongo: Mongo) -> None:
    start = await begin_at_the_end(client, mongo, sales_daily)
    events = [event for _ in range(5) for event in new_order()]
    for order in range(0, len(events), 4):
        last = await append(client, events[order : order + 4])

    async with following(client, sales_daily, start) as source:  # all of a batch but its checkpoint
        seen: list[Any] = []
        while len(seen) < len(events):
            seen += [item for item in await source.batch(100, 1.0) if item.type]
    parked_events = ParkedEvents(mongo, "sales_daily", 1)
    await BatchApplier(sales_daily, CheckpointStore(mongo).documents("sales_daily", 1), parked_events).apply(seen[:-3])

    async with run(sales_daily, client, mongo):
        await reached(mongo, sales_daily, last)
    assert await documents(mongo, sales_daily) == fold(sales_daily, events)


async def test_events_of_one_append_are_mostly_taken_together(client: Client, mongo: Mongo) -> None:
    start = await begin_at_the_end(client, mongo, order_list)
    batches, appends = 0, 30
    async with following(client, order_list, start) as source:
        while await source.batch(100, 0.1):
            pass  # until it has caught up
        for _ in range(appends):
            last, at = await append(client, new_order()), 0
            while at < last:
                items = await source.batch(100, 1.0, live=True)
                at = max((item.commit_position or 0 for item in items), default=at)
                batches += bool(items)
    assert batches < appends * 2, "each event of four would be a batch, with a document and a checkpoint written for it"


async def test_a_checkpoint_moves_over_events_of_others(client: Client, mongo: Mongo) -> None:
    await begin_at_the_end(client, mongo, order_list)
    async with run(order_list, client, mongo) as runner:
        await is_(runner, Status.LIVE)
        elsewhere, event = f"elsewhere-{fresh_id()}", NewEvent("SomethingElse", b"{}")
        last = await client.append_to_stream(elsewhere, current_version=StreamState.ANY, events=[event])
        await reached(mongo, order_list, last)


async def test_a_broken_event_parks_its_stream_and_the_others_go_on(client: Client, mongo: Mongo) -> None:
    await begin_at_the_end(client, mongo, sales_daily)
    bad, good = new_order(), new_order(quantity=3)
    await append(client, bad)
    await append_broken(client, bad[0].order_id)  # not handled by this view, but by order_list
    async with run(sales_daily, client, mongo) as counter, run(order_list, client, mongo) as rows:
        last = await append(client, [replace(cancelled(), order_id=bad[0].order_id)])
        last = await append(client, good)
        await reached(mongo, sales_daily, last)
        await reached(mongo, order_list, last)
        assert rows.parked_streams >= 1
        assert "MalformedEvent" in rows.last_error
        assert counter.parked_streams >= 1, "an event that cannot be read may be one that counts"
    shown = await documents(mongo, order_list)
    assert shown[bad[0].order_id]["status"] == "CONFIRMED", "nothing behind the broken event is in it"
    assert shown[good[0].order_id]["status"] == "CONFIRMED"
    assert await documents(mongo, sales_daily) == fold(sales_daily, [*bad, *good])


async def test_a_failed_event_of_a_shared_document_stays_parked_after_a_crash(client: Client, mongo: Mongo) -> None:
    """The document moves past it by another stream's event; a replay must not take it for applied."""
    start = await begin_at_the_end(client, mongo, sales_daily)
    bad, good = new_order(), new_order()
    first = await append_broken(client, bad[0].order_id)
    last = await append(client, good)
    for _ in range(2):
        async with following(client, sales_daily, start) as source:
            parked_events = ParkedEvents(mongo, "sales_daily", 1)
            await parked_events.load()
            applier = BatchApplier(sales_daily, CheckpointStore(mongo).documents("sales_daily", 1), parked_events)
            seen: list[Any] = []
            while not seen or (seen[-1].commit_position or 0) < last:
                seen += [item for item in await source.batch(100, 1.0) if item.type]
            await applier.apply(seen)
            assert parked_events.first == {f"order-{bad[0].order_id}": first}
    assert await documents(mongo, sales_daily) == fold(sales_daily, good)


async def test_a_crash_before_parking_leaves_the_documents_alone(mongo: Mongo) -> None:
    """Otherwise the shared document would have moved past the failed event, and a replay take it for applied."""
    per_customer = View[dict[str, int]]("per_customer", key=lambda e: str(e.data.customer_id), categories=("order",))

    @per_customer.on(OrderPlaced)
    def _(doc: dict[str, int] | None, e: Recorded[OrderPlaced]) -> dict[str, int]:
        if e.data.order_id == "bad":
            raise ZeroDivisionError
        return {"placed": (doc or {"placed": 0})["placed"] + 1}

    class Dying(ParkedEvents):
        async def add(self, events: list[Parked]) -> None:
            raise SystemError(f"killed before {len(events)} were parked")

    rows = CheckpointStore(mongo).documents("per_customer", 1)
    events = stored([placed(order_id=order_id) for order_id in ("one", "bad", "two")])
    with pytest.raises(SystemError):
        await BatchApplier(per_customer, rows, Dying(mongo, "per_customer", 1)).apply(events)
    parked_events = ParkedEvents(mongo, "per_customer", 1)
    await BatchApplier(per_customer, rows, parked_events).apply(events)
    assert list(parked_events.first) == ["order-bad"]
    assert await documents(mongo, per_customer) == {ANN: {"placed": 2}}


async def test_one_process_owns_a_view_and_the_next_takes_over_at_once_when_it_stops(
    client: Client, mongo: Mongo
) -> None:
    await begin_at_the_end(client, mongo, sales_daily)
    async with run(sales_daily, client, mongo) as first:
        await is_(first, Status.LIVE)
        async with run(sales_daily, client, mongo) as second:
            await is_(second, Status.STANDBY)
            first.stop()
            await is_(second, Status.LIVE)
            assert first.status is Status.STOPPED
            last = await append(client, order := new_order())
            await reached(mongo, sales_daily, last)
    assert await documents(mongo, sales_daily) == fold(sales_daily, order)


async def test_a_silent_owner_is_replaced_and_fenced_when_it_comes_back(client: Client, mongo: Mongo) -> None:
    await begin_at_the_end(client, mongo, sales_daily)
    state = CheckpointStore(mongo)
    frozen = await state.take_over("sales_daily", 1, process_id())  # it will give no sign of life
    async with run(sales_daily, client, mongo) as standby:
        await is_(standby, Status.STANDBY)
        await is_(standby, Status.LIVE)
        with pytest.raises(Fenced):
            await state.advance(replace(frozen, position=2**40))
        checkpoint = await state.checkpoint("sales_daily")
        assert checkpoint is not None
        assert checkpoint.epoch == frozen.epoch + 1
        assert checkpoint.position < 2**40


async def test_an_owner_that_lost_its_view_stands_by_instead_of_giving_up(client: Client, mongo: Mongo) -> None:
    await begin_at_the_end(client, mongo, sales_daily)
    async with run(sales_daily, client, mongo) as runner:
        await is_(runner, Status.LIVE)
        usurper = await CheckpointStore(mongo).take_over("sales_daily", 1, process_id())
        await is_(runner, Status.STANDBY)
        await CheckpointStore(mongo).release(usurper)
        await is_(runner, Status.LIVE)


def test_a_process_that_ended_is_known_to_be_gone() -> None:
    host, pid, started, where, nonce = process_id().split(":")
    assert not has_exited(process_id())
    assert has_exited(":".join((host, pid, f"{started}0", where, nonce))), "the same pid, started at another time"
    assert not has_exited(":".join((host, pid, f"{started}0", "another-machine", nonce)))
    assert not has_exited("")


async def test_a_subscription_that_dies_without_a_word_is_noticed(client: Client, mongo: Mongo) -> None:
    """The client's reconnect closes its channel, and esdbclient ends every other iteration on it quietly."""
    await begin_at_the_end(client, mongo, sales_daily)
    async with run(sales_daily, client, mongo) as runner:
        await is_(runner, Status.LIVE)
        await client.reconnect()
        last = await append(client, order := new_order())
        await reached(mongo, sales_daily, last)
    assert await documents(mongo, sales_daily) == fold(sales_daily, order)


async def test_silence_while_the_log_goes_on_is_a_failure(client: Client, mongo: Mongo) -> None:
    start = await begin_at_the_end(client, mongo, sales_daily)
    silent = following(client, sales_daily, start)  # not entered: nothing comes
    assert (await silent.check_silence()).next_event is None
    await append(client, new_order())
    assert (await silent.check_silence()).next_event, "it may still be on its way"
    with pytest.raises(SubscriptionLost, match="silent"):
        await silent.check_silence()


async def test_a_reader_that_lacks_nothing_stands_at_the_head(client: Client, mongo: Mongo) -> None:
    """So that its next look is one read, and it subscribes again behind all that it does not follow."""
    start = await begin_at_the_end(client, mongo, sales_daily)
    stranger = NewEvent("SomethingElse", b"{}")
    async with following(client, sales_daily, start) as idle:
        await client.append_to_stream(f"elsewhere-{fresh_id()}", current_version=StreamState.ANY, events=[stranger])
        head = (await idle.check_silence()).head
        assert idle.position == head.position > start


async def test_a_read_that_is_cut_off_is_a_failure_and_not_a_short_answer(client: Client) -> None:
    for _ in range(30):
        await append(client, new_order())
    reading = EventLog(client).after(0, "order-.*")
    await anext(reading)
    await client.close()
    with pytest.raises(StoreUnavailable):
        assert len([event async for event in reading]) < 0, "it has ended as if that were all"


async def test_views_survive_documents_that_others_changed(client: Client, mongo: Mongo) -> None:
    await begin_at_the_end(client, mongo, order_list)
    async with run(order_list, client, mongo) as runner:
        last = await append(client, order := new_order()[:3])
        await reached(mongo, order_list, last)
        rows = CheckpointStore(mongo).documents("order_list", 1)
        await rows.delete_many({})  # what the worker remembers is no longer so
        last = await append(client, [replace(cancelled(), order_id=order[0].order_id)])
        await reached(mongo, order_list, last)
        assert runner.parked_streams == 1, "an order without its beginning is not guessed at"


async def test_lag_is_seen_in_the_checkpoint(client: Client, mongo: Mongo) -> None:
    await begin_at_the_end(client, mongo, order_list)
    state = CheckpointStore(mongo)

    async def caught_up_at() -> int:
        checkpoint = await state.checkpoint("order_list")
        return 0 if checkpoint is None else checkpoint.caught_up_at

    async with run(order_list, client, mongo):
        first = await eventually(caught_up_at)
        await eventually(caught_up_at, lambda now: now > first)


async def test_a_view_of_a_log_that_holds_only_the_stores_own_events_goes_on_after_a_restart(mongo: Mongo) -> None:
    with running("embedded", "eventstore", "--port", "0", "--memory") as store:
        client = await connect(store.ready["uri"])
        for _ in range(2):
            async with run(sales_daily, client, mongo) as runner:
                await is_(runner, Status.LIVE)
        await client.close()
