"""Back-off: pauses between attempts at what may fail for a while."""

import asyncio
import random


class Backoff:
    """Each pause may be twice as long as the previous one, up to `longest`; both are in seconds.

    The actual pause is random, shorter by up to the share `jitter` of it, so that concurrent callers do not retry
    at once. After `attempts` pauses without a success the caller gives up (`is_spent`). A loop that goes on after a
    success has an `interval`: the pause then, exactly.
    """

    def __init__(
        self,
        first: float,
        longest: float,
        *,
        interval: float | None = None,
        attempts: int | None = None,
        jitter: float = 0.5,
    ) -> None:
        self._first = min(first, longest)
        self._longest = longest
        self._interval = interval
        self._attempts = attempts
        self._jitter = jitter
        self._next = self._first
        self._due: float | None = None  # the interval, if the last attempt succeeded
        self.failures = 0  # since the last success, each with its pause

    def reset(self) -> None:
        """An attempt succeeded: the next pause is the interval if there is one, and then the first one again."""
        self._next, self._due = self._first, self._interval
        self.failures = 0

    def exhaust(self) -> None:
        """No success is expected soon: the next pause is the longest one."""
        self._next, self._due = self._longest, None

    @property
    def is_spent(self) -> bool:
        return self.failures == self._attempts

    def pause(self) -> float:
        """The next pause."""
        if self._due is not None:
            pause, self._due = self._due, None
            return pause
        self.failures += 1
        pause, self._next = self._next, min(2 * self._next, self._longest)
        return pause * random.uniform(1 - self._jitter, 1.0)  # noqa: S311  # no secret

    async def rest(self) -> None:
        await asyncio.sleep(self.pause())
