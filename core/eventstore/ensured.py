"""What a service needs done in the event store: attempted at its start, and again until the event store answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from core.background import beside
from core.backoff import Backoff
from core.failures import StoreFailure, StoreRefusal, StreamGone

log = structlog.get_logger()

FIRST_PAUSE, MAX_PAUSE = 0.1, 5.0  # seconds

Attempt = Callable[[], Awaitable[object]]


@asynccontextmanager
async def ensured(attempt: Attempt, trouble: str, *, again: asyncio.Event | None = None) -> AsyncIterator[None]:
    """The block starts after the first attempt. While it is open, there are others until one succeeds, and whenever
    `again` is set. `trouble` is logged with each failure.

    Raises a `StoreRefusal` of the first attempt; later an operator may resolve it.
    """
    is_done = await _succeeds(attempt, trouble, passing=StoreRefusal)
    async with beside(_until_done(attempt, trouble, again, is_done=is_done)):
        yield


async def until_done(attempt: Attempt, trouble: str) -> None:
    """Attempt it until it succeeds."""
    await _until_done(attempt, trouble, None, is_done=await _succeeds(attempt, trouble))


async def _until_done(attempt: Attempt, trouble: str, again: asyncio.Event | None, *, is_done: bool) -> None:
    backoff = Backoff(FIRST_PAUSE, MAX_PAUSE)
    while not is_done or again is not None:
        if is_done and again is not None:
            await again.wait()
            backoff.reset()
        else:
            await backoff.rest()
        if again is not None:
            again.clear()
        is_done = await _succeeds(attempt, trouble)


async def _succeeds(attempt: Attempt, trouble: str, passing: type[StoreFailure] | tuple[()] = ()) -> bool:
    try:
        await attempt()
    except passing:
        raise
    except (StoreFailure, StreamGone) as failure:
        log.warning(trouble, error=str(failure))
        return False
    return True
