"""Requests of operators to the owner of a view, through the view store: the process that is asked may not be the owner.

Collection `requests`: `{_id, view, generation, part, streams, keys, state, told, asked_at}`. It is done once, and if
the owner ends before it is done, once more by the next; doing it twice is as good as once. The view's pointer counts
what was asked, so that owners need not look here as long as nothing is.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pymongo import ReplaceOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from core.readmodel.checkpoints import now_micros
from core.readmodel.generations import GenerationStore
from core.readmodel.journaled import journaled

WAITING, DONE, FAILED = "WAITING", "DONE", "FAILED"
LOOK_EVERY = 0.1  # seconds
OLD = 3_600_000_000  # µs after which no caller waits for an answer any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Apply the events of parked `streams`, or rebuild the documents of `keys`."""

    id: str
    view: str
    generation: int
    part: int = 0
    streams: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


class OwnerRequests:
    """Asked by services, looked for by owners."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._requests: AsyncCollection[dict[str, Any]] = journaled(database)["requests"]
        self._generations = GenerationStore(database)

    async def submit(self, requests: Sequence[Request]) -> None:
        """All of one view."""
        writes = [
            ReplaceOne(
                {"_id": one.id},
                {
                    "view": one.view,
                    "generation": one.generation,
                    "part": one.part,
                    "streams": list(one.streams),
                    "keys": list(one.keys),
                    "state": WAITING,
                    "told": "",
                    "asked_at": now_micros(),
                },
                upsert=True,
            )
            for one in requests
        ]
        if writes:
            await self._requests.bulk_write(writes, ordered=False)
            await self._generations.change(
                requests[0].view, lambda now: replace(now, request_count=now.request_count + 1)
            )

    async def waiting(self, view: str) -> list[Request]:
        """The oldest first."""
        found = self._requests.find({"view": view, "state": WAITING}).sort("asked_at", 1)
        return [
            Request(
                id=one["_id"],
                view=view,
                generation=one["generation"],
                part=one["part"],
                streams=tuple(one["streams"]),
                keys=tuple(one["keys"]),
            )
            async for one in found
        ]

    async def complete(self, request: Request, state: str, outcome: str) -> None:
        await self._requests.update_one({"_id": request.id}, {"$set": {"state": state, "told": outcome}})

    async def wait(self, ids: Sequence[str], within: float) -> tuple[bool, list[str]]:
        """Wait so many seconds for the requests; whether all are done, and their outcomes."""
        deadline = time.monotonic() + within
        while True:
            found = await self._requests.find({"_id": {"$in": list(ids)}}).to_list()
            ready = [one for one in found if one["state"] != WAITING]
            if len(ready) == len(ids) or time.monotonic() > deadline:
                return len(ready) == len(ids), [one["told"] for one in ready]
            await asyncio.sleep(LOOK_EVERY)

    async def purge(self) -> None:
        """Remove requests that were completed long ago."""
        before = now_micros() - OLD
        await self._requests.delete_many({"state": {"$ne": WAITING}, "asked_at": {"$lt": before}})
