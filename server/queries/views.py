"""What every query does first: check the token, wait, know which generation to read."""

from collections.abc import Awaitable
from typing import Any, TypeVar

from pymongo.errors import PyMongoError

from protos.common.v1.types_pb2 import Freshness
from server.failures import StoreUnavailable
from server.queries.freshness import FreshViews
from server.readmodel.finders import Finders
from server.readmodel.state import Checkpoint, now_micros

T = TypeVar("T")


class Views:
    """Finders behind freshness; MongoDB's failures end here as `StoreUnavailable`."""

    def __init__(self, finders: Finders, fresh: FreshViews) -> None:
        self.find = finders
        self._fresh = fresh

    async def at_least(self, view: str, token: str, context: Any) -> tuple[Freshness, int]:
        """How fresh the view is, at least as fresh as the token, and its live generation."""
        checkpoint = await self.answered(self._fresh.at_least(view, token, context))
        return _told(checkpoint), checkpoint.generation

    async def answered(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except PyMongoError as error:
            raise StoreUnavailable("view") from error


def _told(checkpoint: Checkpoint) -> Freshness:
    age = now_micros() - checkpoint.caught_up_at if checkpoint.caught_up_at else 0
    return Freshness(position=checkpoint.position, age_ms=max(0, age // 1000))
