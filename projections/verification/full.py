"""Full verification: fold the log again and compare it with the views, document by document, while the system serves.

A document has the position of its last event, so it is compared with the fold at exactly that event, wherever the log
and the view are meanwhile. The fold is in memory: views with many documents need several
passes over the log, each for a share of the keys.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from core.error_text import MAX_LENGTH, bounded, error_text
from core.eventstore import codec
from core.eventstore.client import RecordedEvent, position_of
from core.eventstore.codec import CodecError
from core.eventstore.exclusions import Excluded, is_excluded
from core.eventstore.log import EventLog
from core.eventstore.recorded import Recorded, StreamDeleted
from core.eventstore.registry import CATEGORIES, DomainEvent
from core.failures import LogMismatch, StoreFailure
from core.readmodel.checkpoints import Checkpoint
from core.readmodel.view import View, stream_filter
from projections.engine.applier import Partition
from projections.engine.handler_timeout import call_with_timeout
from projections.engine.lag import holds
from projections.engine.storable import storable
from projections.engine.throttle import ReaderAwareThrottle
from projections.stores import Stores

PROGRESS_EVERY = 5_000  # events
DECODE_CHUNK = 100  # events folded, or documents compared, before a yield to readers
CATCH_UP_WITHIN = 60.0  # seconds
NEVER = 2**63


@dataclass(frozen=True, slots=True)
class Progress:
    """`position` is as far on the way to `head` as the work is done, over all passes."""

    events: int
    position: int
    head: int


@dataclass(frozen=True, slots=True)
class Difference:
    key: str
    field: str
    expected: Any
    actual: Any


@dataclass(slots=True)
class Result:
    """`differences` counts all of them; `listed` holds the first; `parked` of them are streams that do not fold."""

    view: str
    documents: int = 0
    events: int = 0
    streams: int = 0
    checkpoint: int = 0
    differences: int = 0
    parked: int = 0
    healed: int = 0
    listed: list[Difference] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)  # of the documents that differ
    unfolded: set[str] = field(default_factory=set)  # the streams that are `parked`

    def differ(self, found: Difference, most: int, *, document: bool = True) -> None:
        """Count one more; `document`: a repair of that document resolves it."""
        self.differences += 1
        if document:
            self.keys.add(found.key)
        if len(self.listed) < most:
            self.listed.append(found)

    def park(self, event: RecordedEvent, error: str, most: int) -> None:
        """A stream that cannot be folded, reported once: every pass meets an unreadable event again."""
        if event.stream_name in self.unfolded:
            return
        self.unfolded.add(event.stream_name)
        self.parked += 1
        self.differ(
            Difference(event.stream_name, f"revision {event.stream_position}", error, None), most, document=False
        )


@dataclass(slots=True)
class _Fold:
    """The fold of a share of one view, in memory; `waiting` has the documents that are ahead of the fold, by key.

    A stream with an event that cannot be folded is `stuck` from there on, as it is parked in the view. Whether it is
    stuck at an event of another share, only the view knows: it has such streams `blocked_from` a position on.
    There it is also checked whether the document can be stored.
    """

    view: View[Any]
    result: Result
    most: int
    partition: Partition
    blocked_from: Mapping[str, int]
    bodies: dict[str, Any] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, tuple[int, Any]] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    skipped: set[int] = field(default_factory=set)  # by operators

    def take(self, event: RecordedEvent, read: Recorded[DomainEvent | StreamDeleted] | CodecError) -> None:
        if event.stream_name in self.stuck or position_of(event) in self.skipped:
            return
        if self.view.own_streams and not self.partition.owns(event.stream_name.partition("-")[2]):
            return
        if isinstance(read, CodecError):
            self._park(event, read)
            return
        try:
            handled = self.view.handler(read)
            if handled is None:
                return
            key, reduce = handled
            if not self.partition.owns(key):
                self._leave_out(event)
                return
            body = call_with_timeout(reduce, self.bodies.get(key), read)
            if body is not None and position_of(event) == self.blocked_from.get(event.stream_name):
                storable(key, read.position, body)
        except Exception as error:  # noqa: BLE001  # what fails here is parked in the view: one difference a stream
            self._park(event, error)
            return
        self.result.events += 1
        self.bodies[key], self.positions[key] = body, read.position
        ahead = self.waiting.get(key)
        if ahead is not None and ahead[0] == read.position:
            del self.waiting[key]
            self.compare(key, body, ahead[1])

    def _park(self, event: RecordedEvent, error: Exception) -> None:
        self.stuck.add(event.stream_name)
        self.result.park(event, error_text(error), self.most)

    def _leave_out(self, event: RecordedEvent) -> None:
        if position_of(event) >= self.blocked_from.get(event.stream_name, NEVER):
            self.stuck.add(event.stream_name)

    def compare(self, key: str, expected: Any, actual: Any) -> None:
        found = difference(key, expected, actual)
        if found is not None:
            self.result.differ(found, self.most)

    def differ(self, key: str, name: str, expected: Any, actual: Any, *, document: bool = True) -> None:
        self.result.differ(Difference(key, name, expected, actual), self.most, document=document)


def difference(key: str, expected: Any, actual: Any) -> Difference | None:
    """The first field that differs; None if none does."""
    if expected == actual:
        return None
    if not isinstance(expected, dict) or not isinstance(actual, dict):
        return Difference(key, "", expected, actual)
    name = next(n for n in sorted(expected.keys() | actual.keys()) if expected.get(n) != actual.get(n))
    return Difference(key, name, expected.get(name), actual.get(name))


class Verifier:
    """Reads the log once for all views that are asked for, or as often as `at_once` documents at a time take."""

    def __init__(
        self,
        stores: Stores,
        *,
        log: EventLog | None = None,
        catch_up_within: float = CATCH_UP_WITHIN,
        at_once: int = 100_000,
        throttle: ReaderAwareThrottle | None = None,
    ) -> None:
        """With a `pace` (throttle) it goes on only as fast as readers allow."""
        self._patience = catch_up_within
        self._at_once = at_once
        self._log = log or stores.log
        self._stores = stores
        self._state = stores.checkpoints
        self._skips = stores.skipped
        self._throttle = throttle

    async def verify(
        self, views: Sequence[View[Any]], most: int = 20, *, generation: int | None = None, since: int = 0
    ) -> AsyncIterator[Progress | Result]:
        """Progress regularly, then one result per view.

        It verifies the live generation, or the given one; with `since`, only documents that changed after it.
        """
        results = {view.name: Result(view.name) for view in views}
        passes, events = await self._passes(views, generation), 0
        for part in range(passes):
            partition = Partition(part, passes)
            folds = [await self._fold(view, results[view.name], most, partition, generation) for view in views]
            async for done in self._pass(folds, generation, since):
                yield Progress(events + done.events, (part * done.head + done.position) // passes, done.head)
            events += done.events
        for result in results.values():
            yield result

    async def _passes(self, views: Sequence[View[Any]], generation: int | None) -> int:
        counts = [await (await self._documents(view, generation)).estimated_document_count() for view in views]
        return max(1, -(-sum(counts) // self._at_once))

    async def _documents(self, view: View[Any], generation: int | None) -> AsyncCollection[Any]:
        return self._state.documents(view.name, generation or await self._state.generation(view.name))

    async def _fold(
        self, view: View[Any], result: Result, most: int, partition: Partition, generation: int | None
    ) -> _Fold:
        pointer = await self._state.generations.get(view.name)
        number = generation or pointer.generation
        waiting = await self._stores.blocked_from(view.name, number, pointer.info(number).partitions)
        return _Fold(view, result, most, partition, waiting, skipped=await self._skips.of(view.name))

    async def _pass(self, folds: Sequence[_Fold], generation: int | None, since: int) -> AsyncIterator[Progress]:
        """One share of all views; the last progress is at the end of it."""
        head = await self._log.head()
        log = _Reading(self._log, folds, self._throttle)
        async for progress in log.fold(0, head):
            yield progress
        for fold in folds:
            await self._compare(fold, head, generation, since)
        ahead = max((position for fold in folds for position, _ in fold.waiting.values()), default=0)
        if ahead:
            async for progress in log.fold(head, ahead):
                yield progress
        for fold in folds:
            for key, (position, actual) in fold.waiting.items():
                fold.differ(key, "position", fold.positions.get(key), position if actual else None)
            fold.result.streams += log.streams_of(fold.view)
            for stream, revision in log.gaps_of(fold.view):
                fold.differ(stream, "revision", revision, None, document=False)
        yield Progress(log.events, max(head, ahead), max(head, ahead))

    async def _compare(self, fold: _Fold, head: int, generation: int | None, since: int) -> None:
        name = fold.view.name
        generation = generation or await self._state.generation(name)
        await self._compare_checkpoint(fold, await self._caught_up(fold.view, head, generation))
        seen = set()
        async for document in self._state.documents(name, generation).find({}, batch_size=DECODE_CHUNK):
            key, position = document.pop("_id"), document.pop("position", None)
            if not fold.partition.owns(str(key)):
                continue
            seen.add(key)
            fold.result.documents += 1
            if self._throttle is not None and fold.result.documents % DECODE_CHUNK == 0:
                await self._throttle.yield_to_readers()
            if position is not None and position <= since:
                continue
            if position is not None and position > head:
                fold.waiting[key] = (position, document)
            elif position is None or position != fold.positions.get(key):
                fold.differ(key, "position", fold.positions.get(key), position)
            else:
                fold.compare(key, fold.bodies[key], document)
        for key in fold.bodies.keys() - seen:
            if fold.bodies[key] is not None:
                fold.differ(key, "", fold.bodies[key], None)

    async def _compare_checkpoint(self, fold: _Fold, checkpoint: Checkpoint | None) -> None:
        fold.result.checkpoint = 0 if checkpoint is None else checkpoint.position
        end = await self._log.end()  # a checkpoint also moves over what the event store writes for itself
        if fold.partition.part:
            return
        if fold.result.checkpoint > end:
            fold.differ("checkpoint", "position", f"at most {end}", fold.result.checkpoint, document=False)
        elif checkpoint is not None and checkpoint.log_mismatch:
            fold.differ("checkpoint", "log", "this one", "another one", document=False)

    async def _caught_up(self, view: View[Any], head: int, generation: int) -> Checkpoint | None:
        """The checkpoint once it covers `head`, or the last one after the time limit (the comparison then shows it).

        One of another log is not waited for. None if the generation has never run.
        """
        deadline = time.monotonic() + self._patience
        before: int | None = None
        while True:
            pointer = await self._state.generations.get(view.name)
            checkpoint = await self._state.of_generation(pointer, generation)
            if time.monotonic() > deadline or (checkpoint is not None and checkpoint.log_mismatch):
                return checkpoint
            if checkpoint is not None and await self.reached(view, checkpoint, head, before):
                return checkpoint
            before = None if checkpoint is None else checkpoint.position
            await asyncio.sleep(0.05)

    async def head(self) -> int:
        """The position of the last event in the log."""
        return await self._log.head()

    async def reached(self, view: View[Any], checkpoint: Checkpoint, wanted: int, before: int | None) -> bool:
        """Whether the view has all events up to `wanted`. If it has not moved since `before`, the log is asked."""
        if checkpoint.position >= wanted:
            return True
        if checkpoint.position != before:
            return False
        try:
            return await holds(self._log, view, checkpoint, wanted)
        except (LogMismatch, StoreFailure):  # the owner of the view reports it
            return False


class _Reading:
    """The domain's events, in order, into every fold; and whether revisions are dense, in a share of the streams."""

    def __init__(self, log: EventLog, folds: Sequence[_Fold], throttle: ReaderAwareThrottle | None) -> None:
        self._log = log
        self._throttle = throttle
        self._folds = folds
        self._partition = folds[0].partition if folds else Partition()
        self._excluded: dict[str, Excluded] = {}
        self._revisions: dict[str, int] = {}
        self._gaps: dict[str, int] = {}
        self.events = 0

    async def fold(self, after: int, until: int) -> AsyncIterator[Progress]:
        if until <= after:
            return
        async with aclosing(self._log.after(after, stream_filter(CATEGORIES))) as reading:
            async for event in reading:
                position = position_of(event)
                if position > until:
                    break
                await self._take(event)
                if self._throttle is not None and self.events % DECODE_CHUNK == 0:
                    await self._throttle.yield_to_readers()
                if self.events % PROGRESS_EVERY == 0:
                    yield Progress(self.events, position, until)
                    await asyncio.sleep(0)

    async def _take(self, event: RecordedEvent) -> None:
        self._check_revision(event)
        category = event.stream_name.partition("-")[0]
        read = await self._read(event)
        for fold in self._folds:
            if read is not None and category in fold.view.categories:
                fold.take(event, read)
        self.events += 1

    async def _read(self, event: RecordedEvent) -> Recorded[DomainEvent | StreamDeleted] | CodecError | None:
        """None for an event that views skip."""
        try:
            return codec.recorded(event)
        except CodecError as error:
            if codec.is_of_the_store(event.type):
                return None
            stream = event.stream_name
            if stream not in self._excluded:
                self._excluded[stream] = await self._log.excluded(stream)
            return None if is_excluded(event, self._excluded[stream]) else error

    def streams_of(self, view: View[Any]) -> int:
        return sum(stream.partition("-")[0] in view.categories for stream in self._revisions)

    def gaps_of(self, view: View[Any]) -> list[tuple[str, int]]:
        return [(s, revision) for s, revision in self._gaps.items() if s.partition("-")[0] in view.categories]

    def _check_revision(self, event: RecordedEvent) -> None:
        if not self._partition.owns(event.stream_name) or codec.is_of_the_store(event.type):
            return  # the store marks the end of a stream with an event at the largest revision there is
        wanted = self._revisions.get(event.stream_name, -1) + 1
        if event.stream_position != wanted:
            self._gaps.setdefault(event.stream_name, wanted)
        self._revisions[event.stream_name] = event.stream_position


def to_json(value: Any) -> str:
    """JSON of a value; if that is too long, a string with its beginning."""
    text = json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= MAX_LENGTH else json.dumps(bounded(text))
