"""Where a subscription stands, by the last event that is known there."""

import time
from collections.abc import Sequence

from core.eventstore.client import RecordedEvent
from core.eventstore.log import EventLog, LogPoint, point_of
from core.eventstore.subscription import CatchUpSubscription
from core.failures import StoreFailure

FIND_EVERY = 10.0  # seconds, while only events that are not followed move the position


class PointFinder:
    """Of one subscription."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._found_at = 0.0

    async def find(self, source: CatchUpSubscription, events: Sequence[RecordedEvent], reached: int) -> LogPoint:
        """The last known event up to which every followed one was taken, behind a batch that `reached` a position.

        At position 0 if there is none that is new.
        """
        point = point_of(events[-1]) if events else LogPoint()
        if reached > point.position and time.monotonic() - self._found_at > FIND_EVERY:
            self._found_at = time.monotonic()
            known = await self._before(reached)
            return max(point, known) if source.is_intact else point
        return point

    async def of_silence(self, source: CatchUpSubscription) -> LogPoint:
        """The head of the log, if the log has nothing that was not delivered. Raises `SubscriptionLost`."""
        pending = await source.check_silence()
        return pending.head if pending.next_event is None and source.is_intact else LogPoint()

    async def _before(self, position: int) -> LogPoint:
        """The last event before a position that a checkpoint message of the event store named.

        Followed events may be rare: without this, a restart would look through all that others wrote since.
        """
        try:
            event = await self._log.last_before(position)
        except StoreFailure:  # it may have had to look through too much of its own records: the older point will do
            return LogPoint()
        return LogPoint() if event is None else point_of(event)
