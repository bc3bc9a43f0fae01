"""Timers over a real event store: nothing that is open is lost, and what is over is not read at every start."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from esdbclient import NewEvent, StreamState

from core.domain.checkout.events import CheckoutEnded, CheckoutStarted
from core.domain.checkout.steps import Wait
from core.eventstore import codec
from core.eventstore.connection import Client, connect
from core.eventstore.log import EventLog
from core.eventstore.store import EventStore
from core.failures import StoreUnavailable
from embedded.stack import embedded_eventstore
from server.processes.command_sender import Cause
from server.processes.resume_position import ResumePosition
from server.processes.timers import TYPES, Timers
from tests.support import orders
from tests.support.calling import fresh_id
from tests.support.eventually import eventually
from tests.support.older_log import copied, node
from tests.support.orders import NOON
from tests.support.processes import free_port, running


@pytest.fixture
def own_log() -> Iterator[str]:
    """An empty log for each test: the mark of the timers is one for all of a log."""
    with running("embedded", "eventstore", "--port", "0", "--memory") as node:
        yield node.ready["uri"]


@pytest.fixture
async def client(own_log: str) -> AsyncIterator[Client]:
    client = await connect(own_log)
    yield client
    await client.close()


class World:
    """Orders with deadlines, a clock, and who was woken."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.store = EventStore(EventLog(client))
        self.now = NOON
        self.woken: list[str] = []
        self.fails = False

    async def wake(self, order_id: str, _: Cause) -> Wait:
        self.woken.append(order_id)
        if self.fails:
            raise StoreUnavailable("event")
        return Wait(what="nothing")

    def clock(self) -> datetime:
        return self.now

    async def write(self, stream: str, event: Any) -> int:
        return await self.client.append_to_stream(
            stream, current_version=StreamState.ANY, events=[NewEvent(*codec.encode(event))]
        )

    async def started(self, minutes: int) -> str:
        """An order whose deadline is in so many minutes."""
        order_id = fresh_id()
        deadline = NOON + timedelta(minutes=minutes)
        await self.write(
            f"checkout-{order_id}",
            CheckoutStarted(id_version=8, order_id=order_id, lines=(), deadline=deadline, at=NOON),
        )
        return order_id

    async def ended(self, order_id: str) -> int:
        return await self.write(f"checkout-{order_id}", CheckoutEnded(order_id=order_id, outcome="COMPLETED", at=NOON))

    async def confirmed(self, order_id: str) -> int:
        return await self.write(f"order-{order_id}", replace(orders.confirmed(), order_id=order_id))

    async def mark(self) -> int:
        return await ResumePosition(self.store, TYPES).find()

    async def were_woken(self) -> list[str]:
        return list(self.woken)

    @asynccontextmanager
    async def timers(self) -> AsyncIterator[None]:
        """As after a start."""
        self.woken.clear()
        task = asyncio.create_task(Timers(self.store, self.wake, self.clock, at_once=4, save_every=0.02).run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def world(client: Client) -> AsyncIterator[World]:
    world = World(client)
    yield world
    await world.store.close()


async def test_a_start_reads_what_is_open_and_not_what_is_over(world: World) -> None:
    for _ in range(3):
        over = await world.ended(await world.started(10))
        await world.confirmed(await world.started(10))
    open_one, last = await world.started(10), await world.ended(await world.started(10))
    async with world.timers():
        mark = await eventually(world.mark)
        assert over < mark < last
    world.now += timedelta(minutes=10)
    async with world.timers():
        await eventually(world.were_woken, lambda now: now == [open_one])
        await eventually(world.mark, lambda now: now >= last)
    async with world.timers():
        another = await world.started(5)
        await eventually(world.were_woken, lambda now: now == [another])


async def test_a_deadline_that_has_come_is_kept_until_the_process_has_looked(world: World) -> None:
    order_id = await world.started(10)
    later = await world.ended(await world.started(20))
    world.now += timedelta(minutes=10)
    world.fails = True
    async with world.timers():
        await eventually(world.were_woken)
        assert await world.mark() < later
    async with world.timers():
        await eventually(world.were_woken, lambda now: order_id in now)
        world.fails = False
        await eventually(world.mark, partial(int.__le__, later))


async def test_a_mark_that_nobody_can_read_is_none(world: World) -> None:
    open_one = await world.started(10)
    await world.ended(await world.started(10))
    async with world.timers():
        pass
    await ResumePosition(world.store, TYPES).keep(1)
    [marked] = [x async for x in await world.client.read_all() if x.type == "TimersMark"][-1:]
    await world.client.append_to_stream(
        marked.stream_name, current_version=StreamState.ANY, events=[NewEvent("TimersMark", b"{nonsense")]
    )
    world.now += timedelta(minutes=10)
    async with world.timers():
        await eventually(world.were_woken, lambda now: now == [open_one])


async def test_a_deadline_in_a_log_that_was_restored_is_not_passed_over(tmp_path: Path) -> None:
    """The timers go on through it: what they had read lies behind what the restored log has got since."""
    data, port = tmp_path / "data", free_port()
    async with node(data) as writer:
        await World(writer).started(20)
    copy = copied(data)
    async with node(copy) as writer:
        new = await World(writer).started(10)
        for _ in range(5):  # it grows beyond what will be read, with an event wherever there will be one
            await World(writer).started(20)
    async with AsyncExitStack() as until_the_end, AsyncExitStack() as until_it_is_restored:
        world = World(await until_it_is_restored.enter_async_context(node(data, port)))
        client = await connect(f"esdb://127.0.0.1:{port}?Tls=false")
        until_the_end.push_async_callback(client.close)
        of_timers = World(client)
        await until_the_end.enter_async_context(of_timers.timers())
        for _ in range(3):
            await world.started(0)
        await eventually(of_timers.were_woken, lambda now: len(now) == 3)
        await until_it_is_restored.aclose()
        of_timers.now += timedelta(minutes=10)
        async with embedded_eventstore(copy, port=port):
            await eventually(of_timers.were_woken, lambda now: new in now, within=60.0)
