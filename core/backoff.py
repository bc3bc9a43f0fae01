"""Back-off: pauses between attempts at what may fail for a while."""

import asyncio
import random


class Backoff:
    """Each pause may be twice as long as the previous one, up to `longest`; both are in seconds.

    The actual pause is random, between half of that and all of it (jitter), so that concurrent callers do not retry at
    once.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def reset(self) -> None:
        """An attempt succeeded: the next pause is the first one again."""
        self._next = self._first

    def exhaust(self) -> None:
        """No success is expected soon: the next pause is the longest one."""
        self._next = self._longest

    def pause(self) -> float:
        """The next pause."""
        pause, self._next = self._next, min(2 * self._next, self._longest)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311  # no secret

    async def rest(self) -> None:
        await asyncio.sleep(self.pause())
