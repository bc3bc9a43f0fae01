"""The embedded stores, one of each for all integration tests; each test takes names of its own in them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from uuid_utils import uuid7

from core.eventstore.connection import Client, connect
from tests.support.processes import running


@pytest.fixture(scope="session")
def eventstore_uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if given := str(request.config.getoption("--eventstore-uri")):
        yield given
        return
    data: Path = tmp_path_factory.mktemp("eventstore")
    with running("embedded", "eventstore", "--port", "0", "--data", str(data)) as store:
        yield store.ready["uri"]


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data: Path = tmp_path_factory.mktemp("mongo")
    with running("embedded", "mongo", "--port", "0", "--data", str(data)) as store:
        yield store.ready["uri"]


@pytest.fixture
async def client(eventstore_uri: str) -> AsyncIterator[Client]:
    client = await connect(eventstore_uri)
    yield client
    await client.close()


@pytest.fixture
def database() -> str:
    return f"test_{uuid7().hex}"
