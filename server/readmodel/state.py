"""Where views stand: which generation is live, and how far it has come. The one place that knows these two collections.

`projections`   {_id: view, generation, paused}             the pointer that readers follow, and an operator's word
`checkpoints`   {_id: "<view>.g<generation>", …}            see `Checkpoint` and `Lease`
"""

import time
from dataclasses import dataclass
from typing import Any

from pymongo import ReturnDocument, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

Document = dict[str, Any]
FIRST_GENERATION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """`position`: every followed event up to it is in the view. `caught_up_at`: when that was last all, in µs.

    `parked` counts the streams held back after a failing event: their events are not in the view.
    """

    view: str
    generation: int
    position: int
    caught_up_at: int
    updated_at: int
    epoch: int
    parked: int = 0


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


class ViewState:
    """Reads and moves pointers and checkpoints."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._database = database
        self._pointers: AsyncCollection[Document] = database["projections"]
        self._checkpoints: AsyncCollection[Document] = database["checkpoints"]
        # checkpoint last and journaled: what it vouches for is on disk before it
        self._durable = self._checkpoints.with_options(write_concern=WriteConcern(w=1, j=True))

    def documents(self, view: str, generation: int) -> AsyncCollection[Document]:
        return self._database[collection_name(view, generation)]

    async def generation(self, view: str) -> int:
        """The live one; the first is made so if there is none yet."""
        pointer = await self._pointers.find_one({"_id": view})
        if pointer is None:
            try:
                await self._pointers.insert_one({"_id": view, "generation": FIRST_GENERATION})
            except DuplicateKeyError:
                return await self.generation(view)
            return FIRST_GENERATION
        return int(pointer["generation"])

    async def checkpoint(self, view: str) -> Checkpoint | None:
        """That of the live generation; None if no process has ever run the view."""
        pointer = await self._pointers.find_one({"_id": view})
        generation = FIRST_GENERATION if pointer is None else int(pointer["generation"])
        found = await self._checkpoints.find_one({"_id": collection_name(view, generation)})
        return None if found is None else _checkpoint(view, generation, found)

    async def paused(self, view: str) -> bool:
        pointer = await self._pointers.find_one({"_id": view})
        return pointer is not None and bool(pointer.get("paused"))

    async def pause(self, view: str) -> None:
        """Nobody runs the view until it is resumed. Who runs it now is fenced, after the batch at work."""
        generation = await self.generation(view)
        await self._pointers.update_one({"_id": view}, {"$set": {"paused": True}})
        await self.take_over(view, generation)

    async def resume(self, view: str) -> None:
        await self._pointers.update_one({"_id": view}, {"$set": {"paused": False}})

    async def lease(self, view: str, generation: int) -> Lease | None:
        """Who runs the view; None if nobody ever has."""
        found = await self._checkpoints.find_one({"_id": collection_name(view, generation)})
        return None if found is None else _lease(found)

    async def take_over(self, view: str, generation: int, owner: str = "") -> Checkpoint:
        """Begin a new epoch, whoever owns the view: what is written under an older one is fenced from now on."""
        found = await self._durable.find_one_and_update(
            {"_id": collection_name(view, generation)},
            {
                "$inc": {"epoch": 1},
                "$set": {"owner": owner, "updated_at": now_micros()},
                "$setOnInsert": {"position": 0, "caught_up_at": 0, "beats": 0},
            },
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        assert found is not None, "an upsert returns what it made"
        return _checkpoint(view, generation, found)

    async def claim(self, view: str, generation: int, owner: str, seen: Lease) -> Checkpoint | None:
        """Begin a new epoch if the lease is still as it was seen; None if its owner lives or another was quicker."""
        found = await self._durable.find_one_and_update(
            {"_id": collection_name(view, generation), "epoch": seen.epoch, "beats": seen.beats},
            {"$set": {"epoch": seen.epoch + 1, "owner": owner, "updated_at": now_micros()}},
            return_document=ReturnDocument.AFTER,
        )
        return None if found is None else _checkpoint(view, generation, found)

    async def parked_streams(self, view: str) -> int:
        """How many streams the live generation holds back after a failing event."""
        owner = collection_name(view, await self.generation(view))
        return len(await self._database["parked"].distinct("stream", {"owner": owner}))

    async def is_parked(self, view: str, generation: int, position: int) -> bool:
        """Whether the event at a position is held back."""
        key = f"{collection_name(view, generation)}:{position}"
        return await self._database["parked"].find_one({"_id": key}, {"_id": 1}) is not None

    async def release(self, checkpoint: Checkpoint) -> None:
        """Let another process take the view at once. Nothing happens if it has."""
        key = collection_name(checkpoint.view, checkpoint.generation)
        await self._durable.update_one({"_id": key, "epoch": checkpoint.epoch}, {"$set": {"owner": ""}})

    async def advance(self, checkpoint: Checkpoint) -> None:
        """Write it, which is also the owner's sign of life. Raises `Fenced` if its epoch is over."""
        done = await self._durable.update_one(
            {"_id": collection_name(checkpoint.view, checkpoint.generation), "epoch": checkpoint.epoch},
            {
                "$set": {
                    "position": checkpoint.position,
                    "caught_up_at": checkpoint.caught_up_at,
                    "updated_at": checkpoint.updated_at,
                    "parked": checkpoint.parked,
                },
                "$inc": {"beats": 1},
            },
        )
        if not done.matched_count:
            raise Fenced(f"{checkpoint.view} belongs to another process since epoch {checkpoint.epoch}")


def _lease(found: Document) -> Lease:
    return Lease(owner=found["owner"], epoch=found["epoch"], beats=found["beats"])


def _checkpoint(view: str, generation: int, found: Document) -> Checkpoint:
    return Checkpoint(
        view=view,
        generation=generation,
        position=found["position"],
        caught_up_at=found["caught_up_at"],
        updated_at=found["updated_at"],
        epoch=found["epoch"],
        parked=found.get("parked", 0),
    )
