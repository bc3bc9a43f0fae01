"""Read your writes: a query by id does not wait for a view whose document lacks only events of its own stream."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from esdbclient import StreamState
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from core.config import StoreSettings
from core.domain.order.events import NoteAdded, OrderEvent
from core.eventstore.connection import Client, connected
from core.eventstore.consistency_token import to_token
from core.eventstore.log import EventLog
from core.failures import NotFreshEnough
from core.readmodel.checkpoints import CheckpointStore
from core.readmodel.fingerprint import handler_fingerprint
from core.readmodel.generations import BuildInfo
from core.readmodel.views.order_detail import order_detail
from projections.engine.applier import BatchApplier
from projections.engine.parked_events import ParkedEvents, SkippedEvents, to_parked
from protos.common.v1.types_pb2 import FreshnessSource
from server.queries import fresh_views, mapping, views_of
from server.queries.stream_tail import MAX_TAIL
from server.queries.views import Found
from tests.support.calling import fresh_id
from tests.support.orders import NOON, created
from tests.support.sequences import lived, sequences
from tests.support.viewing import recorded
from tests.support.views import append, append_broken, new_order

FOLDED, STORED = FreshnessSource.FRESHNESS_SOURCE_VIEW_AND_STREAM, FreshnessSource.FRESHNESS_SOURCE_VIEW


class Call:
    """What a query knows of its caller: a deadline, in seconds."""

    def __init__(self, patience: float = 10.0) -> None:
        self._patience = patience

    def time_remaining(self) -> float:
        return self._patience


class Shop(NamedTuple):
    """A log, and the view `order_detail` that stands where a test left it."""

    client: Client
    mongo: AsyncDatabase[Any]

    async def view_takes(self, order_id: str, count: int) -> None:
        """The first events of an order are in the view, which has come as far as the last of them."""
        log, state = EventLog(self.client), CheckpointStore(self.mongo)
        events = [event async for event in log.events(f"order-{order_id}")][:count]
        parked = ParkedEvents(self.mongo, order_detail.name, 1)
        await parked.load()
        await BatchApplier(order_detail, state.documents(order_detail.name, 1), parked).apply(events)
        checkpoint = await state.take_over(order_detail.name, 1)
        position = max([checkpoint.position, *(event.commit_position or 0 for event in events)])
        await state.advance(replace(checkpoint, position=position, parked=len(parked.first)))

    async def made_by(self, code: str) -> None:
        made = {1: BuildInfo(code=code)}
        await CheckpointStore(self.mongo).generations.change("order_detail", lambda now: replace(now, made=made))

    async def get(self, order_id: str, position: int, patience: float = 10.0) -> Found:
        log, state = EventLog(self.client), CheckpointStore(self.mongo)
        views = views_of(state, log, fresh_views(state, log))
        return await views.one(order_detail, order_id, to_token(position), Call(patience))


@asynccontextmanager
async def opened(eventstore_uri: str, mongo_uri: str, database: str) -> AsyncIterator[Shop]:
    store = StoreSettings(eventstore_uri=eventstore_uri, mongo_uri=mongo_uri)
    async with connected(store) as client, AsyncMongoClient[dict[str, Any]](mongo_uri) as mongo:
        shop = Shop(client, mongo[database])
        await shop.made_by(handler_fingerprint(order_detail))
        yield shop
        await mongo.drop_database(database)


@pytest.fixture
async def shop(eventstore_uri: str, mongo_uri: str, database: str) -> AsyncIterator[Shop]:
    async with opened(eventstore_uri, mongo_uri, database) as shop:
        yield shop


def shown(found: Found, order_id: str, history: Sequence[OrderEvent]) -> bool:
    """Whether the answer is byte for byte what the view shows once it holds the whole history."""
    body = order_detail.fold(None, recorded(history))
    if body is None or found.document is None:
        return body is found.document
    held = {name: value for name, value in found.document.items() if name not in ("_id", "position")}
    expected = mapping.order({"_id": order_id, **body})
    return held == body and mapping.order(found.document).SerializeToString() == expected.SerializeToString()


async def test_an_order_is_shown_before_any_view_has_it(shop: Shop) -> None:
    position = await append(shop.client, history := new_order())
    found = await shop.get(history[0].order_id, position)
    assert shown(found, history[0].order_id, history)
    assert found.freshness.source == FOLDED
    assert found.freshness.position == position


async def test_what_the_view_lacks_is_added_to_its_document(shop: Shop) -> None:
    position = await append(shop.client, history := new_order())
    await shop.view_takes(history[0].order_id, 2)
    found = await shop.get(history[0].order_id, position)
    assert shown(found, history[0].order_id, history)
    assert found.freshness.source == FOLDED


async def test_a_document_that_has_come_as_far_answers_although_the_view_has_not(shop: Shop) -> None:
    position = await append(shop.client, history := new_order())
    await shop.view_takes(history[0].order_id, len(history))
    state = CheckpointStore(shop.mongo)
    checkpoint = await state.take_over("order_detail", 1)
    await state.advance(replace(checkpoint, position=position - 1))
    found = await shop.get(history[0].order_id, position)
    assert shown(found, history[0].order_id, history)
    assert found.freshness.source == STORED


async def test_a_token_of_another_stream_is_honoured_once_the_log_has_reached_it(shop: Shop) -> None:
    await append(shop.client, history := new_order())
    elsewhere = await append(shop.client, new_order())
    found = await shop.get(history[0].order_id, elsewhere)
    assert shown(found, history[0].order_id, history)
    with pytest.raises(NotFreshEnough):
        await shop.get(history[0].order_id, elsewhere + 10**6, patience=0.3)


async def test_a_document_that_lacks_too_much_is_waited_for(shop: Shop) -> None:
    order_id = fresh_id()
    await append(shop.client, [replace(created(), order_id=order_id)])
    await shop.view_takes(order_id, 1)
    notes = [NoteAdded(order_id=order_id, note_id=f"n{n}", text="", at=NOON) for n in range(MAX_TAIL + 1)]
    position = await append(shop.client, notes)
    with pytest.raises(NotFreshEnough):
        await shop.get(order_id, position, patience=0.3)
    await shop.view_takes(order_id, len(notes) - MAX_TAIL + 2)
    assert (await shop.get(order_id, position)).freshness.source == FOLDED


async def test_a_view_made_by_other_code_is_waited_for(shop: Shop) -> None:
    position = await append(shop.client, history := new_order())
    await shop.made_by("of former code")
    with pytest.raises(NotFreshEnough):
        await shop.get(history[0].order_id, position, patience=0.3)


async def test_a_stream_that_is_parked_is_waited_for(shop: Shop) -> None:
    await append(shop.client, history := new_order())
    order_id = history[0].order_id
    await append_broken(shop.client, order_id)
    await shop.view_takes(order_id, len(history) + 1)
    position = await append(shop.client, [NoteAdded(order_id=order_id, note_id="n1", text="", at=NOON)])
    with pytest.raises(NotFreshEnough):
        await shop.get(order_id, position, patience=0.3)


async def test_a_stream_of_which_an_event_is_skipped_is_waited_for(shop: Shop) -> None:
    position = await append(shop.client, history := new_order())
    [*_, last] = await EventLog(shop.client).newest(f"order-{history[0].order_id}", 1)
    await SkippedEvents(shop.mongo).add("order_detail", to_parked(last, None), "ann", "a test")
    with pytest.raises(NotFreshEnough):
        await shop.get(history[0].order_id, position, patience=0.3)


async def test_an_event_that_cannot_be_read_is_waited_for(shop: Shop) -> None:
    await append(shop.client, history := new_order())
    position = await append_broken(shop.client, history[0].order_id)
    with pytest.raises(NotFreshEnough):
        await shop.get(history[0].order_id, position, patience=0.3)


async def test_an_event_that_cannot_be_folded_is_waited_for(shop: Shop) -> None:
    order_id = fresh_id()
    position = await append(shop.client, [NoteAdded(order_id=order_id, note_id="n1", text="", at=NOON)])
    with pytest.raises(NotFreshEnough):
        await shop.get(order_id, position, patience=0.3)


@pytest.mark.parametrize("for_good", [False, True])
async def test_a_stream_that_was_deleted_is_waited_for(shop: Shop, *, for_good: bool) -> None:
    await append(shop.client, history := new_order())
    order_id = history[0].order_id
    await shop.view_takes(order_id, len(history))
    delete = shop.client.tombstone_stream if for_good else shop.client.delete_stream
    await delete(f"order-{order_id}", current_version=StreamState.ANY)
    elsewhere = await append(shop.client, new_order())
    with pytest.raises(NotFreshEnough):
        await shop.get(order_id, elsewhere, patience=0.3)


@settings(max_examples=20, deadline=None)
@given(sequence=sequences(), share=st.floats(0, 1))
def test_whatever_happened_and_however_far_the_view_is_the_answer_is_what_the_view_will_show(
    eventstore_uri: str, mongo_uri: str, sequence: list[Any], share: float
) -> None:
    history = lived(sequence)
    if history:
        asyncio.run(_at_a_split(eventstore_uri, mongo_uri, history, share))


async def _at_a_split(uri: str, mongo: str, history: Sequence[OrderEvent], share: float) -> None:
    order_id = fresh_id()
    events = [replace(event, order_id=order_id) for event in history]
    async with opened(uri, mongo, f"tail_{order_id}") as shop:
        position = await append(shop.client, events)
        await shop.view_takes(order_id, held := int(share * len(events)))
        found = await shop.get(order_id, position)
        assert shown(found, order_id, events)
        assert found.freshness.source == (STORED if held == len(events) else FOLDED)
