"""How far each generation of a view has come, and who runs it. The one place that knows collection `checkpoints`.

`{_id: "<view>.g<generation>", …}`, see `Checkpoint` and `Lease`; where several workers share a generation, the second
has `<view>.g<generation>.p1`, and so on. Which generation readers see is said by the pointer (`pointer.py`).
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
from core.readmodel.generations import Pointer, Pointers
from core.readmodel.journaled import durable

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """`position`: every followed event up to it is in the view. `caught_up_at`: when that was last all, in µs.

    `parked` counts the streams held back after a failing event: their events are not in the view. `events` counts what
    was taken in since the generation began. `moved_at` is when the position last grew. `status` and `error` are what
    the owner says of itself. `mark` is the id of the event at `marked`. Up to there the view holds all it follows too,
    and from there it is followed after a restart, once the log has that event there. A log that has not makes the
    checkpoint `astray` for good: its position vouches for nothing, and the generation takes in nothing more. `log` is
    the identity of the log that it was made of, "" if that is not known.
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
    marked: int = 0
    mark: str = ""
    astray: bool = False
    log: str = ""

    @property
    def point(self) -> LogPoint:
        """The last one up to which every followed event is in the view and whose event is known."""
        return LogPoint(self.marked, self.mark) if self.mark else LogPoint(self.position)

    @property
    def vouched(self) -> int:
        """The position up to which readers may rely on the view."""
        return 0 if self.astray else self.position


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """`owner` is "" while nobody runs the view; `beats` counts the owner's signs of life."""

    owner: str
    epoch: int
    beats: int


class Fenced(Exception):  # it names what happened
    """Another process has taken this view over; what this one still holds must not be written."""


def now_micros() -> int:
    return time.time_ns() // 1000


def collection_name(view: str, generation: int) -> str:
    return f"{view}.g{generation}"


def checkpoint_name(view: str, generation: int, part: int = 0) -> str:
    return f"{view}.g{generation}.p{part}" if part else f"{view}.g{generation}"


KEPT_IN_CHECKPOINT = (
    "position", "caught_up_at", "updated_at", "parked", "events", "moved_at", "status", "error", "marked", "mark",
    "astray", "log",
)  # fmt: skip


