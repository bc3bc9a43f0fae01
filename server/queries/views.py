"""What every query does first: check the token, wait, know which generation to read."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

from core.eventstore.codec import MalformedEvent, UnknownEventType
from core.failures import EventMalformed, EventTypeUnknown, UnreadableEvent
from core.readmodel.checkpoints import Checkpoint, now_micros
from core.readmodel.finders import Finders
from core.readmodel.mongo import mongo_errors
from protos.common.v1.types_pb2 import Freshness
from protos.orders.v1 import queries_pb2 as pb
from server.queries.freshness import FreshViews

T = TypeVar("T")


class ParkedAt:
    """The event at which a view holds a stream back, and how many it holds back."""

    def __init__(self, stream: str, parked: Mapping[str, Any]) -> None:
        self._stream = stream
        self._parked = parked

    @property
    def message(self) -> pb.Unread:
        return pb.Unread(
            revision=self._parked["revision"],
            event_type=self._parked["event_type"],
            reason=REASONS.get(self._error, pb.UNREAD_REASON_FAILED),
            events=self._parked["events"],
        )

    @property
    def failure(self) -> UnreadableEvent:
        """For a caller who needs what is held back."""
        kind = EventTypeUnknown if self._error == UnknownEventType.__name__ else EventMalformed
        return kind(stream=self._stream, revision=self._parked["revision"], event_type=self._parked["event_type"])

    @property
    def _error(self) -> str:
        return str(self._parked["error"] or "").partition(":")[0]


REASONS = {
    UnknownEventType.__name__: pb.UNREAD_REASON_UNKNOWN_TYPE,
    MalformedEvent.__name__: pb.UNREAD_REASON_MALFORMED,
}


class Views:
    """Finders behind freshness; MongoDB's failures end here as `StoreFailure`."""

    def __init__(self, finders: Finders, fresh: FreshViews) -> None:
        self.find = finders
        self._fresh = fresh

    async def at_least(self, view: str, token: str, context: Any) -> tuple[Freshness, int]:
        """How fresh the view is, at least as fresh as the token, and its live generation."""
        checkpoint = await self.checkpoint(view, token, context)
        return _told(checkpoint), checkpoint.generation

    async def checkpoint(self, view: str, token: str, context: Any) -> Checkpoint:
        """How far the view is, at least as far as the token."""
        return await self.answered(self._fresh.at_least(view, token, context))

    async def unread(self, view: str, generation: int, stream: str) -> ParkedAt | None:
        """From where on the view holds a stream back; None if it shows all of it."""
        if not self._fresh.parked(view):
            return None
        found = await self.answered(self._fresh.first_parked(view, generation, stream))
        return None if found is None else ParkedAt(stream, found)

    async def failed(self, view: str, generation: int, streams: Sequence[str]) -> Mapping[str, str]:
        """Of those streams that the view holds back: at which event, and why."""
        if not self._fresh.parked(view):
            return {}
        return await self.answered(self._fresh.failed(view, generation, streams))

    async def answered(self, call: Awaitable[T]) -> T:
        with mongo_errors():
            return await call


def _told(checkpoint: Checkpoint) -> Freshness:
    age = now_micros() - checkpoint.caught_up_at if checkpoint.caught_up_at else 0
    return Freshness(position=checkpoint.position, age_ms=max(0, age // 1000), log_mismatch=checkpoint.log_mismatch)
