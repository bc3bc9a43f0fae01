"""Background work that ends with a block, concurrent work, and waiting for an event."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import structlog

log = structlog.get_logger()

T = TypeVar("T")

AGAIN = 0.5  # seconds between two cancellations of work that does not end
MAX_ATTEMPTS = 20


async def ended(task: asyncio.Task[Any]) -> bool:
    """Cancel a task until it ends; returns whether it ended.

    The client of the event store swallows a cancellation that arrives while it ends a read, and the work would never
    end. So the task is cancelled `MAX_ATTEMPTS` times at most.
    """
    for _ in range(MAX_ATTEMPTS):
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN)
        if task.done():
            return True
    log.error("work in the background does not end", work=repr(task))
    return False


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait so long for an event; whether it is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` while the block runs, and cancel it at the end. Then its exception is raised, if it had one."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        if await ended(task):
            with suppress(asyncio.CancelledError):
                task.result()


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all, run concurrently. The first failure cancels the others and is raised as it is, not as a
    group.

    A group would reach the caller as INTERNAL whatever it contains, and would not be retried.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except ExceptionGroup as failed:
        first = failed.exceptions[0]
    else:
        return [task.result() for task in tasks]
    raise first
