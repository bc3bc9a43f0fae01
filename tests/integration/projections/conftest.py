"""A log of its own for each module, so that a broken event of one test is no other's; a database for each test."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from core.eventstore.connection import Client, connect
from tests.support.processes import running


@pytest.fixture(scope="module")
def own_log(request: pytest.FixtureRequest) -> Iterator[str]:
    if given := str(request.config.getoption("--eventstore-uri")):
        yield given
        return
    with running("embedded", "eventstore", "--port", "0", "--memory") as store:
        yield store.ready["uri"]


@pytest.fixture
async def client(own_log: str) -> AsyncIterator[Client]:
    client = await connect(own_log)
    yield client
    await client.close()


@pytest.fixture
async def mongo(mongo_uri: str, database: str) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    async with AsyncMongoClient[dict[str, Any]](mongo_uri) as client:
        yield client[database]
        await client.drop_database(database)
