"""Readers first: how long to wait between two chunks of a rebuild.

The view store serves the rebuild and the readers alike. Between two chunks it is asked for one small document; if the
answer takes much longer than it could, others are waiting there, and the rebuild steps back to a quarter of its speed.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

SLOW = 2.0  # times the quickest answer: somebody is waiting
BACK = 3.0  # times the work that is done between two pauses
FORGET = 1.02  # the quickest answer is forgotten slowly: a machine can become slower for good
SMOOTH = 0.3  # weight of the latest answer
LONGEST = 0.5  # seconds


class Pace:
    """`ask` asks the view store for one small document."""

    def __init__(self, ask: Callable[[], Awaitable[object]]) -> None:
        self._ask = ask
        self._quickest = 0.0
        self._usual = 0.0
        self._worked_from = time.monotonic()

    async def pause(self) -> None:
        """Call it after each chunk."""
        worked = time.monotonic() - self._worked_from
        asked = time.monotonic()
        await self._ask()
        self._learn(time.monotonic() - asked)
        if self._usual > SLOW * self._quickest:
            await asyncio.sleep(min(LONGEST, BACK * worked))
        self._worked_from = time.monotonic()

    def _learn(self, took: float) -> None:
        self._quickest = min(took, self._quickest * FORGET) if self._quickest else took
        self._usual = SMOOTH * took + (1 - SMOOTH) * self._usual if self._usual else took
