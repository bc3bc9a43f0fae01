"""Fold the log anew and compare it with the views, document by document, while the system serves.

A document says which event was the last in it, so it is compared with the fold at exactly that event, wherever the log
and the view have got to meanwhile.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from esdbclient import RecordedEvent
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from pymongo.asynchronous.database import AsyncDatabase

from projections.failure import Skips
from projections.hanging import called
from projections.view import View, stream_filter
from server.eventstore import codec
from server.eventstore.codec import UnknownEventType
from server.eventstore.reading import position_of
from server.eventstore.registry import CATEGORIES
from server.readmodel.log import Log
from server.readmodel.state import ViewState

PROGRESS_EVERY = 5_000  # events
CATCH_UP_WITHIN = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Progress:
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

    def differ(self, found: Difference, most: int, *, document: bool = True) -> None:
        """One more; `document`: it can be mended by making that document anew."""
        self.differences += 1
        if document:
            self.keys.add(found.key)
        if len(self.listed) < most:
            self.listed.append(found)


@dataclass(slots=True)
class _Fold:
    """One view out of the log, in memory; `waiting` has the documents that are ahead of the fold, by key.

    A stream with an event that cannot be folded is `stuck` from there on, as it is parked in the view.
    """

    view: View[Any]
    result: Result
    most: int
    bodies: dict[str, Any] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, tuple[int, Any]] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    skipped: set[int] = field(default_factory=set)  # by an operator's word

    def take(self, event: RecordedEvent) -> None:
        if event.stream_name in self.stuck or position_of(event) in self.skipped:
            return
        try:
            recorded = codec.recorded(event)
            handled = self.view.handler(recorded)
            if handled is None:
                return
            key, reduce = handled
            body = called(reduce, self.bodies.get(key), recorded)
        except UnknownEventType:
            return
        except Exception as error:  # noqa: BLE001  # what fails here is parked in the view: one difference a stream
            self.stuck.add(event.stream_name)
            self.result.parked += 1
            failed = f"{type(error).__name__}: {error}"
            self.differ(event.stream_name, f"revision {event.stream_position}", failed, None, document=False)
            return
        self.result.events += 1
        self.bodies[key], self.positions[key] = body, recorded.position
        ahead = self.waiting.get(key)
        if ahead is not None and ahead[0] == recorded.position:
            del self.waiting[key]
            self.compare(key, body, ahead[1])

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
    """Reads the log once for all views that are asked for."""

    def __init__(
        self,
        client: AsyncEventStoreDBClient,
        database: AsyncDatabase[Any],
        *,
        catch_up_within: float = CATCH_UP_WITHIN,
    ) -> None:
        self._patience = catch_up_within
        self._log = Log(client)
        self._state = ViewState(database)
        self._skips = Skips(database)

    async def verify(
        self, views: Sequence[View[Any]], most: int = 20, *, generation: int | None = None, since: int = 0
    ) -> AsyncIterator[Progress | Result]:
        """Progress now and then, then one result per view.

        It looks at the live generation, or at the one that is given; at documents changed behind `since` only.
        """
        head = await self.head()
        folds = [_Fold(view, Result(view.name), most, skipped=await self._skips.of(view.name)) for view in views]
        log = _Reading(self._log, folds)
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
            fold.result.streams = log.streams_of(fold.view)
            for stream, revision in log.gaps_of(fold.view):
                fold.differ(stream, "revision", revision, None, document=False)
            yield fold.result

    async def _compare(self, fold: _Fold, head: int, generation: int | None, since: int) -> None:
        name = fold.view.name
        generation = generation or await self._state.generation(name)
        fold.result.checkpoint = await self._caught_up(fold.view, head, generation)
        end = await self._log.head()  # of everything: a checkpoint also moves over events of others
        if fold.result.checkpoint > end:
            fold.differ("checkpoint", "position", f"at most {end}", fold.result.checkpoint, document=False)
        seen = set()
        async for document in self._state.documents(name, generation).find({}):
            key, position = document.pop("_id"), document.pop("position")
            seen.add(key)
            fold.result.documents += 1
            if position <= since:
                continue
            if position > head:
                fold.waiting[key] = (position, document)
            elif position != fold.positions.get(key):
                fold.differ(key, "position", fold.positions.get(key), position)
            else:
                fold.compare(key, fold.bodies[key], document)
        for key in fold.bodies.keys() - seen:
            if fold.bodies[key] is not None:
                fold.differ(key, "", fold.bodies[key], None)

    async def _caught_up(self, view: View[Any], head: int, generation: int) -> int:
        """The checkpoint once it covers `head`, or what it is when patience ends (the comparison then tells)."""
        deadline = time.monotonic() + self._patience
        wanted = await self.head(view, head)
        while True:
            pointer = await self._state.pointers.get(view.name)
            checkpoint = await self._state.of_generation(pointer, generation)
            position = 0 if checkpoint is None else checkpoint.position
            if position >= wanted or time.monotonic() > deadline:
                return position
            await asyncio.sleep(0.05)

    async def head(self, view: View[Any] | None = None, until: int | None = None) -> int:
        """The position of the last event (that the view follows, at or before `until`); 0 if there is none."""
        pattern = stream_filter(CATEGORIES if view is None else view.categories)
        return await self._log.head(pattern, until)


class _Reading:
    """The domain's events, in order, into every fold; and whether revisions are dense."""

    def __init__(self, log: Log, folds: Sequence[_Fold]) -> None:
        self._log = log
        self._folds = folds
        self._revisions: dict[str, int] = {}
        self._gaps: dict[str, int] = {}
        self._events = 0

    async def fold(self, after: int, until: int) -> AsyncIterator[Progress]:
        if until <= after:
            return
        async with aclosing(self._log.after(after, stream_filter(CATEGORIES))) as reading:
            async for event in reading:
                position = position_of(event)
                if position > until:
                    break
                self._take(event)
                if self._events % PROGRESS_EVERY == 0:
                    yield Progress(self._events, position, until)
                    await asyncio.sleep(0)

    def _take(self, event: RecordedEvent) -> None:
        self._check_revision(event)
        category = event.stream_name.partition("-")[0]
        for fold in self._folds:
            if category in fold.view.categories:
                fold.take(event)
        self._events += 1

    def streams_of(self, view: View[Any]) -> int:
        return sum(stream.partition("-")[0] in view.categories for stream in self._revisions)

    def gaps_of(self, view: View[Any]) -> list[tuple[str, int]]:
        return [(s, revision) for s, revision in self._gaps.items() if s.partition("-")[0] in view.categories]

    def _check_revision(self, event: RecordedEvent) -> None:
        wanted = self._revisions.get(event.stream_name, -1) + 1
        if event.stream_position != wanted:
            self._gaps.setdefault(event.stream_name, wanted)
        self._revisions[event.stream_name] = event.stream_position


def to_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
