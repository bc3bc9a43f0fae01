"""A node in this process, with an official client and a bare channel to it."""

from collections.abc import AsyncIterator

import grpc
import pytest
from esdbclient.asyncio_client import AsyncEventStoreDBClient

from embedded.eventstore.node import node


@pytest.fixture
async def own_node() -> AsyncIterator[str]:
    async with node(None) as address:
        yield address


@pytest.fixture
async def own_client(own_node: str) -> AsyncIterator[AsyncEventStoreDBClient]:
    client = AsyncEventStoreDBClient(f"esdb://{own_node}?Tls=false")
    await client.connect()
    yield client
    await client.close()


@pytest.fixture
async def own_channel(own_node: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(own_node) as channel:
        yield channel
