"""What all views of one process share: reads, the heartbeat, and the subscription of the live ones."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from core.eventstore.log import streams
from core.readmodel.generations import GenerationStore, ViewGenerations
from core.readmodel.view import View, stream_filter
from core.recent import Recent
from projections.config import Settings
from projections.engine.lease import process_id
from projections.engine.live_group import LiveGroup
from projections.engine.membership import Membership
from projections.stores import Stores


class Host:
    """Of `views`, those that the process runs."""

    def __init__(self, views: Sequence[View[Any]], stores: Stores, settings: Settings) -> None:
        names = [view.name for view in views]
        categories = sorted({category for view in views for category in view.categories})
        store, stored = stores.checkpoints, stores.checkpoints.generations
        self.stores = stores
        self.membership = Membership(store, process_id(), settings.heartbeat, settings.lease)
        self.live = LiveGroup(stores.log, store, self.membership, settings, streams(stream_filter(tuple(categories))))
        self._generations = Recent(lambda: stored.stored(names), settings.poll_interval / 2)

    async def generations(self, view: str, *, fresh: bool = False) -> ViewGenerations:
        """Those of one of the views; `fresh` if they may have changed a moment ago."""
        if fresh:
            self._generations.forget()
        return GenerationStore.from_document(view, (await self._generations.get()).get(view))

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Host"]:
        """While this is open, the process is alive for the others. The views end before it does."""
        async with self.membership.alive(), self.live.running():
            yield self
