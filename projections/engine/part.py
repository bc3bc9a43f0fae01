"""One part of a generation of a view, as it is followed: its documents, what it has parked, and its checkpoint."""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

from prometheus_client import Counter, Gauge

from core.eventstore.client import RecordedEvent, position_of
from core.eventstore.log import LogPoint
from core.readmodel.checkpoints import Checkpoint, now_micros
from core.readmodel.view import View
from projections.engine.applier import BatchApplier, Decode, Partition
from projections.engine.parked_events import ParkedEvents
from projections.stores import Stores

POSITION = Gauge("orderstream_projection_position", "Commit position up to which the view holds the log.", ["view"])
APPLIED = Counter("orderstream_projection_events_total", "Applied events.", ["view"])
PARKED = Gauge("orderstream_projection_parked_streams", "Streams blocked behind a failing event.", ["view"])

RATE_OVER = 5.0  # seconds

Maintenance = Callable[[BatchApplier, ParkedEvents, Checkpoint], Awaitable[None]]


class Status(StrEnum):
    """The names are those of ProjectionStatus without its prefix."""

    CATCHING_UP = "CATCHING_UP"
    LIVE = "LIVE"
    FAILING = "FAILING"
    STOPPED = "STOPPED"
    STANDBY = "STANDBY"
    STALLED = "STALLED"
    PAUSED = "PAUSED"


class Part:
    """Number `part` of `parts`."""

    def __init__(self, view: View[Any], stores: Stores, generation: int, part: int = 0, parts: int = 1) -> None:
        self.view = view
        self.part = part
        self.status = Status.STOPPED
        self.applied = 0
        self.rate = 0.0  # events a second
        self.last_error = ""
        self.checkpoint: Checkpoint | None = None
        self.parked_streams = 0
        self.partition = Partition(part, parts)
        self.parked_events = stores.parked(view.name, generation, part)
        self._applier: BatchApplier | None = None
        self._maintenance: deque[Maintenance] = deque()
        self._counted, self._counted_from = 0, time.monotonic()

    @property
    def epoch(self) -> int:
        return 0 if self.checkpoint is None else self.checkpoint.epoch

    @property
    def owns(self) -> bool:
        """Whether this process runs the part, as far as it knows; the checkpoint's epoch knows better."""
        return self.checkpoint is not None and self.status in (Status.CATCHING_UP, Status.LIVE)

    async def maintain(self) -> None:
        """What was asked for between two batches."""
        assert self._applier is not None, "a view is followed before it is maintained"
        while self._maintenance:
            await self._maintenance.popleft()(self._applier, self.parked_events, self.held)

    @property
    def held(self) -> Checkpoint:
        """Up to where it holds all that it follows, and under which epoch."""
        assert self.checkpoint is not None, "a view is owned before it is followed"
        return self.checkpoint

    def follows(self, event: RecordedEvent) -> bool:
        """Whether it is behind the event, and takes events of that stream."""
        return position_of(event) > self.held.position and self.view.follows(event.stream_name)

    async def apply(self, events: Sequence[RecordedEvent], decode: Decode) -> None:
        assert self._applier is not None, "a view is followed before it applies"
        await self._applier.apply(events, decode)

    def advanced_to(self, reached: int, point: LogPoint, events: int, *, is_level: bool) -> Checkpoint:
        """The checkpoint behind a batch with so many `events`; `point` is at position 0 if none is known."""
        before, now = self.held, now_micros()
        point = max(point, before.point)
        position = max(before.position, reached, point.position)
        return replace(
            before,
            position=position,
            caught_up_at=now if is_level else before.caught_up_at,
            updated_at=now,
            moved_at=now if position > before.position else before.moved_at,
            parked=len(self.parked_events.first),
            events=before.events + events,
            status=str(self.status),
            error=self.parked_events.last_error,
            last_event_position=point.position,
            last_event_id=point.event_id,
        )

    def has_advanced(self, checkpoint: Checkpoint, events: int) -> None:
        """It is written."""
        self.checkpoint = checkpoint
        self.last_error = checkpoint.error
        self.applied += events
        self.parked_streams = checkpoint.parked
        self._counted += events
        seconds = time.monotonic() - self._counted_from
        if seconds >= RATE_OVER:
            self.rate = self._counted / seconds
            self._counted, self._counted_from = 0, time.monotonic()
        POSITION.labels(self.view.name).set(checkpoint.position)
        APPLIED.labels(self.view.name).inc(events)
        PARKED.labels(self.view.name).set(self.parked_streams)
