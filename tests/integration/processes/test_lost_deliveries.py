"""Events that the group does not deliver: orders still get their process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from esdbclient import NewEvent, StreamState

from core.config import Settings
from core.eventstore.checkout_group import NAME, SETTINGS
from core.eventstore.connection import Client, connect
from core.eventstore.log import EventLog, point_of
from core.eventstore.persistent import ALL, Groups
from core.eventstore.store import EventStore
from core.eventstore.swept import STREAM, Swept
from core.eventstore.swept import swept as swept_of
from embedded.eventstore.node import node
from projections.verification.processes import YOUNG, ProcessVerifier
from server.app import serving
from tests.integration.processes.conftest import world_of
from tests.support.calling import shop_at
from tests.support.eventually import eventually

SOON, NEVER = 0.4, 3600.0  # seconds between two sweeps
MAX_BUFFERED = 300  # events; the group's buffer holds 500, and is filled in pages of 200


@asynccontextmanager
async def client_of(address: str) -> AsyncIterator[Client]:
    client = await connect(f"esdb://{address}?Tls=false")
    yield client
    await client.close()


def settings_at(address: str, *, sweep_every: float = NEVER, run_by_hand: bool = False) -> Settings:
    uri = f"esdb://{address}?Tls=false"
    return Settings(eventstore_uri=uri, grace=1.0, sweep_every=sweep_every, run_by_hand=run_by_hand)


async def other_events(client: Client, number: int) -> None:
    events = [NewEvent(type="Noise", data=b"{}") for _ in range(number)]
    await client.append_to_stream("noise", current_version=StreamState.ANY, events=events)


async def until_read(client: Client) -> None:
    """Until the group has read all that it reads without a consumer."""
    end = await EventLog(client).end()

    async def has_read() -> bool:
        info = await Groups(EventLog(client)).info(ALL, NAME)
        known = int(info.last_known_event_position.partition("/")[0].removeprefix("C:"))
        return known >= end or info.read_buffer_count >= MAX_BUFFERED

    await eventually(has_read)


async def lose_deliveries(client: Client) -> None:
    """What the group has not delivered so far it never will."""
    await other_events(client, 1)  # where the group begins: that is delivered too
    if NAME in await Groups(EventLog(client)).checkpoints(ALL):
        await client.delete_subscription(NAME)
    await Groups(EventLog(client)).create_on_all(NAME, await EventLog(client).end(), **SETTINGS)


async def types_in(client: Client, stream: str) -> list[str]:
    return [event.type async for event in EventLog(client).events(stream)]


async def until_begun(client: Client, order_id: str) -> None:
    await eventually(lambda: types_in(client, f"checkout-{order_id}"))


async def swept(client: Client) -> Swept:
    return swept_of(await EventLog(client).newest(STREAM, 1))


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with node(None) as address:
        yield address


@pytest.fixture
async def client(address: str) -> AsyncIterator[Client]:
    async with client_of(address) as client:
        yield client


async def test_orders_placed_while_no_consumer_runs_get_their_process(tmp_path: Path) -> None:
    """The store forgets what waits for a group with a filter, as real ones do."""
    async with node(tmp_path, like_24_10=True) as address:
        async with serving("processes", settings_at(address), port=0), client_of(address) as client:
            await eventually(lambda: Groups(EventLog(client)).checkpoints(ALL), lambda groups: NAME in groups)
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


async def test_an_order_whose_every_delivery_was_lost_gets_its_process_from_the_sweep(
    address: str, client: Client
) -> None:
    async with serving("commands", settings_at(address), port=0) as commands, shop_at(commands) as shop:
        orders = [await shop.placed(await shop.product()) for _ in range(3)]
    await lose_deliveries(client)
    verifier = ProcessVerifier(EventLog(client), lambda: datetime.now(UTC) + 2 * YOUNG)
    before = await verifier.verify(10)
    async with serving("processes", settings_at(address, sweep_every=SOON), port=0):
        for order_id in orders:
            await until_begun(client, order_id)
        await eventually(lambda: swept(client), lambda now: now.begun == 3)
    after = await verifier.verify(10)
    assert {one.order_id for one in before.listed} == set(orders)
    assert (before.missing, before.swept) == (3, Swept())
    assert (after.missing, after.swept.begun, after.swept.left) == (0, 3, ())


async def test_a_process_that_runs_is_woken_by_the_sweep_when_an_event_was_lost(address: str, client: Client) -> None:
    log = EventStore(EventLog(client))
    async with serving("commands", settings_at(address), port=0) as commands:
        async with world_of(settings_at(address), commands, log) as world:
            order_id = await world.shop.placed(await world.product_in_stock(5))
            await world.until(f"order-{order_id}", "OrderConfirmed")
        async with shop_at(commands) as shop:
            await shop.cancel(order_id)
        await lose_deliveries(client)
        async with world_of(settings_at(address, sweep_every=SOON), commands, log) as world:
            await world.until(f"checkout-{order_id}", "CheckoutEnded")
            await eventually(lambda: swept(client), lambda now: (now.begun, now.brought_on) == (0, 1))
    await log.close()


async def test_an_order_of_before_the_marker_is_left_to_an_operator(address: str, client: Client) -> None:
    by_hand = settings_at(address, run_by_hand=True)
    async with serving("commands", by_hand, port=0) as commands, shop_at(commands) as shop:
        former = await shop.placed(await shop.product())
        async with serving("processes", settings_at(address, sweep_every=SOON), port=0):
            order_id = await shop.placed(await shop.product())
            await shop.confirm(former)
            [confirmed] = await EventLog(client).newest(f"order-{former}", 1)
            await eventually(lambda: swept(client), lambda now: now.point >= point_of(confirmed))
            await until_begun(client, order_id)
    assert await types_in(client, f"checkout-{former}") == []
