"""Deadlines are judged by the event store's time: a clock of ours may only make something end later."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from core.domain.order import ORDER
from core.domain.order.state import Placed
from core.eventstore.store_time import FRESH, StoreTime
from tests.support.memory_store import MemoryStore
from tests.support.orders import NOON, ORDER_ID, created, placed
from tests.support.stored import write

LATER = NOON + timedelta(hours=1)
HOURS = timedelta(hours=2)


class World:
    """Two clocks, our monotonic one, and how often the store was asked."""

    def __init__(self) -> None:
        self.ours = self.theirs = NOON
        self.monotonic = 0.0
        self.asked = 0
        self.store = MemoryStore(lambda: self.theirs)
        self.time = StoreTime(_Counting(self), lambda: self.ours, monotonic=lambda: self.monotonic)

    def passes(self, seconds: float) -> None:
        self.ours += timedelta(seconds=seconds)
        self.theirs += timedelta(seconds=seconds)
        self.monotonic += seconds


class _Counting(MemoryStore):
    def __init__(self, world: World) -> None:
        super().__init__(lambda: world.theirs)
        self._world = world

    async def now(self) -> datetime:
        self._world.asked += 1
        return await super().now()

    def read(self, stream: str, start: int = 0, most: int | None = None) -> Any:
        return self._world.store.read(stream, start, most)


@pytest.mark.parametrize(
    ("ours", "theirs", "has_passed"),
    [
        (timedelta(0), timedelta(0), True),
        (HOURS, -HOURS, False),  # our clock is ahead
        (-HOURS, HOURS, False),  # our clock is behind
        (HOURS, HOURS, True),
        (timedelta(microseconds=-1), timedelta(0), False),
        (timedelta(0), timedelta(microseconds=-1), False),
    ],
)
async def test_a_deadline_has_passed_when_both_clocks_say_so(
    ours: timedelta, theirs: timedelta, has_passed: bool
) -> None:
    world = World()
    world.ours, world.theirs = LATER + ours, LATER + theirs
    assert (await world.time.at(LATER) >= LATER) is has_passed


async def test_the_store_is_not_asked_while_our_clock_says_not_yet() -> None:
    world = World()
    await world.time.at(LATER)
    assert world.asked == 0


async def test_many_deadlines_that_seem_to_have_come_cost_one_question() -> None:
    world = World()
    world.ours += HOURS
    for _ in range(30):
        assert await world.time.at(LATER) < LATER
    assert world.asked == 1
    world.passes(FRESH)
    await world.time.at(LATER)
    assert world.asked == 2


async def test_a_deadline_that_comes_is_never_taken_from_an_earlier_answer() -> None:
    world = World()
    world.ours += HOURS
    near = NOON + timedelta(seconds=1)
    assert await world.time.at(near) < near
    world.passes(1)
    assert await world.time.at(near) == near
    assert world.asked == 2


class TestAnOrder:
    async def placed(self, world: World, *, ahead: timedelta) -> Placed:
        """By a command service whose clock is ahead of the store's by so much."""
        world.theirs = NOON - ahead
        await write(world.store, ORDER.stream(ORDER_ID), created(), placed())
        order = ORDER.fold([created(), placed()])
        assert isinstance(order, Placed)
        assert order.placed_at == NOON == placed().at
        return order

    async def test_that_was_dated_by_a_clock_behind_gets_the_difference_back(self) -> None:
        world = World()
        order = await self.placed(world, ahead=-HOURS)
        world.ours = world.theirs = order.expires_at
        assert await world.time.for_order(order) < order.expires_at
        world.ours = world.theirs = order.expires_at + HOURS
        assert await world.time.for_order(order) >= order.expires_at

    async def test_that_was_dated_by_a_clock_ahead_expires_later(self) -> None:
        world = World()
        order = await self.placed(world, ahead=HOURS)
        world.ours, world.theirs = order.expires_at + HOURS, order.expires_at - timedelta(seconds=1)
        assert await world.time.for_order(order) < order.expires_at
        world.theirs = order.expires_at
        world.monotonic += FRESH
        assert await world.time.for_order(order) >= order.expires_at
