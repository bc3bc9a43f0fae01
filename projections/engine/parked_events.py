"""Parked events (dead letters): if a view cannot apply an event, its stream is parked for that view, in order."""

import re
from dataclasses import dataclass, replace
from typing import Any

from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from core.error_text import bounded, error_text
from core.eventstore.client import RecordedEvent
from core.eventstore.codec import MalformedEvent, UnknownEventType
from core.readmodel.checkpoints import checkpoint_name, now_micros
from core.readmodel.journaled import journaled

UNREAD = f"^({UnknownEventType.__name__}|{MalformedEvent.__name__}): "  # the beginning of such an error in `parked`
UNREADABLE = re.compile(UNREAD)


@dataclass(frozen=True, slots=True)
class Parked:
    """`error` is None for an event that only waits behind a failed one."""

    stream: str
    revision: int
    position: int
    event_type: str
    error: str | None


@dataclass(frozen=True, slots=True)
class ParkedStream:
    """The failed event, the number of events behind it, and their positions."""

    failed: Parked
    waiting: int
    parked_at: int
    positions: tuple[int, ...]

    @classmethod
    def of(cls, events: list[dict[str, Any]]) -> "ParkedStream":
        first = events[0]
        names = ("stream", "revision", "position", "event_type", "error")
        failed = Parked(*(first[name] for name in names))
        if failed.error is not None:
            failed = replace(failed, error=bounded(failed.error))  # former releases stored complete documents
        return cls(failed, len(events) - 1, first["parked_at"], tuple(event["position"] for event in events))


def to_parked(event: RecordedEvent, error: Exception | None) -> Parked:
    text = None if error is None else error_text(error)
    return Parked(event.stream_name, event.stream_position, event.commit_position or 0, event.type, text)


def describe_failure(event_type: str, revision: int, stream: str, error: str) -> str:
    return bounded(f"{event_type} {revision}@{stream}: {error}")


class SkippedEvents:
    """Skipped events: operators have skipped them in every generation of a view. Collection `skipped`."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._skipped: AsyncCollection[dict[str, Any]] = journaled(database)["skipped"]

    async def of(self, view: str) -> set[int]:
        """Their positions."""
        return {one["position"] async for one in self._skipped.find({"view": view})}

    async def add(self, view: str, event: Parked, actor: str, reason: str) -> None:
        """Repeatable."""
        what = {
            "view": view,
            "stream": event.stream,
            "revision": event.revision,
            "position": event.position,
        }
        why = {"actor": actor, "reason": reason, "skipped_at": now_micros()}
        await self._skipped.replace_one({"_id": f"{view}:{event.position}"}, {**what, **why}, upsert=True)


class ParkedEvents:
    """The parked events of one generation of one view: collection `parked`, `{_id: "<view>.g<n>:<position>", …}`."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], view: str, generation: int, part: int = 0) -> None:
        self._events: AsyncCollection[dict[str, Any]] = journaled(database)["parked"]
        self._owner = checkpoint_name(view, generation, part)
        self._skips = SkippedEvents(database)
        self._view = view
        self.first: dict[str, int] = {}  # the position from which on a stream's events wait
        self.skipped: set[int] = set()
        self.last_error = ""

    async def load(self) -> None:
        self.first, self.last_error = {}, ""
        self.skipped = await self._skips.of(self._view)
        async for event in self._events.find({"owner": self._owner}).sort("position", 1):
            self.first.setdefault(event["stream"], event["position"])
            if event["error"] is not None:
                self.last_error = describe_failure(
                    event["event_type"], event["revision"], event["stream"], event["error"]
                )

    async def release(self, stream: str, still: tuple[int, str] | None) -> None:
        """The stream's events are in the view: all of them, or those before a position where it still fails."""
        waiting: dict[str, Any] = {"owner": self._owner, "stream": stream}
        if still is not None:
            position, error = still
            await self._events.update_one({**waiting, "position": position}, {"$set": {"error": error}})
            waiting["position"] = {"$lt": position}
        await self._events.delete_many(waiting)
        await self.load()

    async def streams(self) -> list[ParkedStream]:
        """The parked streams, the oldest first."""
        found: dict[str, list[dict[str, Any]]] = {}
        async for event in self._events.find({"owner": self._owner}).sort("position", 1):
            found.setdefault(event["stream"], []).append(event)
        return [ParkedStream.of(events) for events in found.values()]

    async def unread(self) -> list[Parked]:
        """The events at which streams are parked because the former code could not read them, the oldest first."""
        found = self._events.find({"owner": self._owner, "error": {"$regex": UNREAD}}).sort("position", 1)
        names = ("stream", "revision", "position", "event_type", "error")
        return [Parked(*(event[name] for name in names)) async for event in found]

    async def add(self, events: list[Parked]) -> None:
        """Repeatable: an event is parked once, however often it is delivered."""
        if not events:
            return
        at = now_micros()
        await self._events.bulk_write(
            [
                UpdateOne(
                    {"_id": f"{self._owner}:{event.position}"},
                    {
                        "$setOnInsert": {
                            "owner": self._owner,
                            "stream": event.stream,
                            "revision": event.revision,
                            "position": event.position,
                            "event_type": event.event_type,
                            "error": event.error,
                            "parked_at": at,
                        }
                    },
                    upsert=True,
                )
                for event in events
            ],
            ordered=False,
        )
        for event in events:
            self.first.setdefault(event.stream, event.position)
            if event.error is not None:
                self.last_error = describe_failure(event.event_type, event.revision, event.stream, event.error)
