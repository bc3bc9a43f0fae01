"""A value that many ask for and one read answers."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """What `read` returned, begun at most `good_for` seconds ago: one read for all who ask meanwhile.

    A failure is raised to all who wait for it, and is not kept.
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
        """Who asks from now on has it read anew."""
        self._reading = None

    async def get(self) -> T:
        reading, now = self._reading, self._clock()
        if reading is None or now - self._begun_at > self._good_for:
            reading = self._reading = asyncio.create_task(self._read())
            self._begun_at = now
            reading.add_done_callback(self._ended)
        return await asyncio.shield(reading)  # who is cancelled keeps the others waiting no longer

    def _ended(self, reading: asyncio.Task[T]) -> None:
        if (reading.cancelled() or reading.exception() is not None) and reading is self._reading:
            self._reading = None
