"""One batch into one view: fold in memory, write each changed document once, guarded by its old position."""

import zlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import structlog
from pymongo import DeleteOne, InsertOne, ReplaceOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError

from core.eventstore import codec
from core.eventstore.client import RecordedEvent, position_of
from core.eventstore.exclusions import NOTHING_EXCLUDED, Excluded, HasExclusions, is_excluded
from core.eventstore.recorded import Recorded, StreamDeleted
from core.eventstore.registry import DomainEvent
from core.readmodel.view import View
from projections.engine.handler_timeout import Call, timed_calls
from projections.engine.parked_events import Parked, ParkedEvents, describe_failure, to_parked
from projections.engine.storable import NotStorable, storable
from projections.engine.throttle import ReaderAwareThrottle

log = structlog.get_logger()

Document = dict[str, Any]
Write = InsertOne[Document] | ReplaceOne[Document] | DeleteOne
Decode = Callable[[RecordedEvent], Recorded[DomainEvent | StreamDeleted]]
Encoded = Any  # a document as it is stored; what pymongo takes in place of a dict is not in its types
MAX_TRIES = 5
DUPLICATE_KEY = 11000
NEVER = 2**63
DECODE_CHUNK = 200  # events decoded between two yields to readers


class WriteConflict(Exception):  # it names what happened
    """Another process keeps writing the same documents: two processes believe that they own the view."""


@dataclass(slots=True)
class LoadedDocument:
    """A document as it is stored (`position` None: it is not) and as the batch leaves it (`body` None: deleted)."""

    stored: int | None
    position: int
    body: Any


@dataclass(frozen=True, slots=True)
class Partition:
    """The documents of one of several workers: by a hash of the key, so that a key's events keep their order."""

    part: int = 0
    parts: int = 1

    def owns(self, key: str) -> bool:
        return self.parts == 1 or zlib.crc32(key.encode()) % self.parts == self.part


def _beginnings(
    view: View[Any], decoded: Sequence[tuple[RecordedEvent, Recorded[DomainEvent | StreamDeleted] | None, str]]
) -> set[str]:
    """Documents of one event each, and of one stream each whose stream begins here: there is nothing to load, but in a
    replay.

    Then the insert meets a duplicate key, and all are loaded after all.
    """
    if view.per_event:
        return {key for _, _, key in decoded}
    first: dict[str, RecordedEvent] = {}
    for event, _, key in decoded:
        first.setdefault(key, event)
    return {
        key for key, event in first.items() if event.stream_position == 0 and event.stream_name.partition("-")[2] == key
    }


