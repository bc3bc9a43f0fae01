"""The only readers of the views. Each returns documents in the form of `core.readmodel.documents`, with `_id`."""

from collections.abc import Mapping
from typing import Any

from core.readmodel.checkpoints import CheckpointStore
from core.readmodel.dataloader import DocumentLoader
from core.readmodel.time_windows import NEWEST_FIRST, OLDEST_FIRST, TimeWindows

Document = dict[str, Any]


class Finders:
    """Reads from the live generation of each view."""

    def __init__(self, state: CheckpointStore) -> None:
        self._state = state
        self._generations: dict[str, tuple[int, DocumentLoader]] = {}
        self._windows = TimeWindows()

    async def one(self, view: str, generation: int, key: str) -> Document | None:
        """Callers may share the document: it must not be changed."""
        known, documents = self._generations.get(view, (None, None))
        if known != generation or documents is None:
            documents = DocumentLoader(self._state.documents(view, generation))
            self._generations[view] = (generation, documents)
        return await documents.one(key)

    async def orders(
        self, generation: int, where: Mapping[str, Any], after: tuple[int, str] | None, *, newest_first: bool, most: int
    ) -> list[Document]:
        """Rows of order_list by (created_at, order id), from behind `after`."""
        documents = self._state.documents("order_list", generation)
        way, beyond = (NEWEST_FIRST, "$lt") if newest_first else (OLDEST_FIRST, "$gt")
        bounds = where.get("created_at", {})
        low, high = bounds.get("$gte"), bounds.get("$lt")
        ranges: list[Document] = []
        if after is not None:
            at, order_id = after
            ranges = [{"created_at": at, "_id": {beyond: order_id}}]
            low, high = (low, at) if newest_first else (at + 1, high)
        # one customer has few orders
        window = None if "customer_id" in where else self._windows.of(str(where.get("status", "")), way)
        ranges += [_between(*piece) for piece in ([(low, high)] if window is None else window.pieces(low, high))]
        rows: list[Document] = []
        for range_ in ranges:
            found = documents.find({**where, **range_}).sort([("created_at", way), ("_id", way)])
            rows += await found.limit(most - len(rows)).to_list()
            if len(rows) == most:
                if window is not None:
                    times = [row["created_at"] for row in rows if isinstance(row.get("created_at"), int)]
                    window.held(times, from_the_end=after is None and not bounds)
                break
        return rows

    async def by_key(
        self, view: str, generation: int, where: Mapping[str, Any], keys: Mapping[str, str], most: int
    ) -> list[Document]:
        """Documents by their key; `keys` bounds it, e.g. `{"$gt": "a"}`."""
        query: Document = dict(where)
        if keys:
            query["_id"] = dict(keys)
        return await self._state.documents(view, generation).find(query).sort("_id", 1).limit(most).to_list()


def _between(low: int | None, high: int | None) -> Document:
    bounds = {name: bound for name, bound in (("$gte", low), ("$lt", high)) if bound is not None}
    return {"created_at": bounds} if bounds else {}
