"""A command service on the embedded event store."""

from collections.abc import AsyncIterator, Callable

import pytest

from core.config import Settings
from core.eventstore.connection import connect
from core.eventstore.log import EventLog
from core.eventstore.store import EventStore
from server.app import serving
from tests.support.calling import Shop, shop_at


@pytest.fixture
def settings(eventstore_uri: str) -> Settings:
    return Settings(eventstore_uri=eventstore_uri, grace=1.0)


@pytest.fixture
async def commands(settings: Settings) -> AsyncIterator[str]:
    async with serving("commands", settings, port=0) as address:
        yield address


@pytest.fixture
async def shop(commands: str) -> AsyncIterator[Shop]:
    async with shop_at(commands) as shop:
        yield shop


@pytest.fixture
async def log(eventstore_uri: str) -> AsyncIterator[EventStore]:
    client = await connect(eventstore_uri)
    events = EventStore(EventLog(client))
    yield events
    await events.close()
    await client.close()


@pytest.fixture
def types_in(log: EventStore) -> Callable[[str], object]:
    async def read(stream: str) -> list[str]:
        return [event.type async for event in log.read(stream)]

    return read