class ViewState:
    """Reads and moves checkpoints."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._database = durable(database)
        self.pointers = Pointers(database)
        self._checkpoints: AsyncCollection[Document] = self._database["checkpoints"]

    def documents(self, view: str, generation: int) -> AsyncCollection[Document]:
        return self._database[collection_name(view, generation)]

    async def generation(self, view: str) -> int:
        """The live one."""
        return (await self.pointers.get(view)).generation

    async def checkpoint(self, view: str) -> Checkpoint | None:
        """That of the live generation, as readers may rely on it; None if no process has ever run the view."""
        return await self.checkpoint_of(await self.pointers.get(view))

    async def checkpoint_of(self, pointer: Pointer) -> Checkpoint | None:
        """The same, for a pointer that was read before."""
        found = await self.of_generation(pointer, pointer.generation)
        return None if found is None else replace(found, position=found.vouched)

    async def of_generation(self, pointer: Pointer, generation: int) -> Checkpoint | None:
        """That of any generation: where the slowest of its workers stands. None if one has never run."""
        parts = await self.parts(pointer, generation)
        return None if len(parts) < pointer.how(generation).partitions else slowest(parts)

    async def parts(self, pointer: Pointer, generation: int) -> list[Checkpoint]:
        """One for each of its workers that has ever run."""
        view, found = pointer.view, []
        for part in range(pointer.how(generation).partitions):
            document = await self._checkpoints.find_one({"_id": checkpoint_name(view, generation, part)})
            if document is not None:
                found.append(_checkpoint(view, generation, part, document))
        return found

    async def paused(self, view: str) -> bool:
        return (await self.pointers.get(view)).paused

    async def pause(self, view: str) -> None:
        """Nobody runs the view until it is resumed. Who runs it now is fenced, after the batch at work."""
        pointer = await self.pointers.change(view, lambda now: replace(now, paused=True))
        assert pointer is not None, "pausing is always a change"
        for generation in pointer.followed():
            for part in range(pointer.how(generation).partitions):
                await self.take_over(view, generation, part=part)

    async def resume(self, view: str) -> None:
        await self.pointers.change(view, lambda now: replace(now, paused=False))

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
            {"_id": checkpoint_name(view, generation, part), "epoch": seen.epoch, "beats": seen.beats},
            {"$set": {"epoch": seen.epoch + 1, "owner": owner, "updated_at": now_micros()}},
            return_document=ReturnDocument.AFTER,
        )
        return None if found is None else _checkpoint(view, generation, part, found)

    async def parked_streams(self, view: str) -> int:
        """How many streams the live generation holds back after a failing event."""
        pointer = await self.pointers.get(view)
        owners = owners_of(pointer, pointer.generation)
        return len(await self._database["parked"].distinct("stream", {"owner": {"$in": owners}}))

    async def is_parked(self, view: str, generation: int, position: int) -> bool:
        """Whether the event at a position is held back."""
        owners = owners_of(await self.pointers.get(view), generation)
        keys = [f"{owner}:{position}" for owner in owners]
        return await self._database["parked"].find_one({"_id": {"$in": keys}}, {"_id": 1}) is not None

    async def first_parked(self, view: str, generation: int, stream: str) -> dict[str, Any] | None:
        """The event at which a stream is held back, with how many `events` are; None if it is not."""
        where = {"owner": {"$in": owners_of(await self.pointers.get(view), generation)}, "stream": stream}
        found = [one async for one in self._database["parked"].find(where).sort("position", 1)]
        positions = {one["position"] for one in found}  # each part of a generation may hold the same event back
        return {**found[0], "events": len(positions)} if found else None

    async def failed(self, view: str, generation: int, streams: Sequence[str]) -> dict[str, str]:
        """Of those streams that are held back: at which event, and why."""
        owners = owners_of(await self.pointers.get(view), generation)
        where = {"owner": {"$in": owners}, "stream": {"$in": list(streams)}, "error": {"$ne": None}}
        return {
            one["stream"]: bounded(f"{one['event_type']} {one['revision']}@{one['stream']}: {one['error']}")
            async for one in self._database["parked"].find(where).sort("position", -1)
        }

    async def release(self, checkpoint: Checkpoint) -> None:
        """Let another process take the view at once. Nothing happens if it has."""
        await self._checkpoints.update_one(_under_its_epoch(checkpoint), {"$set": {"owner": "", "status": ""}})

    async def tell(self, checkpoint: Checkpoint) -> None:
        """Say how the owner is, without a sign of life. Nothing happens if it is the owner no longer."""
        said = {"status": checkpoint.status, "error": checkpoint.error, "astray": checkpoint.astray}
        await self._checkpoints.update_one(_under_its_epoch(checkpoint), {"$set": said})

    async def beat(self, checkpoint: Checkpoint) -> None:
        """A sign of life in the midst of long work. Raises `Fenced` if its epoch is over."""
        done = await self._checkpoints.update_one(
            _under_its_epoch(checkpoint), {"$inc": {"beats": 1}, "$set": {"updated_at": now_micros()}}
        )
        if not done.matched_count:
            raise _fenced(checkpoint)

    async def advance(self, checkpoint: Checkpoint) -> None:
        """Write it, which is also the owner's sign of life. Raises `Fenced` if its epoch is over."""
        done = await self._checkpoints.update_one(
            _under_its_epoch(checkpoint),
            {"$set": {name: getattr(checkpoint, name) for name in KEPT_IN_CHECKPOINT}, "$inc": {"beats": 1}},
        )
        if not done.matched_count:
            raise _fenced(checkpoint)

    async def forget(self, pointer: Pointer, generation: int) -> None:
        """Remove what is known of a generation that nobody may come back to."""
        owners = owners_of(pointer, generation)
        await self._database["parked"].delete_many({"owner": {"$in": owners}})
        await self._checkpoints.delete_many({"_id": {"$in": owners}})


def owners_of(pointer: Pointer, generation: int) -> list[str]:
    return [checkpoint_name(pointer.view, generation, part) for part in range(pointer.how(generation).partitions)]


def slowest(parts: Iterable[Checkpoint]) -> Checkpoint:
    """Where a generation stands that several workers share: as far as the one that is least far."""
    parts = list(parts)
    behind = min(parts, key=lambda part: part.vouched)
    return replace(
        behind,
        caught_up_at=min(part.caught_up_at for part in parts),
        epoch=sum(part.epoch for part in parts),
        parked=sum(part.parked for part in parts),
        events=min(part.events for part in parts),  # each of them is brought every event
        error=next((part.error for part in parts if part.error), ""),
        astray=any(part.astray for part in parts),
    )


def _under_its_epoch(checkpoint: Checkpoint) -> Document:
    key = checkpoint_name(checkpoint.view, checkpoint.generation, checkpoint.part)
    return {"_id": key, "epoch": checkpoint.epoch}


def _fenced(checkpoint: Checkpoint) -> Fenced:
    return Fenced(f"{checkpoint.view} belongs to another process since epoch {checkpoint.epoch}")


def _lease(found: Document) -> Lease:
    return Lease(owner=found["owner"], epoch=found["epoch"], beats=found["beats"])


def _checkpoint(view: str, generation: int, part: int, found: Document) -> Checkpoint:
    known = {name: found[name] for name in KEPT_IN_CHECKPOINT if name in found}
    return Checkpoint(view=view, generation=generation, part=part, epoch=found["epoch"], **known)
