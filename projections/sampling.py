"""Checks single documents: folds their streams again and compares, without reading the whole log.

Which ones is found in the log and not in the view, so that a missing document is missed.
"""

import random
from collections.abc import Set
from contextlib import aclosing
from typing import Any

from esdbclient.asyncio_client import AsyncEventStoreDBClient
from pymongo.asynchronous.database import AsyncDatabase

from projections.failure import ParkingLot, Skips
from projections.refold import Refold, Unfoldable
from projections.verify import Difference, Result, difference
from projections.view import View
from server.eventstore import codec
from server.eventstore.codec import CodecError
from server.eventstore.reading import position_of
from server.readmodel.log import Log
from server.readmodel.state import ViewState

PAGE = 200  # events looked through at once for keys


class Sampler:
    """Of one view whose documents have streams of their own."""

    def __init__(self, view: View[Any], client: AsyncEventStoreDBClient, database: AsyncDatabase[Any]) -> None:
        assert view.own_streams, f"the documents of {view.name} share streams"
        self._view = view
        self._database = database
        self._log = Log(client)
        self._state = ViewState(database)
        self._skips = Skips(database)
        self._next: int | None = None  # where to look on; it begins anywhere, and goes round

    async def check(self, documents: int, most: int = 20) -> Result:
        """So many documents, or fewer if there are no more; one round after the other meets them all."""
        pointer = await self._state.pointers.get(self._view.name)
        generation, result = pointer.generation, Result(self._view.name)
        checkpoint = await self._state.of_generation(pointer, generation)
        if checkpoint is None or checkpoint.astray:
            return result
        first: dict[str, int] = {}
        for part in range(pointer.how(generation).partitions):
            lot = ParkingLot(self._database, self._view.name, generation, part)
            await lot.load()
            first |= lot.first
        skipped = await self._skips.of(self._view.name)
        result.checkpoint = checkpoint.position
        for key in await self._keys(documents, checkpoint.position):
            found = await self._differs(key, generation, checkpoint.position, first, skipped)
            result.documents += 1
            if found is not None:
                result.differ(found, most)
        return result

    async def _keys(self, number: int, until: int) -> list[str]:
        """The documents of the next events, up to a position; then from the beginning."""
        keys: dict[str, None] = {}
        start = random.randint(0, until) if self._next is None else self._next  # noqa: S311  # not a secret
        for _ in range(2):  # from where it was, and once more from the beginning
            async with aclosing(self._log.after(start, self._view.stream_filter())) as reading:
                async for event in reading:
                    if position_of(event) > until or len(keys) == number:
                        break
                    self._next = position_of(event)
                    key = self._key(event)
                    if key is not None:
                        keys[key] = None
                else:
                    start = 0
                    continue
            if len(keys) == number:
                break
            start = 0
        return list(keys)

    def _key(self, event: Any) -> str | None:
        try:
            handled = self._view.handler(codec.recorded(event))
        except CodecError:
            return None
        return None if handled is None else handled[0]

    async def _differs(
        self, key: str, generation: int, reached: int, first: dict[str, int], skipped: Set[int]
    ) -> Difference | None:
        document = await self._state.documents(self._view.name, generation).find_one({"_id": key})
        position = reached
        if document is not None:
            document.pop("_id")
            position = document.pop("position")
        fold = Refold(self._view, self._log, {key}, first, skipped)
        try:
            await fold.advance(position)
        except Unfoldable:
            return None  # it was parked since; that is told elsewhere
        if document is not None and fold.positions.get(key) != position:
            return Difference(key, "position", fold.positions.get(key), position)
        return difference(key, fold.bodies.get(key), document)
