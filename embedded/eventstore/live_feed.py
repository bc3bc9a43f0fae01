"""The live feed: subscribers of the log are woken only by commits that concern them."""

import asyncio
from collections.abc import Callable

from embedded.eventstore.log import Log
from embedded.eventstore.records import Entry

Look = Callable[[Entry], bool]


class LiveFeed:
    """Notifies the subscribers of a log of each commit."""

    def __init__(self, log: Log) -> None:
        self._of_all: set[Subscriber] = set()
        self._of_stream: dict[str, set[Subscriber]] = {}
        self._stop = log.on_commit(self._committed)

    def close(self) -> None:
        self._stop()

    def add(self, subscriber: "Subscriber") -> None:
        self._group(subscriber.stream).add(subscriber)

    def remove(self, subscriber: "Subscriber") -> None:
        group = self._group(subscriber.stream)
        group.discard(subscriber)
        if subscriber.stream is not None and not group:
            del self._of_stream[subscriber.stream]

    def _group(self, stream: str | None) -> "set[Subscriber]":
        return self._of_all if stream is None else self._of_stream.setdefault(stream, set())

    def _committed(self, entries: list[Entry]) -> None:
        for subscriber in self._of_all:
            subscriber.offer(entries)
        if self._of_stream:
            for entry in entries:
                for subscriber in self._of_stream.get(entry.stream, ()):
                    subscriber.wake()


class Subscriber:
    """One subscription's place at the end of the log.

    While it waits, `look` is shown every new entry at once, on the committing side: it says whether the entry gives
    the subscription something to send. Only then the waiting ends; the entry itself is read from the log again. An
    entry that does not is passed over, but only if all before it was considered.
    """

    def __init__(self, stream: str | None, look: Look | None = None) -> None:
        self.stream = stream
        self.at = 0  # the last position considered; for $all only
        self._look = look
        self._changed = asyncio.Event()

    async def wait(self) -> None:
        await self._changed.wait()

    def arm(self) -> None:
        """From now on commits count. To be called before the last read of the log."""
        self._changed.clear()

    def wake(self) -> None:
        self._changed.set()

    def offer(self, entries: list[Entry]) -> None:
        if self._changed.is_set():
            return
        if self._look is None:
            self._changed.set()
            return
        for entry in entries:
            if entry.position <= self.at:
                continue
            # a subscriber that still reads earlier entries would not read it again: only the very next one may be
            # skipped
            if entry.position != self.at + 1 or self._look(entry):
                self._changed.set()
                return
            self.at = entry.position
