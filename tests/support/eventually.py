"""Waiting for something that becomes true, with a deadline instead of a sleep of fixed length."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T]], until: Callable[[T], bool] = bool, within: float = 20.0) -> T:
    """What `look` returns once `until` holds for it."""
    deadline = time.monotonic() + within
    while True:
        seen = await look()
        if until(seen):
            return seen
        assert time.monotonic() < deadline, f"after {within} s it is still {seen!r}"
        await asyncio.sleep(0.02)


def polled(look: Callable[[], T], until: Callable[[T], bool] = bool, within: float = 20.0) -> T:
    """The same for tests that wait for other processes and have no event loop."""
    deadline = time.monotonic() + within
    while not until(seen := look()):
        assert time.monotonic() < deadline, f"after {within} s it is still {seen!r}"
        time.sleep(0.05)
    return seen
