"""A running system projection: it follows the log and adds links, each of them once.

The links of a page of events and the place reached are one transaction, so a crash repeats nothing and loses nothing.
A reset reads the log again, but adds no link a second time.
"""

import asyncio
import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from embedded.eventstore.errors import RefusalError
from embedded.eventstore.event_encoding import resolve
from embedded.eventstore.log import Log
from embedded.eventstore.projections.system import READABLE_BY_ALL, Emitted, emitted, is_visible
from embedded.eventstore.records import NO_STREAM, Entry, system_event
from embedded.eventstore.writer import Outcome, Writer
from embedded.eventstore.writing import write

log = logging.getLogger(__name__)

KIND = "system projection"
PAGE = 100  # events whose links are one commit: others do not wait long behind it
QUIET = (
    0.2  # seconds without a write of anybody's before links are added: who appends and then reads meets none between
)
PATIENCE = 0.6  # seconds after which links are added anyway
KEEP_AFTER = 5_000  # events that called for no link, after which the place is written down
FINISH_WITHIN = 0.5  # seconds, for the links of what was written before a projection is disabled
TRY_AGAIN = 1.0  # seconds, after the disk did not take it


@dataclass(slots=True)
class Place:
    """How far a projection is. `added` is the last position whose links exist, also after a reset.

    `version` rises by two when a projection that was stopped is enabled, as on the real server.
    """

    at: int = 0
    added: int = 0
    enabled: bool = False
    aborted: bool = False
    deleted: bool = False
    version: int = 1


class WriteActivity:
    """When users last wrote: shared by all projections of a node."""

    def __init__(self, log: Log) -> None:
        self._waiting: set[asyncio.Event] = set()
        self.newest = log.head  # up to where there may be something for them; links are nothing for anybody
        self._last = self._first = time.monotonic()
        self._settled = True
        self._stop = log.on_commit(self._committed)

    def close(self) -> None:
        self._stop()

    def _committed(self, entries: list[Entry]) -> None:
        if not any(is_visible(entry.stream) for entry in entries):
            return
        self.newest = entries[-1].position
        self._last = time.monotonic()
        if self._settled:
            self._settled, self._first = False, self._last
        for changes in self._waiting:
            changes.set()

    def listen(self) -> asyncio.Event:
        changes = asyncio.Event()
        self._waiting.add(changes)
        return changes

    def forget(self, changes: asyncio.Event) -> None:
        self._waiting.discard(changes)

    async def quiet(self) -> None:
        """Wait until there are no writes, or until there have been writes for too long."""
        while True:
            now = time.monotonic()
            left = min(self._last + QUIET, self._first + PATIENCE) - now
            if left <= 0:
                self._settled = self._settled or now - self._last >= QUIET
                return
            await asyncio.sleep(left)


class Running:
    """One system projection. `error` says why it stands still, if it does."""

    def __init__(self, log: Log, activity: WriteActivity, name: str, place: Place) -> None:
        self._log, self._activity = log, activity
        self.name, self.place = name, place
        self.processed = 0
        self.error = ""
        self._kept_at = place.at
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()  # a write and the place it leads to are one step, also for who stops this

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    @property
    def progress(self) -> float:
        newest = self._activity.newest
        return 100.0 * min(self.place.at, newest) / newest if newest else 100.0

    def start(self) -> None:
        if not self.is_running:
            self.error, self.processed = "", 0
            self._task = asyncio.create_task(self._logged(self._run))

    async def stop(self) -> None:
        if self._task is None:
            return
        async with self._writing:
            self._task.cancel()
        await asyncio.wait([self._task])
        self._task = None

    async def finish(self) -> None:
        """Stop, but first add the links of what is in the log by now, as far as `FINISH_WITHIN` allows."""
        if self.is_running:
            await self.stop()
            self._task = asyncio.create_task(self._logged(self._catch_up))
            await asyncio.wait([self._task], timeout=FINISH_WITHIN)
        await self.stop()

    async def keep(self, **changes: Any) -> None:
        """Change the place, durably."""
        place = replace(self.place, **changes)
        await write(self._log, lambda writer: writer.keep(KIND, self.name, json.dumps(asdict(place))))
        self.place = place

    async def _logged(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """It makes the coroutine itself: cancelled before its first step, it leaves none that is never awaited."""
        try:
            await work()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("the projection %s cannot go on", self.name)
            self.error = str(error)

    async def _run(self) -> None:
        changes = self._activity.listen()
        try:
            while True:
                changes.clear()
                if not await self._step():
                    await changes.wait()
        finally:
            self._activity.forget(changes)

    async def _catch_up(self) -> None:
        while await self._step(at_once=True):
            pass

    async def _step(self, *, at_once: bool = False) -> bool:
        """Go through one page; False at the end of the log."""
        page = self._log.all_page(self.place.at, forwards=True, count=PAGE)
        if not page:
            return False
        if not at_once and any(is_visible(entry.stream) for entry in page):
            await self._activity.quiet()
        unseen = (entry for entry in page if entry.position > self.place.added)
        version, look_up = self.place.version, partial(resolve, self._log)
        new = [found for entry in unseen for found in emitted(self.name, entry, look_up, version=version)]
        at = page[-1].position
        if new or at - self._kept_at >= KEEP_AFTER:
            await self._write(new, at)
        else:
            self.place.at = at
            await asyncio.sleep(0)
        self.processed += sum(is_visible(entry.stream) for entry in page)
        return True

    async def _write(self, new: list[Emitted], at: int) -> None:
        place = replace(self.place, at=at, added=max(at, self.place.added))
        by_stream: defaultdict[str, list[Emitted]] = defaultdict(list)
        for found in new:
            by_stream[found.stream].append(found)

        def add(writer: Writer) -> Outcome:
            for stream, links in by_stream.items():
                if writer.last_of(stream) < 0 and writer.last_of("$$" + stream) < 0:
                    writer.append("$$" + stream, NO_STREAM, [system_event("$metadata", READABLE_BY_ALL)])
                # at the exact end: no look for repeated ids. A tombstoned stream takes none, and that is all
                writer.append(stream, writer.last_of(stream), [link.proposed() for link in links])
            return writer.keep(KIND, self.name, json.dumps(asdict(place)))

        while True:
            try:
                async with self._writing:
                    await write(self._log, add)
                    self.error, self.place, self._kept_at = "", place, at
            except RefusalError as error:
                self.error = error.detail
                await asyncio.sleep(TRY_AGAIN)
            else:
                return
