"""A log of its own: its broken events park streams, which no other test expects."""

from collections.abc import AsyncIterator, Iterator

import pytest
from uuid_utils import uuid7

from client.sdk import Addresses, OrderstreamClient
from core.eventstore.connection import connect
from core.eventstore.log import EventLog
from core.eventstore.store import EventStore
from tests.support.processes import own_log, running


@pytest.fixture(scope="module")
def environment(mongo_uri: str) -> Iterator[dict[str, str]]:
    with own_log(
        mongo_uri,
        f"upgrades_{uuid7().hex}",
        ORDERSTREAM_MEASURE_EVERY="0.3",
        ORDERSTREAM_POLL_INTERVAL="0.1",
        ORDERSTREAM_LEASE="2",
        ORDERSTREAM_GRACE="1",
        ORDERSTREAM_WATCH_HEARTBEAT="1",
        ORDERSTREAM_FIRST_RETRY="0.05",
        ORDERSTREAM_MAX_RETRY="0.2",
        ORDERSTREAM_STEP_ATTEMPTS="3",
    ) as environment:
        yield environment


@pytest.fixture(scope="module")
def addresses(environment: dict[str, str]) -> Iterator[Addresses]:
    """This release, all of it."""
    with (
        running("server", "commands", "--port", "0", environment=environment) as commands,
        running("server", "queries", "--port", "0", environment=environment) as queries,
        running("server", "processes", "--port", "0", environment=environment) as processes,
        running("projections", "--port", "0", environment=environment) as projections,
    ):
        yield Addresses(
            commands=commands.ready["address"],
            queries=queries.ready["address"],
            processes=processes.ready["address"],
            projections=projections.ready["address"],
        )


@pytest.fixture
async def shop(addresses: Addresses) -> AsyncIterator[OrderstreamClient]:
    async with OrderstreamClient(addresses, actor="ann", deadline=2.0) as shop:
        yield shop


@pytest.fixture
async def log(environment: dict[str, str]) -> AsyncIterator[EventStore]:
    client = await connect(environment["ORDERSTREAM_EVENTSTORE_URI"])
    events = EventStore(EventLog(client))
    yield events
    await events.close()
    await client.close()
