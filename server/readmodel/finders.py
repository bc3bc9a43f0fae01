"""The only readers of the views. Each returns documents as `server.readmodel.documents` shapes them, with `_id`."""

from collections.abc import Mapping
from typing import Any

from server.readmodel.state import ViewState

Document = dict[str, Any]


class Finders:
    """Reads from the live generation of each view."""

    def __init__(self, state: ViewState) -> None:
        self._state = state

    async def one(self, view: str, generation: int, key: str) -> Document | None:
        return await self._state.documents(view, generation).find_one({"_id": key})

    async def orders(
        self, generation: int, where: Mapping[str, Any], after: tuple[int, str] | None, *, newest_first: bool, most: int
    ) -> list[Document]:
        """Rows of order_list by (created_at, order id), from behind `after`."""
        query: Document = dict(where)
        way, beyond, bound = (-1, "$lt", "$lte") if newest_first else (1, "$gt", "$gte")
        if after is not None:
            at, order_id = after
            # the bound lets the index begin there; the alternatives only sort out rows of the same microsecond
            query["created_at"] = _narrowed(query.get("created_at", {}), bound, at)
            query["$or"] = [{"created_at": {beyond: at}}, {"created_at": at, "_id": {beyond: order_id}}]
        documents = self._state.documents("order_list", generation)
        return await documents.find(query).sort([("created_at", way), ("_id", way)]).limit(most).to_list()

    async def by_key(
        self, view: str, generation: int, where: Mapping[str, Any], keys: Mapping[str, str], most: int
    ) -> list[Document]:
        """Documents by their key; `keys` bounds it, e.g. `{"$gt": "a"}`."""
        query: Document = dict(where)
        if keys:
            query["_id"] = dict(keys)
        return await self._state.documents(view, generation).find(query).sort("_id", 1).limit(most).to_list()


def _narrowed(range_: Mapping[str, int], bound: str, at: int) -> dict[str, int]:
    """The range with one more bound; where it has that one already, the tighter of the two."""
    tighter = min if bound == "$lte" else max
    return {**range_, bound: tighter(at, range_.get(bound, at))}
