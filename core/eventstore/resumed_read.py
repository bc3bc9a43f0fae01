"""Reads page by page, which an interruption does not end: they are resumed behind the last event that was received."""

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from core.backoff import Backoff
from core.eventstore.client import RecordedEvent
from core.failures import StoreUnavailable

Events = AsyncGenerator[RecordedEvent, None]
FIRST_PAUSE, MAX_PAUSE = 0.2, 1.6  # seconds before an interrupted read is resumed
MAX_ATTEMPTS = 5  # without a new event


class Source(Protocol):
    """Reads from a place on, which moves with each accepted event."""

    overlap: int  # how many events at the start of a page were received before

    def page(self, limit: int | None) -> Events:
        """Up to so many events from the present place on. Raises `StoreUnavailable` if the read is interrupted."""

    def accepts(self, event: RecordedEvent) -> bool:
        """Whether the event was not received before; then the place is behind it."""


async def resumed(source: Source, size: int | None = None, most: int | None = None) -> Events:
    """The events of a source, in pages of `size` events (None: in one read), `most` at most.

    A read that had received nothing is not resumed.
    """
    wanted = left = sys.maxsize if most is None else most
    backoff = Backoff(FIRST_PAUSE, MAX_PAUSE, attempts=MAX_ATTEMPTS)
    while left:
        at_begin = left
        limit = size if size is None else min(size, left + source.overlap)
        unread = limit or sys.maxsize
        try:
            async with aclosing(source.page(limit)) as events:
                async for event in events:
                    unread -= 1
                    if source.accepts(event):
                        left -= 1
                        yield event
                        if not left:
                            return
        except StoreUnavailable:
            if left < at_begin:
                backoff.reset()
            if left == wanted or backoff.is_spent:
                raise
            await backoff.rest()
            continue
        if unread:
            return
