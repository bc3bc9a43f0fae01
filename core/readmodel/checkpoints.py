"""The checkpoint and the owner of each part of each generation. The one module that knows collection `checkpoints`.

One document, `{_id: "parts", parts: {…}, processes: {…}}`, has all of it. So one write advances every view that a
process runs, and one read shows every lease. `parts` has a `Checkpoint` and its owner under
`<view>:g<generation>:p<part>`; several workers can share a generation, each has a part. `processes` has the heartbeats
of each process. `generations.py` knows which generation readers see.

Former releases kept a document for each part, `{_id: "<view>.g<generation>"}`, and in it heartbeats of its own. It
counts until a process of this release takes the part over.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from core.error_text import bounded
from core.eventstore.log import LogPoint
from core.readmodel.generations import GenerationStore, ViewGenerations
from core.readmodel.journaled import journaled

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """`position`: every followed event up to it is in the view. `caught_up_at`: when that was last all of the log, in
    µs.

    `parked` counts the streams that are blocked behind a failing event: their events are not in the view. `events`
    counts the events applied since the generation began. `moved_at` is when the position last grew. `status` and
    `error` are what the owner reports. `last_event_id` is the id of the event at `last_event_position`. Up to there the
    view holds all it follows too, and from there it is followed after a restart, if the log has that event there. If it
    has not, the checkpoint has a `log_mismatch` for good: its position is not trusted, and the generation applies
    nothing more. `log` is the identity of the log that it was made of, "" if that is not known. `owner` is the process
    that has begun the epoch.
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
    owner: str = ""

    @property
    def key(self) -> str:
        return part_key(self.view, self.generation, self.part)

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
    """`owner` is "" while no process runs the part; `heartbeats` counts those of the owner."""

    owner: str
    epoch: int
    heartbeats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessEntry:
    """`wants` are the keys of the parts that the process runs or would run."""

    owner: str
    heartbeats: int
    wants: frozenset[str]


@dataclass(frozen=True, slots=True)
class LeaseTable:
    """The leases by part, and the processes by name; parts that only a former release has run are missing."""

    parts: Mapping[str, Lease] = field(default_factory=dict)
    processes: Mapping[str, ProcessEntry] = field(default_factory=dict)


class Fenced(Exception):  # it names what happened
    """Another process has taken a part over; pending writes of this one must not be written."""


def now_micros() -> int:
    return time.time_ns() // 1000


def collection_name(view: str, generation: int) -> str:
    return f"{view}.g{generation}"


def checkpoint_name(view: str, generation: int, part: int = 0) -> str:
    return f"{view}.g{generation}.p{part}" if part else f"{view}.g{generation}"


def part_key(view: str, generation: int, part: int = 0) -> str:
    return f"{view}:g{generation}:p{part}"


def process_key(owner: str) -> str:
    """The name of a process, from its id."""
    return owner.rpartition(":")[2].replace(".", "_")


