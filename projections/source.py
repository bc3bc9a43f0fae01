"""The log as one view follows it: a catch-up subscription read ahead by a task of its own, into a bounded queue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from esdbclient import RecordedEvent
from esdbclient.asyncio_client import AsyncEventStoreDBClient

from projections.view import View
from server.eventstore.reading import translated

LINGER = 0.002  # seconds that the events of one append take to arrive
CHECKPOINT_WINDOW = 500  # events the server looks through before it says how far it has come


class Broken(Exception):  # it names what happened
    """The subscription has ended without being asked to, or is silent though the log goes on."""


class Source:
    """Batches of what is there. Raises what broke the subscription once everything before it has been taken."""

    def __init__(self, client: AsyncEventStoreDBClient, view: View[Any], position: int, most: int) -> None:
        self._client = client
        self._view = view
        self._position = position
        self._queue: asyncio.Queue[RecordedEvent | None] = asyncio.Queue(most)
        self._failure: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._subscription: Any = None

    async def __aenter__(self) -> "Source":
        with translated():
            self._subscription = await self._client.subscribe_to_all(
                commit_position=self._position or None,
                filter_include=[self._view.stream_filter()],
                filter_by_stream_name=True,
                include_checkpoints=True,
                include_caught_up=True,
                window_size=CHECKPOINT_WINDOW,
                checkpoint_interval_multiplier=1,
            )
        self._task = asyncio.create_task(self._read(self._subscription))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None, "entered before it is left"
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self._subscription.stop()

    async def _read(self, subscription: AsyncIterator[RecordedEvent]) -> None:
        # a cancelled call, ours or the client's reconnect, ends the iteration without a word
        try:
            async for item in subscription:
                await self._queue.put(item)
            self._failure = Broken("the subscription ended")
        except Exception as error:  # noqa: BLE001  # handed to whoever waits for the next batch
            self._failure = error
        self.wake()

    def wake(self) -> None:
        """Let `batch` return at once. A full queue needs no waking."""
        with suppress(asyncio.QueueFull):
            self._queue.put_nowait(None)

    async def batch(self, most: int, patience: float, *, live: bool = False) -> list[RecordedEvent]:
        """All that is there, at most `most`; none if nothing comes within `patience` seconds.

        When `live`, what was appended together mostly comes together: a document is written once for it, not twice.
        """
        items: list[RecordedEvent | None] = []
        if self._queue.empty():
            if self._failure is not None:
                raise Broken(f"{type(self._failure).__name__}: {self._failure}") from self._failure
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    items.append(await self._queue.get())
            if items in ([], [None]):
                return []
        if live and self._queue.qsize() < most:
            await asyncio.sleep(LINGER)
        return self._taken(items, most)

    def _taken(self, items: list[RecordedEvent | None], most: int) -> list[RecordedEvent]:
        while len(items) < most and not self._queue.empty():
            items.append(self._queue.get_nowait())
        return [item for item in items if item is not None]

    def empty(self) -> bool:
        return self._queue.empty()
