"""Brings one part of a view from its checkpoint to the end of the log, alone and in large batches."""

from collections.abc import Callable

from core.eventstore import codec
from core.eventstore.client import CaughtUp, RecordedEvent, position_of
from core.eventstore.client import Checkpoint as Passed
from core.eventstore.log import EventFilter, EventLog, LogPoint
from core.eventstore.subscription import CatchUpSubscription
from core.readmodel.checkpoints import CheckpointStore
from projections.config import Settings
from projections.engine.live_group import Member
from projections.engine.membership import Membership
from projections.engine.points import PointFinder


class CatchUp:
    """Of one part. A part that is `filling` takes still larger batches, so that a document is seldom written twice."""

    def __init__(
        self,
        events: EventLog,
        store: CheckpointStore,
        membership: Membership,
        settings: Settings,
        matching: EventFilter,
        *,
        filling: bool,
    ) -> None:
        self._log = events
        self._store = store
        self._membership = membership
        self._settings = settings
        self._matching = matching
        self._filling = filling
        self._source: CatchUpSubscription | None = None

    def wake(self) -> None:
        """Write the checkpoint now, and so learn at once if the part was taken away."""
        if self._source is not None:
            self._source.wake()

    async def run(self, part: Member, is_over: Callable[[], bool]) -> None:
        """Until it has caught up, or `is_over`, which is asked after each batch."""
        async with CatchUpSubscription(
            self._log, self._matching, part.held.position, prefetched=self._settings.prefetched
        ) as source:
            self._source = source
            try:
                points = PointFinder(self._log)
                has_caught_up = False
                while not is_over() and not has_caught_up:
                    has_caught_up = await self._step(part, source, points)
                    await part.maintain()
            finally:
                self._source = None

    async def _step(self, part: Member, source: CatchUpSubscription, points: PointFinder) -> bool:
        """One batch; whether the subscription has caught up with it."""
        items = await self._next_batch(source)
        events = [item for item in items if not isinstance(item, Passed | CaughtUp)]
        if events:
            await part.apply(events, codec.recorded)
        reached = max((position_of(item) for item in items), default=0)
        point = await points.find(source, events, reached) if items else await points.of_silence(source)
        has_caught_up, is_level = any(isinstance(item, CaughtUp) for item in items), False
        if has_caught_up and source.is_empty():
            head = await self._head_if_level(source, max(part.held.position, reached))
            point, is_level = max(point, head), head.position > 0
        after = part.advanced_to(reached, point, len(events), is_level=is_level)
        await self._store.advance(after)
        self._membership.has_beaten()
        part.has_advanced(after, len(events))
        return has_caught_up

    async def _head_if_level(self, source: CatchUpSubscription, position: int) -> LogPoint:
        """The last event of the log, if nothing that is followed lies between it and the position."""
        pending = await self._log.pending_after(position, self._matching)
        return pending.head if pending.next_event is None and source.is_intact else LogPoint()

    async def _next_batch(self, source: CatchUpSubscription) -> list[RecordedEvent]:
        settings = self._settings
        if not self._filling:
            return await source.batch(settings.batch_size_catch_up, settings.heartbeat)
        items = await source.batch(settings.batch_size_rebuild, settings.heartbeat)
        while items and len(items) < settings.batch_size_rebuild and not isinstance(items[-1], CaughtUp):
            more = await source.batch(settings.batch_size_rebuild - len(items), settings.heartbeat)
            items += more
            if not more:
                break
        return items
