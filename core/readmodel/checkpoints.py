"""How far each generation of a view has come, and who runs it. The one place that knows collection `checkpoints`.

`{_id: "<view>.g<generation>", …}`, see `Checkpoint` and `Lease`; where several workers share a generation, the second
has `<view>.g<generation>.p1`, and so on. `generations.py` knows which generation readers see.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from core.error_text import bounded
from core.eventstore.log import LogPoint
from core.readmodel.generations import GenerationStore, ViewGenerations
from core.readmodel.journaled import journaled

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """`position`: every followed event up to it is in the view. `caught_up_at`: when that was last all, in µs.

    `parked` counts the streams that are blocked behind a failing event: their events are not in the view. `events`
    counts the events applied since the generation began. `moved_at` is when the position last grew. `status` and
    `error` are what the owner reports. `last_event_id` is the id of the event at `last_event_position`. Up to there the
    view holds all it follows too, and from there it is followed after a restart, if the log has that event there. If it
    has not, the checkpoint has a `log_mismatch` for good: its position is not trusted, and the generation applies
    nothing more. `log` is the identity of the log that it was made of, "" if that is not known.
    """

    view: str
    generation: int
    position: int
    caught_up_at: int
    updated_at: int
    epoch: int
    part: int = 0
    parked: int = 0
    events: int = 0
    moved_at: int = 0
    status: str = ""
    error: str = ""
    last_event_position: int = 0
    last_event_id: str = ""
    log_mismatch: bool = False
    log: str = ""

    @property
    def point(self) -> LogPoint:
        """The last one up to which every followed event is in the view and whose event is known."""
        return LogPoint(self.last_event_position, self.last_event_id) if self.last_event_id else LogPoint(self.position)

    @property
    def trusted_position(self) -> int:
        """The position up to which readers may rely on the view."""
        return 0 if self.log_mismatch else self.position


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """`owner` is "" while nobody runs the view; `heartbeats` counts the owner's."""

    owner: str
    epoch: int
    heartbeats: int


class Fenced(Exception):  # it names what happened
    """Another process has taken this view over; what this one still holds must not be written."""


def now_micros() -> int:
    return time.time_ns() // 1000


def collection_name(view: str, generation: int) -> str:
    return f"{view}.g{generation}"


def checkpoint_name(view: str, generation: int, part: int = 0) -> str:
    return f"{view}.g{generation}.p{part}" if part else f"{view}.g{generation}"


STORED = {  # fields of `Checkpoint`, and what they are called in the store
    name: {"last_event_position": "marked", "last_event_id": "mark", "log_mismatch": "astray"}.get(name, name)
    for name in (
        "position", "caught_up_at", "updated_at", "parked", "events", "moved_at", "status", "error",
        "last_event_position", "last_event_id", "log_mismatch", "log",
    )
}  # fmt: skip


