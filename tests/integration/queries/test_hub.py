"""What all watches of a process share: one subscription, bounded queues, an end when the store is gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from typing import Any

import pytest

from core.eventstore.connection import Client, connect
from core.eventstore.log import EventLog, LogPoint
from core.failures import Draining, WatchTooSlow
from server.queries.watching.changes import Change
from server.queries.watching.hub import Hub, Limits
from tests.support.eventually import eventually
from tests.support.orders import cancelled
from tests.support.views import append, append_broken, new_order

LIMITS = Limits(watches=200, waiting=20, heartbeat=0.2)


class Counting:
    """The store's client; counts the subscriptions that are made."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.subscriptions = 0
        self.last: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def subscribe_to_all(self, **arguments: Any) -> Any:
        self.subscriptions += 1
        self.last = await self._client.subscribe_to_all(**arguments)
        return self.last


@pytest.fixture
async def client(eventstore_uri: str) -> AsyncIterator[Client]:
    client = await connect(eventstore_uri)
    yield client
    await client.close()


@pytest.fixture
def counting(client: Client) -> Counting:
    return Counting(client)


@pytest.fixture
async def hub(client: Client, counting: Counting) -> AsyncIterator[Hub]:
    hub = Hub(EventLog(counting), LIMITS)  # type: ignore[arg-type]  # it passes everything on to the client
    async with hub.open():
        yield hub


async def received(watch: Any, number: int) -> list[Change]:
    seen: list[Change] = []
    async with asyncio.timeout(20), aclosing(watch.changes()) as changes:
        async for change in changes:
            if isinstance(change, Change):
                seen.append(change)
            if len(seen) == number:
                return seen
    raise AssertionError("it ended")


async def test_a_hundred_watches_share_one_subscription(client: Client, hub: Hub, counting: Counting) -> None:
    order = new_order()
    order_id = order[0].order_id
    async with AsyncExitStack() as stack:
        watches = [
            await stack.enter_async_context(hub.watch(lambda change: change.order_id == order_id)) for _ in range(100)
        ]
        await append(client, order)
        for watch in watches:
            assert [change.event.type for change in await received(watch, 4)][-1] == "OrderConfirmed"
    assert counting.subscriptions == 1


async def test_who_does_not_take_what_comes_is_ended_and_the_others_go_on(client: Client, hub: Hub) -> None:
    mine = [new_order() for _ in range(8)]
    ids = {order[0].order_id for order in mine}
    async with (
        hub.watch(lambda change: change.order_id in ids) as slow,
        hub.watch(lambda change: change.order_id in ids) as quick,
    ):
        for order in mine:
            await append(client, order)
            await received(quick, len(order))
        with pytest.raises(WatchTooSlow):
            await received(slow, 100)


async def test_a_subscription_that_breaks_is_made_again_and_nothing_is_lost(
    client: Client, hub: Hub, counting: Counting
) -> None:
    order = new_order()
    order_id = order[0].order_id
    async with hub.watch(lambda change: change.order_id == order_id) as watch:
        await append(client, order[:2])
        before = await received(watch, 2)
        await counting.last.stop()
        await append(client, order[2:])
        after = await received(watch, 2)
    assert [change.event.stream_position for change in before + after] == [0, 1, 2, 3]
    assert counting.subscriptions >= 2


async def test_an_event_that_nobody_can_read_holds_up_nobody_else(client: Client, hub: Hub) -> None:
    broken, whole = new_order(), new_order()
    ids = {broken[0].order_id, whole[0].order_id}
    async with hub.watch(lambda change: change.order_id in ids) as watch:
        await append(client, broken[:1])
        await append_broken(client, broken[0].order_id)
        await append(client, broken[1:2])
        await append(client, whole[:1])
        seen = [(change.order_id, change.unread and change.unread.events) for change in await received(watch, 4)]
    bad = broken[0].order_id
    assert seen == [(bad, None), (bad, 1), (bad, 2), (whole[0].order_id, None)]


async def test_a_watch_of_one_order_costs_nothing_for_the_others(client: Client, hub: Hub) -> None:
    mine, other = new_order(), new_order()
    asked: list[str] = []

    def wanted(change: Change) -> bool:
        asked.append(change.order_id)
        return True

    async with hub.watch(wanted, mine[0].order_id) as watch:
        await append(client, other)
        await append(client, mine)
        await received(watch, 4)
    assert set(asked) == {mine[0].order_id}


async def test_an_order_known_from_long_ago_is_folded_from_its_stream(client: Client, hub: Hub) -> None:
    order = new_order()
    order_id = order[0].order_id
    await append(client, order)
    async with hub.watch(lambda change: change.order_id == order_id) as watch:
        await append(client, [replace(cancelled(), order_id=order_id)])
        [change] = await received(watch, 1)
    assert change.before is not None
    assert (change.before["status"], change.after["status"]) == ("CONFIRMED", "CANCELLED")


async def test_draining_ends_all_watches_and_lets_none_join(hub: Hub) -> None:
    async with hub.watch(lambda _: True) as watch:
        hub.drain()
        with pytest.raises(Draining):
            await received(watch, 1)
    with pytest.raises(Draining):
        async with hub.watch(lambda _: True):
            pass


async def test_a_silence_reports_how_far_the_log_has_been_looked_through(client: Client, hub: Hub) -> None:
    async with hub.watch(lambda _: False) as watch:
        last = await append(client, new_order())

        async def position() -> int:
            async with aclosing(watch.changes()) as changes:
                silence = await anext(changes)
                assert isinstance(silence, LogPoint), "no change is wanted"
                return silence.position

        await eventually(position, lambda now: now >= last)