class BatchApplier:
    """Applies batches. It caches what it wrote last, so that a document is seldom read twice."""

    def __init__(
        self,
        view: View[Any],
        documents: AsyncCollection[Document],
        parked_events: ParkedEvents,
        *,
        exclusions: HasExclusions = NOTHING_EXCLUDED,
        most_cached: int = 10_000,
        partition: Partition = Partition(),
        throttle: ReaderAwareThrottle | None = None,
        between_chunks: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._view = view
        self._documents = documents
        self._parked_events = parked_events
        self._exclusions = exclusions
        self._most = most_cached
        self._partition = partition
        self._throttle = throttle
        self._between_chunks = between_chunks
        self._cache: OrderedDict[str, tuple[int, Any]] = OrderedDict()
        self.skipped = 0
        self.last_error = ""

    def unthrottle(self) -> None:
        """The view has caught up: from now on its batches are small."""
        self._throttle = self._between_chunks = None

    async def apply(self, events: Sequence[RecordedEvent], decode: Decode = codec.recorded) -> None:
        """Each event has its effect once, whatever was applied before. Everything but the checkpoint is written at the
        end.

        `decode` raises `CodecError`.
        """
        decoded, failed = await self._decode(events, decode)
        assumed_new = _beginnings(self._view, decoded)
        for _ in range(MAX_TRIES):
            held = await self._load({key for _, _, key in decoded}, assumed_new)
            held, encoded, parking = self._folded(decoded, held, failed)
            self._log_parked(parking)
            # parked before the documents are written: a document that several streams share moves past the failed
            # event in the same batch, and a replay after a crash between the two would count it as applied
            await self._parked_events.add(parking)
            if await self._write(held, encoded):
                self._remember(held)
                return
            self._cache.clear()
            assumed_new = set()
        raise WriteConflict(f"{self._view.name}: others changed the same documents {MAX_TRIES} times in a row")

    async def _decode(
        self, events: Sequence[RecordedEvent], decode: Decode
    ) -> tuple[list[tuple[RecordedEvent, Recorded[DomainEvent | StreamDeleted] | None, str]], dict[int, Exception]]:
        """Events with the key they change, and the errors of unreadable ones, by position."""
        decoded: list[tuple[RecordedEvent, Recorded[DomainEvent | StreamDeleted] | None, str]] = []
        failed: dict[int, Exception] = {}
        excluded: dict[str, Excluded] = {}
        for number, event in enumerate(events, start=1):
            if number % DECODE_CHUNK == 0 and self._between_chunks:
                await self._between_chunks()
            if position_of(event) in self._parked_events.skipped:
                continue
            try:
                recorded = decode(event)
                handled = self._view.handler(recorded)
            except codec.CodecError as error:
                if await self._is_left_out(event, excluded):
                    self.skipped += 1
                else:  # also a type that is newer than this code: newer code applies the stream from here on
                    failed[position_of(event)] = error
                    decoded.append((event, None, ""))
            except Exception as error:  # noqa: BLE001  # any failure parks this stream only
                failed[position_of(event)] = error
                decoded.append((event, None, ""))
            else:
                if handled is not None and self._partition.owns(handled[0]):
                    decoded.append((event, recorded, handled[0]))
        return decoded, failed

    async def _is_left_out(self, event: RecordedEvent, excluded: dict[str, Excluded]) -> bool:
        """Whether an unreadable event is the event store's own, or was excluded by an operator.

        `excluded` has the known exclusions of the streams of this batch. Behind a parked event it makes no difference.
        """
        if codec.is_of_the_store(event.type):
            return True
        stream = event.stream_name
        if position_of(event) > self._parked_events.first.get(stream, NEVER):
            return False
        if stream not in excluded:
            excluded[stream] = await self._exclusions.excluded(stream)
        return is_excluded(event, excluded[stream])

    async def _load(self, keys: set[str], assumed_new: set[str]) -> dict[str, LoadedDocument]:
        held = {}
        for key in keys & self._cache.keys():
            position, body = self._cache[key]
            held[key] = LoadedDocument(position, position, body)
        missing = [key for key in keys - assumed_new if key and key not in held]
        if missing:
            async for document in self._documents.find({"_id": {"$in": missing}}):
                key, position = document.pop("_id"), document.pop("position")
                held[key] = LoadedDocument(position, position, document)
        return held

    def _folded(
        self,
        decoded: Sequence[tuple[RecordedEvent, Recorded[DomainEvent | StreamDeleted] | None, str]],
        held: Mapping[str, LoadedDocument],
        failed: Mapping[int, Exception],
    ) -> tuple[dict[str, LoadedDocument], dict[str, Encoded], list[Parked]]:
        """The documents after the batch, those of them to be stored, and the parked events.

        A document that cannot be stored is folded again, with a check after each event: the stream of the first
        event after which it cannot is parked.
        """
        suspects: set[str] = set()
        while True:
            after = dict(held)
            with timed_calls() as call:
                parking = self._fold(decoded, after, failed, suspects, call)
            encoded: dict[str, Encoded] = {}
            found = len(suspects)
            for key, document in after.items():
                if document.position != document.stored and document.body is not None:
                    try:
                        encoded[key] = storable(key, document.position, document.body)
                    except NotStorable:
                        suspects.add(key)
            if len(suspects) == found:
                return after, encoded, parking

    def _fold(
        self,
        decoded: Sequence[tuple[RecordedEvent, Recorded[DomainEvent | StreamDeleted] | None, str]],
        held: dict[str, LoadedDocument],
        failed: Mapping[int, Exception],
        suspects: Set[str],
        call: Call,
    ) -> list[Parked]:
        parking: list[Parked] = []
        waiting = dict(self._parked_events.first)
        for event, recorded, key in decoded:
            if position_of(event) >= waiting.get(event.stream_name, NEVER):
                parking.append(to_parked(event, None))
                continue
            if recorded is None:
                waiting[event.stream_name] = position_of(event)
                parking.append(to_parked(event, failed[position_of(event)]))
                continue
            document = held.get(key)
            if document is not None and recorded.position <= document.position:
                continue
            handled = self._view.handler(recorded)
            assert handled is not None, "it was decoded because it is handled"
            try:
                body = call(handled[1], None if document is None else document.body, recorded)
                if key in suspects and body is not None:
                    storable(key, recorded.position, body)
            except Exception as error:  # noqa: BLE001  # any failure parks this stream only
                waiting[event.stream_name] = position_of(event)
                parking.append(to_parked(event, error))
                continue
            stored = None if document is None else document.stored
            held[key] = LoadedDocument(stored, recorded.position, body)
        return parking

    def _log_parked(self, parking: Iterable[Parked]) -> None:
        for entry in parking:
            if entry.error is None:
                continue
            self.last_error = describe_failure(entry.event_type, entry.revision, entry.stream, entry.error)
            log.error(
                "stream parked", view=self._view.name, stream=entry.stream, revision=entry.revision, error=entry.error
            )

    async def _write(self, held: Mapping[str, LoadedDocument], encoded: Mapping[str, Encoded]) -> bool:
        """Write all changed documents at once; False if one of them is not as it was loaded."""
        writes: list[Write] = []
        guarded = 0
        for key, document in held.items():
            if document.position == document.stored:
                continue
            if document.stored is None:
                if document.body is not None:
                    writes.append(InsertOne(encoded[key]))
                continue
            guarded += 1
            guard = {"_id": key, "position": document.stored}
            if document.body is None:
                writes.append(DeleteOne(guard))
            else:
                writes.append(ReplaceOne(guard, encoded[key]))
        try:
            return await self._write_all(writes) == guarded
        except BulkWriteError as error:
            if all(problem["code"] == DUPLICATE_KEY for problem in error.details["writeErrors"]):
                return False
            raise

    async def _write_all(self, writes: list[Write]) -> int:
        """The number of successful compare-and-set writes."""
        held = begin = 0
        while begin < len(writes):
            end = begin + (self._throttle.chunk if self._throttle else len(writes))
            chunk = writes[begin:end]
            with self._throttle.writing(len(chunk)) if self._throttle else nullcontext():
                done = await self._documents.bulk_write(chunk, ordered=False)
            held += done.matched_count + done.deleted_count
            begin = end
            if self._between_chunks:
                await self._between_chunks()
        return held

    def forget(self, keys: Iterable[str]) -> None:
        """They were changed by other code in agreement with the runner."""
        for key in keys:
            self._cache.pop(key, None)

    def _remember(self, held: dict[str, LoadedDocument]) -> None:
        for key, document in held.items():
            if document.body is None:
                self._cache.pop(key, None)
            else:
                self._cache[key] = (document.position, document.body)
                self._cache.move_to_end(key)
        while len(self._cache) > self._most:
            self._cache.popitem(last=False)
