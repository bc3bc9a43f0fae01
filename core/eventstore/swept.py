"""The position and the findings of the sweep of the process services: stored in the log, one for all of them.

So they are restored with the log, and are ahead of it by no more than what a restore has removed.
"""

from dataclasses import dataclass, field

import msgspec
import structlog

from core.eventstore.client import NewEvent, RecordedEvent
from core.eventstore.log import START, LogPoint
from core.eventstore.store import NO_EVENTS, EventStore, WrongRevision
from core.failures import StoreUnavailable

log = structlog.get_logger()

STREAM = "processes_swept"
MAX_ATTEMPTS = 10


class Swept(msgspec.Struct, frozen=True):
    """The place of an event: every order with a trigger event up to there was examined, except those that are `left`.

    `begun` and `brought_on` count the orders whose process the sweep started, or for which it ran a pending step.
    """

    position: int = START
    event_id: str = ""
    begun: int = 0
    brought_on: int = 0
    left: tuple[str, ...] = ()

    @property
    def point(self) -> LogPoint:
        return LogPoint(self.position, self.event_id)


@dataclass(slots=True)
class Found:
    """What is not stored yet. `failed` are orders that could not be examined, `looked_at` those that could."""

    begun: int = 0
    brought_on: int = 0
    failed: set[str] = field(default_factory=set)
    looked_at: set[str] = field(default_factory=set)


def swept(newest: list[RecordedEvent]) -> Swept:
    """From the last event of `STREAM`, if there is one."""
    try:
        return msgspec.json.decode(newest[-1].data, type=Swept) if newest else Swept()
    except msgspec.DecodeError as error:
        log.warning("the place of the sweep is ignored", error=str(error))
        return Swept()


class SweepCheckpoint:
    """Raises `StoreUnavailable` if the event store does not answer."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def find(self) -> Swept:
        return swept(await self._store.newest(STREAM, 1))

    async def keep(self, point: LogPoint, found: Found) -> Swept:
        """Merged with what other services have stored meanwhile, which may be further; returns what is stored now."""
        for _ in range(MAX_ATTEMPTS):
            newest = await self._store.newest(STREAM, 1)
            before = swept(newest)
            reached = point
            if before.point > point and await self._store.log.is_of_this_log(before.point):
                reached = before.point
            now = Swept(
                position=reached.position,
                event_id=reached.event_id,
                begun=before.begun + found.begun,
                brought_on=before.brought_on + found.brought_on,
                left=tuple(sorted((set(before.left) - found.looked_at) | found.failed)),
            )
            if now == before:
                return now
            if not newest:
                await self._store.keep_at_most(STREAM, 1)
            revision = newest[-1].stream_position if newest else NO_EVENTS
            try:
                event = NewEvent(type="ProcessesSwept", data=msgspec.json.encode(now), content_type="application/json")
                await self._store.append(STREAM, revision, [event])
            except WrongRevision:
                continue
            return now
        raise StoreUnavailable("event")  # others keep writing theirs: the next round stores it
