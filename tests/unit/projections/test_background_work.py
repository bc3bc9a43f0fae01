"""Work of a view beside its runners."""

import asyncio
import gc

from projections.lifecycle.background_work import BackgroundWork


async def test_work_that_is_cancelled_before_its_first_step_leaves_nothing_behind() -> None:
    """A coroutine that was made and never awaited is a warning, and here an error, at some later moment."""

    async def never(_: int) -> None:
        raise AssertionError("it was cancelled before")

    work = BackgroundWork("order_list", 0.0)
    work.spawn("audit", never, 1)
    work.cancel()
    await work.ended()
    gc.collect()


async def test_each_kind_of_it_runs_once_at_a_time() -> None:
    begun, go_on = list[int](), asyncio.Event()

    async def waits(number: int) -> None:
        begun.append(number)
        await go_on.wait()

    work = BackgroundWork("order_list", 0.0)
    for number in range(2):
        work.spawn("audit", waits, number)
        await asyncio.sleep(0)
    go_on.set()
    await work.ended()
    assert begun == [0]
