"""The throttle: readers first. It sets the size of chunks and the rests while a view is built beside a live one.

The view store serves both. Between two chunks it is asked for one small document. That is answered quickly, or it waits
behind others; if it waited several times recently, there are readers, and the work goes on in smaller chunks with
rests that leave it a quarter of its speed. A chunk is as many documents as the store writes within a few milliseconds:
so long a reader waits at most.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

SLOW = 2.0  # times the quickest answer: it waited for others
FORGET = 1.02  # the quickest answer decays slowly: a machine can become slower for good
LOOKED_BACK = 20  # answers
OTHERS = 3  # of them waited: more than chance
CHUNK_WHEN_ALONE, CHUNK_WHEN_SHARED = 40, 8  # documents in one write, before any write was measured
TIME_WHEN_ALONE, TIME_WHEN_SHARED = 0.005, 0.002  # seconds of one write
MIN_CHUNK, MAX_CHUNK = 4, 2_000  # documents in one write
SMOOTHING = 0.2  # share of the last write in the average time of a document
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
        self._per_document = 0.0  # seconds

    @property
    def is_shared(self) -> bool:
        """Whether others use the view store too."""
        return sum(self._waited) >= OTHERS

    @property
    def chunk(self) -> int:
        """Documents to be written before the next pause."""
        if not self._per_document:
            return CHUNK_WHEN_SHARED if self.is_shared else CHUNK_WHEN_ALONE
        seconds = TIME_WHEN_SHARED if self.is_shared else TIME_WHEN_ALONE
        return max(MIN_CHUNK, min(MAX_CHUNK, int(seconds / self._per_document)))

    @contextmanager
    def writing(self, documents: int) -> Iterator[None]:
        """Around the write of a chunk, so that the next one takes the right time."""
        began = self._clock()
        yield
        took = (self._clock() - began) / documents
        known = self._per_document or took
        self._per_document = (1 - SMOOTHING) * known + SMOOTHING * took

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