class CheckpointStore:
    """Reads and moves checkpoints."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._database = journaled(database)
        self.generations = GenerationStore(database)
        self._checkpoints: AsyncCollection[Document] = self._database["checkpoints"]

    def documents(self, view: str, generation: int) -> AsyncCollection[Document]:
        return self._database[collection_name(view, generation)]

    async def generation(self, view: str) -> int:
        """The live one."""
        return (await self.generations.get(view)).generation

    async def checkpoint(self, view: str) -> Checkpoint | None:
        """That of the live generation, as readers may rely on it; None if no process has ever run the view."""
        return await self.checkpoint_of(await self.generations.get(view))

    async def checkpoint_of(self, pointer: ViewGenerations) -> Checkpoint | None:
        """The same, for a pointer that was read before."""
        found = await self.of_generation(pointer, pointer.generation)
        return None if found is None else replace(found, position=found.trusted_position)

    async def of_generation(self, pointer: ViewGenerations, generation: int) -> Checkpoint | None:
        """That of any generation: where the slowest of its workers stands. None if one has never run."""
        parts = await self.parts(pointer, generation)
        return None if len(parts) < pointer.info(generation).partitions else combined(parts)

    async def parts(self, pointer: ViewGenerations, generation: int) -> list[Checkpoint]:
        """One for each of its workers that has ever run."""
        view, found = pointer.view, []
        for part in range(pointer.info(generation).partitions):
            document = await self._checkpoints.find_one({"_id": checkpoint_name(view, generation, part)})
            if document is not None:
                found.append(_checkpoint(view, generation, part, document))
        return found

    async def paused(self, view: str) -> bool:
        return (await self.generations.get(view)).paused

    async def pause(self, view: str) -> None:
        """Nobody runs the view until it is resumed. Who runs it now is fenced, after the batch at work."""
        pointer = await self.generations.change(view, lambda now: replace(now, paused=True))
        assert pointer is not None, "pausing is always a change"
        for generation in pointer.active():
            for part in range(pointer.info(generation).partitions):
                await self.take_over(view, generation, part=part)

    async def resume(self, view: str) -> None:
        await self.generations.change(view, lambda now: replace(now, paused=False))

    async def lease(self, view: str, generation: int, part: int = 0) -> Lease | None:
        """Who runs the view; None if nobody ever has."""
        found = await self._checkpoints.find_one({"_id": checkpoint_name(view, generation, part)})
        return None if found is None else _lease(found)

    async def take_over(self, view: str, generation: int, owner: str = "", *, part: int = 0) -> Checkpoint:
        """Begin a new epoch, whoever owns the view: what is written under an older one is fenced from now on."""
        found = await self._checkpoints.find_one_and_update(
            {"_id": checkpoint_name(view, generation, part)},
            {
                "$inc": {"epoch": 1},
                "$set": {"owner": owner, "updated_at": now_micros()},
                "$setOnInsert": {"position": 0, "caught_up_at": 0, "beats": 0},
            },
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        assert found is not None, "an upsert returns what it made"
        return _checkpoint(view, generation, part, found)

    async def claim(self, view: str, generation: int, owner: str, seen: Lease, *, part: int = 0) -> Checkpoint | None:
        """Begin a new epoch if the lease is still as it was seen; None if its owner lives or another was quicker."""
        found = await self._checkpoints.find_one_and_update(
            {"_id": checkpoint_name(view, generation, part), "epoch": seen.epoch, "beats": seen.heartbeats},
            {"$set": {"epoch": seen.epoch + 1, "owner": owner, "updated_at": now_micros()}},
            return_document=ReturnDocument.AFTER,
        )
        return None if found is None else _checkpoint(view, generation, part, found)

    async def parked_streams(self, view: str) -> int:
        """The number of parked streams of the live generation."""
        pointer = await self.generations.get(view)
        owners = worker_keys(pointer, pointer.generation)
        return len(await self._database["parked"].distinct("stream", {"owner": {"$in": owners}}))

    async def is_parked(self, view: str, generation: int, position: int) -> bool:
        """Whether the event at a position is parked."""
        owners = worker_keys(await self.generations.get(view), generation)
        keys = [f"{owner}:{position}" for owner in owners]
        return await self._database["parked"].find_one({"_id": {"$in": keys}}, {"_id": 1}) is not None

    async def has_skipped(self, view: str, stream: str) -> bool:
        """Whether operators left an event of a stream out of a view."""
        where = {"view": view, "stream": stream}
        return await self._database["skipped"].find_one(where, {"_id": 1}) is not None

    async def first_parked(self, view: str, generation: int, stream: str) -> dict[str, Any] | None:
        """The event at which a stream is parked, with the number of parked `events`; None if it is not."""
        where = {"owner": {"$in": worker_keys(await self.generations.get(view), generation)}, "stream": stream}
        found = [one async for one in self._database["parked"].find(where).sort("position", 1)]
        positions = {one["position"] for one in found}  # each part of a generation may hold the same event back
        return {**found[0], "events": len(positions)} if found else None

    async def failed(self, view: str, generation: int, streams: Sequence[str]) -> dict[str, str]:
        """Of those streams that are parked: at which event, and why."""
        owners = worker_keys(await self.generations.get(view), generation)
        where = {"owner": {"$in": owners}, "stream": {"$in": list(streams)}, "error": {"$ne": None}}
        return {
            one["stream"]: bounded(f"{one['event_type']} {one['revision']}@{one['stream']}: {one['error']}")
            async for one in self._database["parked"].find(where).sort("position", -1)
        }

    async def release(self, checkpoint: Checkpoint) -> None:
        """Let another process take the view at once. Nothing happens if it has."""
        await self._checkpoints.update_one(_under_its_epoch(checkpoint), {"$set": {"owner": "", "status": ""}})

    async def report(self, checkpoint: Checkpoint) -> None:
        """Write the owner's status, without a heartbeat. Nothing happens if it is the owner no longer."""
        said = {"status": checkpoint.status, "error": checkpoint.error, "astray": checkpoint.log_mismatch}
        await self._checkpoints.update_one(_under_its_epoch(checkpoint), {"$set": said})

    async def heartbeat(self, checkpoint: Checkpoint) -> None:
        """A heartbeat during long work. Raises `Fenced` if its epoch is over."""
        done = await self._checkpoints.update_one(
            _under_its_epoch(checkpoint), {"$inc": {"beats": 1}, "$set": {"updated_at": now_micros()}}
        )
        if not done.matched_count:
            raise _fenced(checkpoint)

    async def advance(self, checkpoint: Checkpoint) -> None:
        """Write it, which is also the owner's heartbeat. Raises `Fenced` if its epoch is over."""
        done = await self._checkpoints.update_one(
            _under_its_epoch(checkpoint),
            {"$set": {stored: getattr(checkpoint, name) for name, stored in STORED.items()}, "$inc": {"beats": 1}},
        )
        if not done.matched_count:
            raise _fenced(checkpoint)

    async def forget(self, pointer: ViewGenerations, generation: int) -> None:
        """Remove what is known of a generation that nobody may come back to."""
        owners = worker_keys(pointer, generation)
        await self._database["parked"].delete_many({"owner": {"$in": owners}})
        await self._checkpoints.delete_many({"_id": {"$in": owners}})


