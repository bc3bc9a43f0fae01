"""Back-off: pauses between attempts at what may fail for a while."""

import asyncio
import random


class Backoff:
    """Each pause may be twice as long as the previous one, up to `longest`; both are in seconds.

    The actual pause is random, between half of that and all of it (jitter), so that concurrent callers do not retry at
    once. After `attempts` pauses without a success the caller gives up (`is_spent`).
    """

    def __init__(self, first: float, longest: float, *, attempts: int | None = None) -> None:
        self._first = first
        self._longest = longest
        self._attempts = attempts
        self._next = first
        self.failures = 0  # pauses since the last success

    def reset(self) -> None:
        """An attempt succeeded: the next pause is the first one again."""
        self._next = self._first
        self.failures = 0

    def exhaust(self) -> None:
        """No success is expected soon: the next pause is the longest one."""
        self._next = self._longest

    @property
    def is_spent(self) -> bool:
        return self.failures == self._attempts

    def pause(self) -> float:
        """The next pause."""
        self.failures += 1
        pause, self._next = self._next, min(2 * self._next, self._longest)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311  # no secret

    async def rest(self) -> None:
        await asyncio.sleep(self.pause())
