"""Events that the group does not deliver: orders get their process all the same."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from esdbclient import NewEvent, StreamState

from embedded.eventstore.node import node
from server.app import serving
from server.config import Settings
from server.eventstore.connection import Client, connect
from server.eventstore.log import EventLog
from server.eventstore.persistent import ALL, Groups
from server.processes.process import NAME
from tests.support.calling import shop_at
from tests.support.eventually import eventually

MOST_BUFFERED = 300  # events; the group's buffer holds 500, and is filled in pages of 200


@asynccontextmanager
async def client_of(address: str) -> AsyncIterator[Client]:
    client = await connect(f"esdb://{address}?Tls=false")
    yield client
    await client.close()


def settings_at(address: str) -> Settings:
    return Settings(eventstore_uri=f"esdb://{address}?Tls=false", grace=1.0)


async def other_events(client: Client, number: int) -> None:
    events = [NewEvent(type="Noise", data=b"{}") for _ in range(number)]
    await client.append_to_stream("noise", current_version=StreamState.ANY, events=events)


async def until_read(client: Client) -> None:
    """Until the group has read all that it reads without a consumer."""
    end = await EventLog(client).end()

    async def has_read() -> bool:
        info = await Groups(client).info(ALL, NAME)
        known = int(info.last_known_event_position.partition("/")[0].removeprefix("C:"))
        return known >= end or info.read_buffer_count >= MOST_BUFFERED

    await eventually(has_read)


async def until_begun(client: Client, order_id: str) -> None:
    async def types() -> list[str]:
        return [event.type async for event in EventLog(client).events(f"checkout-{order_id}")]

    await eventually(types)


async def test_orders_placed_while_no_consumer_runs_get_their_process(tmp_path: Path) -> None:
    """The store forgets what waits for a group with a filter, as real ones do."""
    async with node(tmp_path, like_24_10=True) as address:
        async with serving("processes", settings_at(address), port=0), client_of(address) as client:
            await eventually(lambda: Groups(client).checkpoints(ALL), lambda groups: NAME in groups)
        async with serving("commands", settings_at(address), port=0) as commands, shop_at(commands) as shop:
            orders = [await shop.placed(await shop.product()) for _ in range(3)]
        async with client_of(address) as client:
            await other_events(client, 1_100)
            await until_read(client)
    async with (
        node(tmp_path, like_24_10=True) as address,
        serving("processes", settings_at(address), port=0),
        client_of(address) as client,
    ):
        for order_id in orders:
            await until_begun(client, order_id)
