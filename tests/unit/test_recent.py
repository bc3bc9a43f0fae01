"""One read for all who ask within some seconds."""

import asyncio

import pytest

from core.recent import Recent


class Source:
    """Gives one number after the other, when it is let."""

    def __init__(self) -> None:
        self.now = 100.0
        self.reads = 0
        self.fails = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.recent = Recent(self.read, good_for=1.0, clock=lambda: self.now)

    async def read(self) -> int:
        self.reads += 1
        mine = self.reads
        await self.may_answer.wait()
        if self.fails:
            raise ConnectionError
        return mine


async def test_who_ask_at_the_same_time_are_answered_by_one_read() -> None:
    source = Source()
    source.may_answer.clear()
    asking = [asyncio.create_task(source.recent.get()) for _ in range(9)]
    await asyncio.sleep(0)
    source.may_answer.set()
    assert await asyncio.gather(*asking) == [1] * 9


async def test_a_value_is_good_for_a_while_from_the_beginning_of_its_read() -> None:
    source = Source()
    assert await source.recent.get() == 1
    source.now += 1.0
    assert await source.recent.get() == 1
    source.now += 0.1
    assert await source.recent.get() == 2


async def test_what_is_forgotten_is_read_again() -> None:
    source = Source()
    assert await source.recent.get() == 1
    source.recent.forget()
    assert await source.recent.get() == 2


async def test_a_failure_is_not_kept() -> None:
    source = Source()
    source.fails = True
    with pytest.raises(ConnectionError):
        await source.recent.get()
    source.fails = False
    assert await source.recent.get() == 2


async def test_who_is_cancelled_takes_the_answer_from_nobody() -> None:
    source = Source()
    source.may_answer.clear()
    first, second = (asyncio.create_task(source.recent.get()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    source.may_answer.set()
    assert (first.cancelled(), await second) == (True, 1)
