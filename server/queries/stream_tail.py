"""Read your writes: a document of a view that is behind, together with the events that it lacks of its stream.

The events are folded with the view's own handlers, so the answer is what the view will show. Where that is not certain
the query waits for the view instead: the view was made by other code, it has parked the stream or skips an event of it,
an event cannot be read or folded, or the node of the event store has not come as far as the token.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import structlog

from core.error_text import error_text
from core.eventstore import codec
from core.eventstore.client import RecordedEvent, StreamIsDeleted, position_of
from core.eventstore.codec import CodecError
from core.eventstore.log import EventLog
from core.failures import LogMismatch, StoreFailure
from core.readmodel.checkpoints import Checkpoint, CheckpointStore
from core.readmodel.finders import Document, Finders
from core.readmodel.fingerprint import handler_fingerprint
from core.readmodel.view import View
from core.readmodel.views import VIEWS
from server.queries.freshness import FreshViews

log = structlog.get_logger()

WITHIN = 1.0  # seconds; then it waits for the view
MAX_TAIL = 256  # events; a document that lacks more is read when the view has them


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """A document as of the token, None if there is none. `folded` is how many events the view does not hold yet."""

    document: Document | None
    checkpoint: Checkpoint
    folded: int


class _Uncertain(Exception):  # no error: the query waits
    """The answer could differ from the view's."""


class StreamTails:
    """For the views whose documents are made of one stream each."""

    def __init__(self, finders: Finders, fresh: FreshViews, state: CheckpointStore, event_log: EventLog) -> None:
        self._finders = finders
        self._fresh = fresh
        self._state = state
        self._log = event_log
        self._skips: dict[str, tuple[float, bool]] = {}  # by view: when it was asked, and whether it skips any event
        self._code = {view.name: handler_fingerprint(view) for view in VIEWS if view.is_of_one_stream}

    async def find(self, view: View[Any], key: str, wanted: int, patience: float) -> Current | None:
        """The document as of a position of the log; None if the caller has to wait for the view.

        `patience` is in seconds.
        """
        if view.name not in self._code:
            return None
        try:
            async with asyncio.timeout(min(patience, WITHIN)):
                return await self._find(view, key, wanted)
        except (_Uncertain, CodecError, StreamIsDeleted, StoreFailure, LogMismatch, TimeoutError):
            return None
        except Exception as error:  # noqa: BLE001  # the view meets the same event, and parks its stream
            log.error("an event cannot be folded", stream=view.stream_of(key), error=error_text(error))
            return None

    async def _find(self, view: View[Any], key: str, wanted: int) -> Current | None:
        standing = await self._fresh.standing(view.name, wanted)
        checkpoint, stream = standing.checkpoint, view.stream_of(key)
        if standing.is_fresh:
            return None
        if checkpoint.log_mismatch or standing.code != self._code[view.name]:
            raise _Uncertain
        document, skips = await asyncio.gather(
            self._finders.one(view.name, checkpoint.generation, key),
            self._has_skipped(view.name, stream, standing.read_at),
        )
        parked = checkpoint.parked and await self._state.first_parked(view.name, checkpoint.generation, stream)
        if skips or parked:
            raise _Uncertain
        if document is not None and document["position"] >= wanted:
            return Current(document=document, checkpoint=checkpoint, folded=0)
        missing = await self._tail(stream, document)
        if not missing or position_of(missing[-1]) < wanted:
            # the token is of another stream: nothing of this one may have changed, if the node has come as far
            if await self._log.head() < wanted:
                raise _Uncertain
            missing = await self._tail(stream, document)
        return Current(document=_folded(view, key, document, missing), checkpoint=checkpoint, folded=len(missing))

    async def _has_skipped(self, view: str, stream: str, read_at: float) -> bool:
        """Whether an event of the stream is skipped for the view. Operators seldom skip any: whether they did is read
        once for each checkpoint that was read, after it.
        """
        asked_at, skips_any = self._skips.get(view, (float("-inf"), False))
        if asked_at < read_at:
            asked_at = time.monotonic()
            skips_any = await self._state.has_skipped(view)
            self._skips[view] = (asked_at, skips_any)
        return skips_any and await self._state.has_skipped(view, stream)

    async def _tail(self, stream: str, document: Document | None) -> list[RecordedEvent]:
        """The events behind a document. They are read from its own last event on, if it has the revision, which shows
        that it is of this stream, and that nothing between is deleted.
        """
        first, held = (0, -1) if document is None else (document.get("revision", 0), document["position"])
        events = [event async for event in self._log.events(stream, first, MAX_TAIL + 1)]
        if len(events) > MAX_TAIL or (document is not None and (not events or position_of(events[0]) > held)):
            raise _Uncertain
        return [event for event in events if position_of(event) > held]


STAMPS = ("_id", "position")  # what a stored document has beside its body


def _folded(view: View[Any], key: str, document: Document | None, missing: list[RecordedEvent]) -> Document | None:
    """The document with the events that it lacks."""
    if not missing:
        return document
    body = None if document is None else {name: value for name, value in document.items() if name not in STAMPS}
    body = view.fold(body, [codec.recorded(event) for event in missing if not codec.is_of_the_store(event.type)])
    return None if body is None else {"_id": key, "position": position_of(missing[-1]), **body}
