"""Pauses between tries of what may fail for a while."""

import asyncio
import random


class Backoff:
    """Each pause may be twice as long as the one before, up to `longest`; both are in seconds.

    A pause is between half of that and all of it, at random, so that many that failed together do not try together.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def reset(self) -> None:
        """It went well: the next pause is the first one again."""
        self._next = self._first

    def exhaust(self) -> None:
        """Nothing is to be expected soon: the next pause is the longest one."""
        self._next = self._longest

    def pause(self) -> float:
        """The next pause."""
        pause, self._next = self._next, min(2 * self._next, self._longest)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311  # no secret

    async def rest(self) -> None:
        await asyncio.sleep(self.pause())
