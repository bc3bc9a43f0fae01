"""Work beside a block ends with it, whatever it does with a cancellation."""

import asyncio

import pytest

from server import background
from server.background import beside


async def test_work_that_swallows_a_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "AGAIN", 0.01)
    begun, swallowed, ended = asyncio.Event(), 0, asyncio.Event()

    async def work() -> None:
        nonlocal swallowed
        try:
            while True:
                begun.set()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    if swallowed == 2:
                        raise
                    swallowed += 1
        finally:
            ended.set()

    async with asyncio.timeout(10):
        async with beside(work()):
            await begun.wait()
    assert (swallowed, ended.is_set()) == (2, True)


async def test_what_the_work_raised_is_raised_at_the_end() -> None:
    failed = asyncio.Event()

    async def work() -> None:
        failed.set()
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        async with beside(work()):
            await failed.wait()
