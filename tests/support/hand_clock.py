"""Time that passes when a test says so."""

import asyncio
import math

WITHIN = 10.0  # seconds until there is a sleeper


class HandClock:
    """`sleep` is what is given to the code under test."""

    def __init__(self) -> None:
        self._now = 0.0
        self._asleep: list[tuple[float, asyncio.Future[None]]] = []
        self._came = asyncio.Event()
        self._is_let_go = False

    async def sleep(self, seconds: float) -> None:
        due = round(self._now + seconds, 6)
        if due <= self._now or self._is_let_go:
            return
        awake = asyncio.get_running_loop().create_future()
        self._asleep.append((due, awake))
        self._came.set()
        await awake

    async def advance(self, seconds: float) -> None:
        """Wake the sleepers whose time has come, once there is a sleeper."""
        async with asyncio.timeout(WITHIN):
            while not self._asleep:
                self._came.clear()
                await self._came.wait()
        self._now = round(self._now + seconds, 6)
        self._wake()

    def let_go(self) -> None:
        """From now on no sleep takes time."""
        self._is_let_go = True
        self._now = math.inf
        self._wake()

    def _wake(self) -> None:
        for _, awake in [one for one in self._asleep if one[0] <= self._now]:
            if not awake.done():  # its task may have been cancelled
                awake.set_result(None)
        self._asleep = [one for one in self._asleep if one[0] > self._now]
