"""What plans depend on: how far the live generation of a view is, and whether it is of this log."""

from typing import Any

from core.eventstore.log import START, EventLog
from core.failures import LogMismatch, StoreFailure
from core.readmodel.checkpoints import CheckpointStore
from core.readmodel.generations import ViewGenerations
from core.readmodel.view import View

MAX_COUNTED = 1_000  # events that a view lacks
MAX_EXACT = 10_000  # events that a plan counts one by one


class Standing:
    """Reads it from the log and the checkpoints."""

    def __init__(self, state: CheckpointStore, log: EventLog) -> None:
        self._state = state
        self._log = log

    async def is_of_another_log(self, pointer: ViewGenerations, generation: int) -> bool:
        found = await self._state.of_generation(pointer, generation)
        return found is not None and found.log_mismatch

    async def require_this_log(self, pointer: ViewGenerations) -> None:
        """Raises `LogMismatch` if the live generation is of another log: only another generation can be right."""
        if await self.is_of_another_log(pointer, pointer.generation):
            raise LogMismatch(pointer.view)

    async def behind(self, view: View[Any], since: int, about: int) -> int:
        """How many events of the view lie behind a position: counted, or `about` so many if they are too many."""
        try:
            counted = await self._log.count_after(since, view.stream_filter(), MAX_EXACT)
        except StoreFailure:  # it would have had to read too many events of others
            return about
        return counted if counted < MAX_EXACT else max(counted, about)

    async def events(self, view: View[Any], pointer: ViewGenerations) -> tuple[int, int]:
        """How many events the live generation has applied, and how many it lacks (counted up to a thousand)."""
        live = await self._state.of_generation(pointer, pointer.generation)
        if live is None or live.log_mismatch:
            return 0, await self._log.count_after(0, view.stream_filter(), MAX_COUNTED)
        try:
            return live.events, await self._log.count_after(live.position, view.stream_filter(), MAX_COUNTED)
        except LogMismatch:  # a paused view has not detected that the log was replaced
            return 0, await self._log.count_after(START, view.stream_filter(), MAX_COUNTED)
