"""The first part of every query: check the token, wait, find the generation to read."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from core.eventstore.codec import MalformedEvent, UnknownEventType
from core.eventstore.consistency_token import from_token
from core.failures import EventMalformed, EventTypeUnknown, UnreadableEvent
from core.readmodel.checkpoints import Checkpoint, now_micros
from core.readmodel.finders import Document, Finders
from core.readmodel.mongo import mongo_errors
from core.readmodel.view import View
from protos.common.v1.types_pb2 import Freshness, FreshnessSource
from protos.orders.v1 import queries_pb2 as pb
from server.queries.freshness import SPARE, WITHOUT_DEADLINE, FreshViews
from server.queries.paging import from_page_token, page_size, to_page_token
from server.queries.stream_tail import StreamTails

T = TypeVar("T")
NO_BOUNDS: Mapping[str, Any] = MappingProxyType({})


class ParkedAt:
    """The event at which a stream is parked for a view, and the number of parked events."""

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
        """For a caller that needs the parked events."""
        kind = EventTypeUnknown if self._error == UnknownEventType.__name__ else EventMalformed
        return kind(stream=self._stream, revision=self._parked["revision"], event_type=self._parked["event_type"])

    @property
    def _error(self) -> str:
        return str(self._parked["error"] or "").partition(":")[0]


REASONS = {
    UnknownEventType.__name__: pb.UNREAD_REASON_UNKNOWN_TYPE,
    MalformedEvent.__name__: pb.UNREAD_REASON_MALFORMED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The document of a key, None if there is none, and how fresh it is."""

    document: Document | None
    freshness: Freshness
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The next rows of a view by their keys. `fields` are those that every reply in pages has."""

    rows: Sequence[Document]
    generation: int
    fields: Mapping[str, Any]


class Views:
    """Finders behind freshness; MongoDB's failures end here as `StoreFailure`."""

    def __init__(self, finders: Finders, fresh: FreshViews, tails: StreamTails) -> None:
        self.find = finders
        self._fresh = fresh
        self._tails = tails

    async def one(self, view: View[Any], key: str, token: str, context: Any) -> Found:
        """The document of a key, at least as fresh as the token.

        A view that is behind is not waited for where the document's own stream says what it lacks. Raises as
        `at_least` does.
        """
        if token:
            current = await self._current(view, key, from_token(token), context)
            if current is not None:
                return current
        freshness, generation = await self.at_least(view.name, token, context)
        document = await self.answered(self.find.one(view.name, generation, key))
        return Found(document=document, freshness=freshness, generation=generation)

    async def _current(self, view: View[Any], key: str, wanted: int, context: Any) -> Found | None:
        remaining = context.time_remaining()
        patience = WITHOUT_DEADLINE if remaining is None else remaining
        found = await self.answered(self._tails.find(view, key, wanted, patience - SPARE))
        if found is None:
            return None
        freshness = _to_freshness(found.checkpoint)
        freshness.position = max(freshness.position, wanted)
        if found.folded:
            freshness.source, freshness.age_ms = FreshnessSource.FRESHNESS_SOURCE_VIEW_AND_STREAM, 0
        return Found(document=found.document, freshness=freshness, generation=found.checkpoint.generation)

    async def page(
        self,
        view: str,
        request: Any,
        context: Any,
        where: Mapping[str, Any] = NO_BOUNDS,
        keys: Mapping[str, str] = NO_BOUNDS,
    ) -> Page:
        """The page that a request asks for; `keys` bounds all of them. Raises as `at_least` does."""
        most, after = page_size(request.page_size), from_page_token(request, str)
        freshness, generation = await self.at_least(view, request.consistency_token, context)
        if after is not None:
            keys = {name: bound for name, bound in keys.items() if name != "$gte"} | {"$gt": after[0]}
        rows = await self.answered(self.find.by_key(view, generation, where, keys, most + 1))
        token = to_page_token(request, [rows[most - 1]["_id"]]) if len(rows) > most else ""
        return Page(rows=rows[:most], generation=generation, fields={"next_page_token": token, "freshness": freshness})

    async def at_least(self, view: str, token: str, context: Any) -> tuple[Freshness, int]:
        """The freshness of the view, at least as fresh as the token, and its live generation."""
        checkpoint = await self.checkpoint(view, token, context)
        return _to_freshness(checkpoint), checkpoint.generation

    async def checkpoint(self, view: str, token: str, context: Any) -> Checkpoint:
        """The checkpoint of the view, at least as far as the token."""
        return await self.answered(self._fresh.at_least(view, token, context))

    async def unread(self, view: str, generation: int, stream: str) -> ParkedAt | None:
        """The event from which on a stream is parked for the view; None if the view shows all of it."""
        if not self._fresh.parked(view):
            return None
        found = await self.answered(self._fresh.first_parked(view, generation, stream))
        return None if found is None else ParkedAt(stream, found)

    async def failed(self, view: str, generation: int, streams: Sequence[str]) -> Mapping[str, str]:
        """The parked ones of these streams: at which event, and why."""
        if not self._fresh.parked(view):
            return {}
        return await self.answered(self._fresh.failed(view, generation, streams))

    async def answered(self, call: Awaitable[T]) -> T:
        with mongo_errors():
            return await call


def _to_freshness(checkpoint: Checkpoint) -> Freshness:
    age = now_micros() - checkpoint.caught_up_at if checkpoint.caught_up_at else 0
    return Freshness(
        position=checkpoint.position,
        age_ms=max(0, age // 1000),
        log_mismatch=checkpoint.log_mismatch,
        source=FreshnessSource.FRESHNESS_SOURCE_VIEW,
    )