def worker_keys(pointer: ViewGenerations, generation: int) -> list[str]:
    return [checkpoint_name(pointer.view, generation, part) for part in range(pointer.info(generation).partitions)]


def combined(parts: Iterable[Checkpoint]) -> Checkpoint:
    """That of a generation that several workers share: as far as the slowest of them."""
    parts = list(parts)
    behind = min(parts, key=lambda part: part.trusted_position)
    return replace(
        behind,
        caught_up_at=min(part.caught_up_at for part in parts),
        epoch=sum(part.epoch for part in parts),
        parked=sum(part.parked for part in parts),
        events=min(part.events for part in parts),  # each of them is brought every event
        error=next((part.error for part in parts if part.error), ""),
        log_mismatch=any(part.log_mismatch for part in parts),
    )


def _under_its_epoch(checkpoint: Checkpoint) -> Document:
    key = checkpoint_name(checkpoint.view, checkpoint.generation, checkpoint.part)
    return {"_id": key, "epoch": checkpoint.epoch}


def _fenced(checkpoint: Checkpoint) -> Fenced:
    return Fenced(f"{checkpoint.view} belongs to another process since epoch {checkpoint.epoch}")


def _lease(found: Document) -> Lease:
    return Lease(owner=found["owner"], epoch=found["epoch"], heartbeats=found["beats"])


def _checkpoint(view: str, generation: int, part: int, found: Document) -> Checkpoint:
    known = {name: found[stored] for name, stored in STORED.items() if stored in found}
    return Checkpoint(view=view, generation=generation, part=part, epoch=found["epoch"], **known)
