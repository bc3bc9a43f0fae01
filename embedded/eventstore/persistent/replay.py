"""The parked events of a persistent subscription, and their replay.

Until each replayed event is answered for, a restart delivers it again: it is parked no longer, and not done yet. The
node's own state has the lowest one.
"""

import asyncio
from collections.abc import Callable

from embedded.eventstore.event_encoding import resolve
from embedded.eventstore.log import Log
from embedded.eventstore.persistent.config import Config
from embedded.eventstore.persistent.consumer import Item
from embedded.eventstore.persistent.system_events import ONLY_ADMINS, append_own
from embedded.eventstore.records import TOMBSTONE, system_event
from embedded.eventstore.writer import Outcome, Writer
from embedded.eventstore.writing import write

PAGE = 500
REPLAYED = "replayed"  # state: the lowest parked number that was delivered again and not answered for


class ParkedReplay:
    """`replayed` is the lowest number that was left by a former run; `deliver` receives the events, `wake` says that
    there are some.
    """

    def __init__(
        self,
        log: Log,
        config: Config,
        replayed: int | None,
        deliver: Callable[[Item], None],
        wake: Callable[[], None],
    ) -> None:
        self._log = log
        self._config = config
        self._deliver = deliver
        self._wake = wake
        self._kept = self._resume_at = replayed
        self._replayed: set[int] = set()  # parked numbers that were delivered again and not answered for
        self._running = 0

    @property
    def is_running(self) -> bool:
        return self._running > 0

    @property
    def lowest(self) -> int | None:
        """The lowest parked number that was delivered again and not answered for."""
        return self._resume_at if self._resume_at is not None else min(self._replayed, default=None)

    def has_outcome(self, revision: int) -> None:
        """A parked event that was delivered again was answered for."""
        self._replayed.discard(revision)

    def save(self) -> None:
        lowest = self.lowest
        if lowest != self._kept:
            self._kept = lowest
            self._log.submit(self._keeping(lowest), lambda _: None)

    def _keeping(self, lowest: int | None) -> Callable[[Writer], Outcome]:
        text = None if lowest is None else str(lowest)
        return lambda writer: writer.keep(REPLAYED, self._config.key, text)

    def range(self) -> tuple[int, int]:
        """The first and one past the last parked event that was not replayed."""
        newest = self._log.last_of(self._config.parked_stream)
        if newest is None or newest.revision == TOMBSTONE:
            return 0, 0
        low, _ = self._log.retention(self._config.parked_stream).visible(newest.revision)
        return min(low, newest.revision + 1), newest.revision + 1

    async def replay(self, stop_at: int | None) -> None:
        """Deliver parked events again, up to `stop_at` (None: all that are parked now)."""
        self._running += 1
        try:
            await self._replay(stop_at)
        finally:
            self._running -= 1

    async def _replay(self, stop_at: int | None) -> None:
        await write(self._log, self._keeping(self._kept))  # after earlier parks
        first, end = self.range()
        if end == 0 or self._log.retention(self._config.parked_stream).soft_deleted:
            return  # nothing was ever parked
        end = end if stop_at is None else max(first, min(end, stop_at))
        event = system_event("$metadata", {"$tb": end, "$acl": ONLY_ADMINS})
        # until each is answered for, a restart delivers them again: they are parked no longer, and not done yet
        lowest = self.lowest
        if end > first:
            lowest = first if lowest is None else min(first, lowest)

        def move(writer: Writer) -> Outcome:
            append_own(writer, "$$" + self._config.parked_stream, event)
            return self._keeping(lowest)(writer)

        await write(self._log, move)
        self._kept = lowest
        await self._deliver_again(first, end)

    async def _deliver_again(self, first: int, end: int) -> None:
        """What is parked from number `first` on, `end` not included."""
        at = first
        while at < end and (page := self._log.stream_page(self._config.parked_stream, at, forwards=True, count=PAGE)):
            for parked in page:
                at = parked.revision + 1
                if parked.revision < end and parked.revision not in self._replayed:
                    _, target = resolve(self._log, parked)
                    if target is not None:
                        self._replayed.add(parked.revision)
                        self._deliver(Item(-1, target, parked))
            await asyncio.sleep(0)
        self._wake()

    async def resume(self) -> None:
        """Deliver what a former run had delivered again, and was not answered for."""
        if self._resume_at is not None:
            await self._deliver_again(self._resume_at, self.range()[0])
            self._resume_at = None
