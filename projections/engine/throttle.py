"""Readers first: how much is done at once, and how long to wait before more, while a view is made beside a live one.

The view store serves both. Between two chunks it is asked for one small document. That is answered quickly or it waits
behind somebody else; if it waited several times of late, there are readers, and the work goes on in smaller chunks with
rests that leave it a quarter of its speed.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

SLOW = 2.0  # times the quickest answer: it waited for somebody
FORGET = 1.02  # the quickest answer is forgotten slowly: a machine can become slower for good
LOOKED_BACK = 20  # answers
SOMEBODY = 3  # of them waited: more than chance
CHUNK_WHEN_ALONE, CHUNK_WHEN_SHARED = 40, 8  # documents in one write
REST_FACTOR = 3.0  # times the work that is done between two rests
MAX_REST = 0.5  # seconds


class ReaderAwareThrottle:
    """`ask` asks the view store for one small document; `clock` is monotonic. Times are in seconds."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[object]],
        clock: Callable[[], float] = time.monotonic,
        rest: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._rest = rest
        self._quickest = 0.0
        self._waited: deque[bool] = deque(maxlen=LOOKED_BACK)
        self._worked_from = self._clock()

    @property
    def is_shared(self) -> bool:
        """Whether others wait for the view store too."""
        return sum(self._waited) >= SOMEBODY

    @property
    def chunk(self) -> int:
        """Documents to be written, or events to be folded, before the next pause."""
        return CHUNK_WHEN_SHARED if self.is_shared else CHUNK_WHEN_ALONE

    async def yield_to_readers(self) -> None:
        """Call it after each chunk."""
        asked = self._clock()
        worked = asked - self._worked_from
        await self._ask()
        self._learn(self._clock() - asked)
        if self.is_shared:
            await self._rest(min(MAX_REST, REST_FACTOR * worked))
        self._worked_from = self._clock()

    def _learn(self, took: float) -> None:
        self._quickest = min(took, self._quickest * FORGET) if self._quickest else took
        self._waited.append(took > SLOW * self._quickest)
