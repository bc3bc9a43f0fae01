"""Removes retired generations. Their documents are deleted a few at a time: dropping them at once can block readers of
other collections for as long as it takes.
"""

import time
from collections.abc import Callable
from typing import Any

import structlog
from pymongo.asynchronous.collection import AsyncCollection

from core.readmodel.checkpoints import CheckpointStore
from core.readmodel.generations import ViewGenerations, removed
from projections.engine.throttle import ReaderAwareThrottle
from projections.lifecycle.background_work import BackgroundWork

log = structlog.get_logger()


class RetiredGenerations:
    """Of one view. They stay for `drop_delay` seconds, until the readers that had seen the former pointer have
    finished.
    """

    def __init__(
        self,
        view: str,
        state: CheckpointStore,
        work: BackgroundWork,
        *,
        throttle: Callable[[], ReaderAwareThrottle],
        drop_delay: float,
    ) -> None:
        self._view = view
        self._state = state
        self._work = work
        self._throttle = throttle
        self._drop_delay = drop_delay
        self._since: dict[int, float] = {}

    def drop_due(self, pointer: ViewGenerations, *, is_owner: bool) -> None:
        """Begin to remove one that is due. The owner of the live generation does."""
        now = time.monotonic()
        self._since = {generation: self._since.get(generation, now) for generation in pointer.dropping}
        due = [generation for generation, since in self._since.items() if now - since >= self._drop_delay]
        if due and is_owner:
            self._work.spawn("removal", self._remove, pointer, due[0])

    async def _remove(self, pointer: ViewGenerations, generation: int) -> None:
        await drop_gradually(self._state.documents(self._view, generation), self._throttle())
        await self._state.forget(pointer, generation)
        await self._state.generations.change(self._view, lambda now: removed(now, generation))
        log.warning("generation removed", view=self._view, generation=generation)


async def drop_gradually(documents: AsyncCollection[dict[str, Any]], throttle: ReaderAwareThrottle) -> None:
    """Repeatable, from any state."""
    keys = [document["_id"] async for document in documents.find({})]
    while keys:
        some, keys = keys[: throttle.chunk], keys[throttle.chunk :]
        with throttle.writing(len(some)):
            await documents.delete_many({"_id": {"$in": some}})
        await throttle.yield_to_readers()
    await documents.drop()
