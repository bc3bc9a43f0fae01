"""What all views of one process look at now and then: once for all of them, not once for each."""

from collections.abc import Iterable
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from core.eventstore.connection import Client
from core.eventstore.log import EventLog
from core.readmodel.generations import GenerationStore, ViewGenerations
from core.recent import Recent


class SharedReads:
    """`every` is the pause between two looks of a view, in seconds; what it sees is at most half as old."""

    def __init__(self, views: Iterable[str], client: Client, database: AsyncDatabase[Any], every: float) -> None:
        names = tuple(views)
        pointers = GenerationStore(database)
        self.log = EventLog(client, shares_head=every)
        self._generations = Recent(lambda: pointers.stored(names), every / 2)

    async def pointer(self, view: str, *, fresh: bool = False) -> ViewGenerations:
        """That of one of the views; `fresh` if it may have changed a moment ago."""
        if fresh:
            self._generations.forget()
        return GenerationStore.from_document(view, (await self._generations.get()).get(view))
