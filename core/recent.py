"""A value that many callers need and one read provides."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """The result of a `read` that began at most `good_for` seconds ago: one read for all concurrent callers.

    A failure is raised to all callers that wait for it, and is not kept.
    """

    def __init__(
        self,
        read: Callable[[], Coroutine[Any, Any, T]],
        good_for: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._good_for = good_for
        self._clock = clock
        self._begun_at = 0.0
        self._reading: asyncio.Task[T] | None = None

    def forget(self) -> None:
        """The next caller reads it again."""
        self._reading = None

    async def get(self) -> T:
        reading, now = self._reading, self._clock()
        if reading is None or now - self._begun_at > self._good_for:
            reading = self._reading = asyncio.create_task(self._read())
            self._begun_at = now
            reading.add_done_callback(self._ended)
        return await asyncio.shield(reading)  # the cancellation of one caller does not affect the others

    def _ended(self, reading: asyncio.Task[T]) -> None:
        if (reading.cancelled() or reading.exception() is not None) and reading is self._reading:
            self._reading = None
