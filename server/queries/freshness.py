"""Answers at least as fresh as the caller asks for.

A view is fresh up to its checkpoint, and further if the log holds nothing beyond it that the view follows. One watcher
per view reads the checkpoint for all calls that wait.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from server.eventstore.token import from_token
from server.failures import NotFreshEnough
from server.readmodel.state import Checkpoint, ViewState

GOOD_FOR = 0.1  # seconds that a checkpoint may be told again without reading it
LOOK_EVERY = 0.005  # seconds, while calls wait
SPARE = 0.05  # seconds of the caller's deadline kept for the answer
WITHOUT_DEADLINE = 10.0  # seconds

NothingBetween = Callable[[str, int, int], Awaitable[bool]]  # stream pattern, after, up to and including


class FreshViews:
    """`follows` has the stream categories of each view; `nothing_between` asks the log whether it has none of them."""

    def __init__(self, state: ViewState, follows: Mapping[str, str], nothing_between: NothingBetween) -> None:
        self._watchers = {view: _Watcher(view, pattern, state, nothing_between) for view, pattern in follows.items()}

    async def at_least(self, view: str, token: str, context: Any) -> Checkpoint:
        """Wait until the view reflects the token ("" for any). Raises `TokenInvalid` or `NotFreshEnough`."""
        watcher = self._watchers[view]
        if not token:
            return await watcher.recent()
        remaining = context.time_remaining()
        patience = WITHOUT_DEADLINE if remaining is None else remaining
        return await watcher.reach(from_token(token), time.monotonic() + patience - SPARE)


class _Watcher:
    """What is known of one view's checkpoint."""

    def __init__(self, view: str, pattern: str, state: ViewState, nothing_between: NothingBetween) -> None:
        self._view = view
        self._pattern = pattern
        self._state = state
        self._nothing_between = nothing_between
        self._known = _nothing(view)
        self._read_at = 0.0
        self._reading: asyncio.Task[None] | None = None

    async def recent(self) -> Checkpoint:
        if time.monotonic() - self._read_at > GOOD_FOR:
            await self._read()
        return self._known

    async def reach(self, wanted: int, deadline: float) -> Checkpoint:
        asked_at = -1
        while self._known.position < wanted:
            await self._read()
            if self._known.position >= wanted:
                break
            if self._known.position != asked_at:
                asked_at = self._known.position
                if await self._nothing_between(self._pattern, asked_at, wanted):
                    return self._known
            if time.monotonic() >= deadline:
                raise NotFreshEnough(self._view, wanted, self._known.position)
            await asyncio.sleep(min(LOOK_EVERY, max(0.0, deadline - time.monotonic())))
        return self._known

    async def _read(self) -> None:
        """One read for all who ask at the same time."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_once())
        await asyncio.shield(self._reading)

    async def _read_once(self) -> None:
        try:
            found = await self._state.checkpoint(self._view)
            self._known = found or _nothing(self._view)
            self._read_at = time.monotonic()
        finally:
            self._reading = None


def _nothing(view: str) -> Checkpoint:
    return Checkpoint(view=view, generation=1, position=0, caught_up_at=0, updated_at=0, epoch=0)
