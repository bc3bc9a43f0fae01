"""An expression that would take for ever is refused, and stops nobody else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
from esdbclient import NewEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.exceptions import GrpcError

from embedded.eventstore.errors import RefusalError
from embedded.eventstore.filtering import Expression
from embedded.stack import embedded_eventstore

Client = AsyncEventStoreDBClient
HOSTILE = "(a|aa)+$"  # on a long row of a's that ends otherwise it tries every way to cut the row
ROW = "a" * 60
BAIT = f"{ROW}!"
WITHIN = 10.0
pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """To a node in a process of its own: one that searches for ever can be killed."""
    async with embedded_eventstore() as uri:
        client = Client(uri)
        await client.connect()
        yield client
        await client.close()


async def append(client: Client, stream: str, type_: str = "Happened") -> int:
    event = NewEvent(type=type_, data=b"{}")
    return await client.append_to_stream(stream, current_version=StreamState.ANY, events=event, timeout=WITHIN)


async def first_of(reading: Any) -> Any:
    return await asyncio.wait_for(anext(reading), WITHIN)


async def refused(act: Awaitable[Any]) -> None:
    with pytest.raises(GrpcError, match="takes too long"):
        await asyncio.wait_for(act, WITHIN)


@pytest.mark.parametrize("by_name", [True, False])
async def test_a_read_with_it_is_refused_while_others_go_on(client: Client, by_name: bool) -> None:
    await append(client, BAIT, BAIT)

    async def read() -> list[Any]:
        return [e async for e in await client.read_all(filter_include=[HOSTILE], filter_by_stream_name=by_name)]

    reads = [asyncio.create_task(refused(read())) for _ in range(5)]
    for number in range(20):
        await append(client, f"other-{number}")
    await asyncio.gather(*reads)
    assert len(await client.get_stream("other-19", timeout=WITHIN)) == 1


async def test_a_subscription_with_it_ends_when_it_meets_its_bait_and_no_other_does(client: Client) -> None:
    hostile = await client.subscribe_to_all(filter_include=[HOSTILE], filter_by_stream_name=True, from_end=True)
    other = await client.subscribe_to_all(from_end=True)
    await append(client, BAIT)
    assert (await first_of(other)).stream_name == BAIT
    await refused(first_of(hostile))
    await append(client, "other-1")
    assert (await first_of(other)).stream_name == "other-1"
    await other.stop()


async def test_a_persistent_subscription_with_it_delivers_no_more_and_can_be_deleted(client: Client) -> None:
    await client.create_subscription_to_all("hostile", filter_include=[HOSTILE], filter_by_stream_name=True)
    await client.create_subscription_to_all("other", from_end=True)
    hostile = await client.read_subscription_to_all("hostile")
    other = await client.read_subscription_to_all("other")
    await append(client, BAIT)
    assert (await first_of(other)).stream_name == BAIT
    await refused(first_of(hostile))
    await client.delete_subscription("hostile")
    await other.stop()


async def test_one_that_takes_long_to_understand_is_refused(client: Client) -> None:
    words = "|".join(f"type-{number}" for number in range(200_000))
    reading = await client.read_all(filter_include=f"({words})")
    await refused(first_of(reading))
    await append(client, "other-1")


def test_one_that_is_slow_on_the_average_is_refused_though_no_search_is_too_long() -> None:
    found_in = Expression(HOSTILE)

    def search() -> None:
        for number in range(10_000):
            assert not found_in(f"{'a' * 20}!{number}")

    with pytest.raises(RefusalError, match="takes too long"):
        search()


def test_quick_ones_may_search_as_long_as_they_like() -> None:
    found_in = Expression(r"^(?!(\$.+|order-\d+)$).*$")
    assert all(found_in(f"other-{number}") for number in range(50_000))
    assert not found_in("order-1")
    assert not found_in("$order-1")
