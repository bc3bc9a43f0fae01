"""Both sides on the embedded stores, in processes of their own, with a database for these tests."""

from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from uuid_utils import uuid7

from client.sdk import Addresses, OrderstreamClient
from tests.support.processes import Running, running


@pytest.fixture(scope="session")
def environment(eventstore_uri: str, mongo_uri: str) -> dict[str, str]:
    return {
        "ORDERSTREAM_EVENTSTORE_URI": eventstore_uri,
        "ORDERSTREAM_MONGO_URI": mongo_uri,
        "ORDERSTREAM_MONGO_DATABASE": f"queries_{uuid7().hex}",
    }


@pytest.fixture(scope="session")
def projections(environment: dict[str, str]) -> Iterator[Running]:
    with running("projections", "--port", "0", environment=environment) as process:
        yield process


@pytest.fixture(scope="session")
def addresses(environment: dict[str, str], projections: Running) -> Iterator[Addresses]:
    with (
        running("server", "commands", "--port", "0", environment=environment) as commands,
        running("server", "queries", "--port", "0", environment=environment) as queries,
    ):
        yield Addresses(
            commands=commands.ready["address"],
            queries=queries.ready["address"],
            projections=projections.ready["address"],
        )


@pytest.fixture
async def client(addresses: Addresses) -> AsyncIterator[OrderstreamClient]:
    async with OrderstreamClient(addresses, deadline=20.0) as client:
        yield client


@pytest.fixture
async def channel(addresses: Addresses) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(addresses.queries) as channel:
        yield channel
