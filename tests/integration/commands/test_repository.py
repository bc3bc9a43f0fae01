"""Remembered aggregates against what others write meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from esdbclient import NewEvent, RecordedEvent
from uuid_utils import uuid7

from core.domain.product import PRODUCT
from core.domain.product.events import PriceChanged, ProductRegistered
from core.domain.product.state import NoProduct
from core.eventstore import codec
from core.eventstore.connection import connect
from core.eventstore.log import EventLog
from core.eventstore.registry import DomainEvent
from core.eventstore.repository import Repository
from core.eventstore.snapshots import Snapshots
from core.eventstore.store import NO_EVENTS, EventStore
from tests.support.orders import NOON, euros

AN_HOUR = 3_600.0  # seconds of age that nobody minds


class SlowNetwork(EventStore):
    """The store; what is read of a stream is held back while `clear` is not set."""

    clear: asyncio.Event
    waiting: asyncio.Event

    async def newest(self, stream: str, most: int) -> list[RecordedEvent]:
        events = await super().newest(stream, most)
        self.waiting.set()
        await self.clear.wait()
        return events


@pytest.fixture
async def network(eventstore_uri: str) -> AsyncIterator[SlowNetwork]:
    client = await connect(eventstore_uri)
    events = SlowNetwork(EventLog(client))
    events.clear, events.waiting = asyncio.Event(), asyncio.Event()
    yield events
    await events.close()
    await client.close()


def stored(event: DomainEvent) -> NewEvent:
    event_type, data = codec.encode(event)
    return NewEvent(type=event_type, data=data, id=UUID(int=uuid7().int))


async def test_a_read_that_newer_events_overtook_is_not_taken_for_up_to_date(network: SlowNetwork) -> None:
    sku = f"tea-{uuid7().hex}"
    stream = PRODUCT.stream(sku)
    repository = Repository(network, Snapshots(network, every=500))
    await network.append(stream, NO_EVENTS, [stored(ProductRegistered(sku=sku, name="Tea", price=euros(350), at=NOON))])
    await repository.catch_up(PRODUCT, max_age=0)  # from here on new events are followed

    loading = asyncio.create_task(repository.load(PRODUCT, stream))
    await network.waiting.wait()
    await network.append(stream, 0, [stored(PriceChanged(sku=sku, price=euros(400), previous=euros(350), at=NOON))])
    await repository.catch_up(PRODUCT, max_age=0)
    network.clear.set()
    await loading

    known = (await repository.load(PRODUCT, stream, max_age=AN_HOUR)).state
    assert not isinstance(known, NoProduct)
    assert known.price == euros(400)
