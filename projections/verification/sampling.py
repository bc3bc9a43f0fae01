"""Sampling: folds the streams of single documents again and compares, without reading all of the log.

Documents are chosen from the log, so that a missing one is found, and from the view, so that one too many is found.
"""

from collections.abc import Set
from contextlib import aclosing
from typing import Any

from core.eventstore import codec
from core.eventstore.client import position_of
from core.eventstore.codec import CodecError
from core.eventstore.log import START
from core.failures import LogMismatch
from core.readmodel.view import View
from projections.stores import Stores
from projections.verification.full import Difference, Result, difference
from projections.verification.replay import EventFailed, KeyReplay

PAGE = 200  # events looked through at once for keys


class Sampler:
    """Of one view whose documents have streams of their own."""

    def __init__(self, view: View[Any], stores: Stores) -> None:
        assert view.own_streams, f"the documents of {view.name} share streams"
        self._view = view
        self._stores = stores
        self._log = stores.leader_log  # a follower that is behind the view would make correct documents look wrong
        self._state = stores.checkpoints
        self._skips = stores.skipped
        # the next places in the log and in the view; it starts anywhere, and goes round
        self._next: int | None = None
        self._next_key: str | None = None

    async def check(self, documents: int, most: int = 20) -> Result:
        """Check so many documents, or fewer if there are no more; successive rounds reach all of them."""
        pointer = await self._state.generations.get(self._view.name)
        generation, result = pointer.generation, Result(self._view.name)
        checkpoint = await self._state.of_generation(pointer, generation)
        if checkpoint is None or checkpoint.log_mismatch:
            return result
        first = await self._stores.blocked_from(self._view.name, generation, pointer.info(generation).partitions)
        skipped = await self._skips.of(self._view.name)
        result.checkpoint = checkpoint.position
        shown = await self._shown(documents // 2, generation)
        try:
            keys = await self._keys(documents, checkpoint.position, shown)
        except LogMismatch:
            self._next = None  # the log was replaced: the next round begins anywhere in it
            raise
        for key in keys:
            found = await self._differs(key, generation, checkpoint.position, first, skipped)
            result.documents += 1
            if found is not None:
                result.differ(found, most)
        return result

    async def _shown(self, number: int, generation: int) -> list[str]:
        """The next documents of the view by key; then from the beginning."""
        documents = self._state.documents(self._view.name, generation)
        if self._next_key is None:
            anywhere = await documents.aggregate([{"$sample": {"size": 1}}, {"$project": {"_id": 1}}])
            self._next_key = next(iter([document["_id"] async for document in anywhere]), "")
        keys: dict[str, None] = {}
        for after in (self._next_key, ""):  # from where it was, and once more from the beginning
            if left := number - len(keys):
                rows = documents.find({"_id": {"$gt": after}}, {"_id": 1}).sort("_id", 1).limit(left)
                keys |= {row["_id"]: None async for row in rows}
        self._next_key = next(reversed(keys), "")
        return list(keys)

    async def _keys(self, number: int, until: int, shown: list[str]) -> list[str]:
        """Those, and the documents of the next events, up to a position; then from the beginning."""
        keys: dict[str, None] = dict.fromkeys(shown)
        start = await self._anywhere() if self._next is None else self._next
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
                    start = START
                    continue
            if len(keys) == number:
                break
            start = START
        return list(keys)

    async def _anywhere(self) -> int:
        """The position of the first event of some document: the log's, since what the document says may be wrong."""
        documents = self._state.documents(self._view.name, await self._state.generation(self._view.name))
        found = await documents.aggregate([{"$sample": {"size": 1}}, {"$project": {"_id": 1}}])
        names = [f"{category}-{row['_id']}" async for row in found for category in self._view.categories]
        first = [event for name in names for event in await self._log.stream(name, 0, 1) or ()]
        return max(map(position_of, first), default=START)

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
            position = document.pop("position", reached)
        fold = KeyReplay(self._view, self._log, {key}, first, skipped)
        try:
            await fold.advance(position)
        except EventFailed:
            return None  # it was parked since; that is reported elsewhere
        if document is not None and fold.positions.get(key) != position:
            return Difference(key, "position", fold.positions.get(key), position)
        return difference(key, fold.bodies.get(key), document)
