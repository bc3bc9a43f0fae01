"""Work beside a block ends with it, whatever it does with a cancellation."""

import asyncio
from pathlib import Path

import pytest

from core import background
from core.background import beside, set_within, together
from core.failures import StoreUnavailable


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


async def test_side_by_side_the_first_failure_is_raised_as_it_is_and_ends_the_others() -> None:
    others = asyncio.Event()

    async def goes_on() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            others.set()

    async def fails() -> None:
        raise StoreUnavailable("event")

    with pytest.raises(StoreUnavailable):
        await together([goes_on(), fails()])
    assert others.is_set()


async def test_side_by_side_all_results_come_in_their_order() -> None:
    async def one(number: int) -> int:
        return number

    assert await together(map(one, range(3))) == [0, 1, 2]


@pytest.mark.parametrize("package", ["server", "projections"])
def test_no_group_of_tasks_reaches_a_caller(package: str) -> None:
    """A failure that leaves a task group is a group of failures: `together` takes it out again."""
    own = Path(background.__file__)
    sources = [file for file in (own.parents[1] / package).rglob("*.py") if file != own]
    assert [file.name for file in sources if "TaskGroup" in file.read_text()] == []


async def test_an_event_that_is_set_in_time_is_reported() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().call_soon(event.set)
    assert await set_within(event, 10.0)
    assert await set_within(event, 0.0)


async def test_an_event_that_is_not_set_in_time_is_reported() -> None:
    assert not await set_within(asyncio.Event(), 0.01)