PARTS = "parts"  # the id of the document
STORED = {  # fields of `Checkpoint`, and their stored names
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
        """The checkpoint of the live generation."""
        return (await self.generations.get(view)).generation

    async def checkpoint(self, view: str) -> Checkpoint | None:
        """The trusted checkpoint of the live generation for readers; None if no process has ever run the view."""
        return await self.checkpoint_of(await self.generations.get(view))

    async def checkpoint_of(self, pointer: ViewGenerations) -> Checkpoint | None:
        """The same, for a pointer that was read before."""
        found = await self.of_generation(pointer, pointer.generation)
        return None if found is None else replace(found, position=found.trusted_position)

    async def of_generation(self, pointer: ViewGenerations, generation: int) -> Checkpoint | None:
        """The combined checkpoint of any generation: that of its slowest worker. None if none has ever run."""
        [found] = await self._combined([(pointer, generation)])
        return found

    async def live(self, views: Sequence[str]) -> dict[str, tuple[ViewGenerations, Checkpoint | None]]:
        """The generations of views and the checkpoints of the live ones, in two reads for all of them."""
        stored = await self.generations.stored(views)
        found = {view: self.generations.from_document(view, stored.get(view)) for view in views}
        checkpoints = await self._combined([(one, one.generation) for one in found.values()])
        return {view: (found[view], checkpoint) for view, checkpoint in zip(views, checkpoints, strict=True)}

    async def _combined(self, wanted: Sequence[tuple[ViewGenerations, int]]) -> list[Checkpoint | None]:
        """The checkpoint of the slowest worker of each generation. None if one has never run."""
        keys = [part_key(*part) for pointer, generation in wanted for part in _parts_of(pointer, generation)]
        stored = await self._parts(keys)
        found: list[Checkpoint | None] = []
        for pointer, generation in wanted:
            parts = await self._checkpoints_of(pointer, generation, stored)
            found.append(None if len(parts) < pointer.info(generation).partitions else combined(parts))
        return found

    async def parts(self, pointer: ViewGenerations, generation: int) -> list[Checkpoint]:
        """One for each of its workers that has ever run."""
        stored = await self._parts(part_key(*part) for part in _parts_of(pointer, generation))
        return await self._checkpoints_of(pointer, generation, stored)

    async def _checkpoints_of(self, pointer: ViewGenerations, generation: int, stored: Document) -> list[Checkpoint]:
        found = []
        for part in _parts_of(pointer, generation):
            document = stored.get(part_key(*part)) or await self._former(*part)
            if document is not None:
                found.append(_checkpoint(*part, document))
        return found

    async def _parts(self, keys: Iterable[str]) -> Document:
        found = await self._checkpoints.find_one({"_id": PARTS}, {f"parts.{key}": 1 for key in keys})
        return {} if found is None else found.get("parts", {})

    async def _former(self, view: str, generation: int, part: int) -> Document | None:
        """What a former release has stored of a part."""
        return await self._checkpoints.find_one({"_id": checkpoint_name(view, generation, part)})

    async def paused(self, view: str) -> bool:
        return (await self.generations.get(view)).paused

    async def pause(self, view: str) -> None:
        """No process runs the view until it is resumed. Its present owner is fenced, after the running batch."""
        pointer = await self.generations.change(view, lambda now: replace(now, paused=True))
        assert pointer is not None, "pausing is always a change"
        for generation in pointer.active():
            for part in range(pointer.info(generation).partitions):
                await self.take_over(view, generation, part=part)

    async def resume(self, view: str) -> None:
        await self.generations.change(view, lambda now: replace(now, paused=False))

    async def lease(self, view: str, generation: int, part: int = 0) -> Lease | None:
        """The lease of the part; None if no process ever had it."""
        found = (await self.leases()).parts.get(part_key(view, generation, part))
        return found or await self.former_lease(view, generation, part)

    async def former_lease(self, view: str, generation: int, part: int = 0) -> Lease | None:
        """The same of a part that no process of this release has run."""
        found = await self._former(view, generation, part)
        return None if found is None else Lease(owner=found["owner"], epoch=found["epoch"], heartbeats=found["beats"])

    async def leases(self) -> LeaseTable:
        """All of them, and the processes, in one read."""
        found = await self._checkpoints.find_one({"_id": PARTS})
        return LeaseTable() if found is None else _lease_table(found)

    async def take_over(self, view: str, generation: int, owner: str = "", *, part: int = 0) -> Checkpoint:
        """Begin a new epoch, whichever process owns the part: writes under an older one are fenced from now on."""
        key = part_key(view, generation, part)
        begin = {"$inc": {f"parts.{key}.epoch": 1}, "$set": _ownership(key, owner)}
        found = await self._begin_epoch(key, {f"parts.{key}": {"$exists": True}}, begin)
        if found is None:
            await self._adopt(view, generation, part)
            found = await self._begin_epoch(key, {}, begin)
        assert found is not None, "it is there by now"
        return _checkpoint(view, generation, part, found)

    async def claim(self, view: str, generation: int, owner: str, seen: Lease, *, part: int = 0) -> Checkpoint | None:
        """Begin a new epoch if the lease is unchanged; None if its owner lives or another process was faster."""
        key = part_key(view, generation, part)
        if not await self._parts([key]) and not await self._adopt(view, generation, part, seen):
            return None
        is_as_seen: Document = {f"parts.{key}.epoch": seen.epoch, f"parts.{key}.owner": seen.owner}
        if seen.owner:
            beats = seen.heartbeats or {"$in": [0, None]}
            is_as_seen[f"processes.{process_key(seen.owner)}.beats"] = beats
        begin = {"$set": {f"parts.{key}.epoch": seen.epoch + 1, **_ownership(key, owner)}}
        found = await self._begin_epoch(key, is_as_seen, begin)
        return None if found is None else _checkpoint(view, generation, part, found)

    async def _begin_epoch(self, key: str, condition: Document, begin: Document) -> Document | None:
        found = await self._checkpoints.find_one_and_update(
            {"_id": PARTS, **condition}, begin, {f"parts.{key}": 1}, return_document=ReturnDocument.AFTER
        )
        return None if found is None else found["parts"][key]

    async def _adopt(self, view: str, generation: int, part: int, seen: Lease | None = None) -> bool:
        """Begin to keep a part: go on from what a former release has stored of it, whose owner is fenced thereby.

        False if that is not as it was `seen`.
        """
        key, is_as_seen = checkpoint_name(view, generation, part), {}
        if seen is not None:
            is_as_seen = {"epoch": seen.epoch, "beats": seen.heartbeats}
        former = await self._checkpoints.find_one_and_update({"_id": key, **is_as_seen}, {"$inc": {"epoch": 1}})
        if former is None and seen is not None:
            return False
        entry = {"epoch": 0, "owner": ""} if former is None else _without(former, "_id", "beats")
        field = f"parts.{part_key(view, generation, part)}"
        with suppress(DuplicateKeyError):  # another process was faster
            await self._checkpoints.update_one(
                {"_id": PARTS, field: {"$exists": False}}, {"$set": {field: entry}}, upsert=True
            )
        return True

    async def join(self, owner: str, wants: Iterable[str]) -> None:
        """A heartbeat of a process, with the keys of the parts that it runs or would run."""
        entry = f"processes.{process_key(owner)}"
        beat = {"$set": {f"{entry}.owner": owner, f"{entry}.wants": sorted(wants)}, "$inc": {f"{entry}.beats": 1}}
        try:
            await self._checkpoints.update_one({"_id": PARTS}, beat, upsert=True)
        except DuplicateKeyError:  # two processes have made the document at the same time
            await self._checkpoints.update_one({"_id": PARTS}, beat)

    async def leave(self, process: ProcessEntry) -> None:
        """Remove a process that has ended. Nothing happens if it has a heartbeat meanwhile."""
        entry = f"processes.{process_key(process.owner)}"
        await self._checkpoints.update_one(
            {"_id": PARTS, f"{entry}.beats": process.heartbeats}, {"$unset": {entry: ""}}
        )

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

    async def has_skipped(self, view: str, stream: str | None = None) -> bool:
        """Whether operators skipped an event of a stream in a view; None: of any stream."""
        where = {"view": view} if stream is None else {"view": view, "stream": stream}
        return await self._database["skipped"].find_one(where, {"_id": 1}) is not None

    async def first_parked(self, view: str, generation: int, stream: str) -> dict[str, Any] | None:
        """The event at which a stream is parked, with the number of parked `events`; None if it is not."""
        where = {"owner": {"$in": worker_keys(await self.generations.get(view), generation)}, "stream": stream}
        found = [one async for one in self._database["parked"].find(where).sort("position", 1)]
        positions = {one["position"] for one in found}  # each part of a generation may have parked the same event
        return {**found[0], "events": len(positions)} if found else None

    async def failed(self, view: str, generation: int, streams: Sequence[str]) -> dict[str, str]:
        """The parked ones of these streams: at which event, and why."""
        owners = worker_keys(await self.generations.get(view), generation)
        where = {"owner": {"$in": owners}, "stream": {"$in": list(streams)}, "error": {"$ne": None}}
        return {
            one["stream"]: bounded(f"{one['event_type']} {one['revision']}@{one['stream']}: {one['error']}")
            async for one in self._database["parked"].find(where).sort("position", -1)
        }

    async def release(self, checkpoint: Checkpoint) -> None:
        """Release the part, so that another process takes it at once. Nothing happens if another one has it."""
        key = checkpoint.key
        left = {f"parts.{key}.owner": "", f"parts.{key}.status": ""}
        await self._checkpoints.update_one(_under_epochs(checkpoint), {"$set": left})

    async def report(self, checkpoint: Checkpoint) -> None:
        """Write the owner's status, without a heartbeat. Nothing happens if it is not the owner any more."""
        said = {"status": checkpoint.status, "error": checkpoint.error, "astray": checkpoint.log_mismatch}
        await self._checkpoints.update_one(
            _under_epochs(checkpoint),
            {"$set": {f"parts.{checkpoint.key}.{name}": value for name, value in said.items()}},
        )

    async def heartbeat(self, checkpoint: Checkpoint) -> None:
        """A heartbeat during long work. Raises `Fenced` if its epoch is over."""
        beat = {"$set": {f"parts.{checkpoint.key}.updated_at": now_micros()}, **_heartbeat(checkpoint)}
        done = await self._checkpoints.update_one(_under_epochs(checkpoint), beat)
        if not done.matched_count:
            raise _fenced(checkpoint)

    async def advance(self, *checkpoints: Checkpoint) -> None:
        """Write checkpoints of one process, which is also its heartbeat.

        Raises `Fenced` if the epoch of any of them is over; then none is written.
        """
        written = {f"parts.{one.key}": _document(one) for one in checkpoints}
        beat = {"$set": written, **_heartbeat(checkpoints[0])}
        done = await self._checkpoints.update_one(_under_epochs(*checkpoints), beat)
        if not done.matched_count:
            raise _fenced(*checkpoints)

    async def fenced(self, checkpoints: Sequence[Checkpoint]) -> dict[str, Fenced]:
        """Those whose epoch is over, by their keys."""
        stored = await self._parts(one.key for one in checkpoints)
        lost = [one for one in checkpoints if stored.get(one.key, {}).get("epoch") != one.epoch]
        return {one.key: _fenced(one) for one in lost}

    async def forget(self, pointer: ViewGenerations, generation: int) -> None:
        """Remove the checkpoints of a retired generation."""
        owners = worker_keys(pointer, generation)
        keys = [part_key(*part) for part in _parts_of(pointer, generation)]
        await self._database["parked"].delete_many({"owner": {"$in": owners}})
        await self._checkpoints.delete_many({"_id": {"$in": owners}})
        await self._checkpoints.update_one({"_id": PARTS}, {"$unset": {f"parts.{key}": "" for key in keys}})


def worker_keys(pointer: ViewGenerations, generation: int) -> list[str]:
    return [checkpoint_name(*part) for part in _parts_of(pointer, generation)]


def _parts_of(pointer: ViewGenerations, generation: int) -> list[tuple[str, int, int]]:
    return [(pointer.view, generation, part) for part in range(pointer.info(generation).partitions)]


def combined(parts: Iterable[Checkpoint]) -> Checkpoint:
    """The checkpoint of a generation with several workers: that of the slowest one."""
    parts = list(parts)
    behind = min(parts, key=lambda part: part.trusted_position)
    return replace(
        behind,
        caught_up_at=min(part.caught_up_at for part in parts),
        epoch=sum(part.epoch for part in parts),
        parked=sum(part.parked for part in parts),
        events=min(part.events for part in parts),  # each of them receives every event
        error=next((part.error for part in parts if part.error), ""),
        log_mismatch=any(part.log_mismatch for part in parts),
    )


def _under_epochs(*checkpoints: Checkpoint) -> Document:
    return {"_id": PARTS, **{f"parts.{one.key}.epoch": one.epoch for one in checkpoints}}


def _heartbeat(checkpoint: Checkpoint) -> Document:
    return {"$inc": {f"processes.{process_key(checkpoint.owner)}.beats": 1}} if checkpoint.owner else {}


def _ownership(key: str, owner: str) -> Document:
    return {f"parts.{key}.owner": owner, f"parts.{key}.updated_at": now_micros()}


def _fenced(*checkpoints: Checkpoint) -> Fenced:
    lost = ", ".join(f"{one.view} (epoch {one.epoch})" for one in checkpoints)
    return Fenced(f"another process has taken over: {lost}")


def _lease_table(found: Document) -> LeaseTable:
    processes = {
        name: ProcessEntry(
            owner=one.get("owner", ""), heartbeats=one.get("beats", 0), wants=frozenset(one.get("wants", ()))
        )
        for name, one in found.get("processes", {}).items()
    }
    parts = {}
    for key, one in found.get("parts", {}).items():
        owner = processes.get(process_key(one["owner"]))
        parts[key] = Lease(owner=one["owner"], epoch=one["epoch"], heartbeats=0 if owner is None else owner.heartbeats)
    return LeaseTable(parts, processes)


def _document(checkpoint: Checkpoint) -> Document:
    kept = {stored: getattr(checkpoint, name) for name, stored in STORED.items()}
    return {"epoch": checkpoint.epoch, "owner": checkpoint.owner, **kept}


def _checkpoint(view: str, generation: int, part: int, found: Document) -> Checkpoint:
    known: Document = {"position": 0, "caught_up_at": 0, "updated_at": 0}
    known |= {name: found[stored] for name, stored in STORED.items() if stored in found}
    return Checkpoint(
        view=view, generation=generation, part=part, epoch=found["epoch"], owner=found.get("owner", ""), **known
    )


def _without(document: Document, *names: str) -> Document:
    return {name: value for name, value in document.items() if name not in names}
