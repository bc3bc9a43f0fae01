"""The lag of a view.

A live one knows by itself: its lag is what it has received and not applied. Of any other the log is asked.
"""

import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core.eventstore.client import RecordedEvent, position_of
from core.eventstore.log import START, EventLog
from core.failures import LogMismatch
from core.readmodel.checkpoints import Checkpoint, now_micros
from core.readmodel.view import View

MAX_COUNTED = 1_000  # events


@dataclass(frozen=True, slots=True)
class Lag:
    """`events` it lacks, counted up to a thousand; `seconds` that the first of them has waited.

    `head` is the position of the last of them, that of the log if there are a thousand, or that of the view if it lacks
    none: it is found by reading on from the view, since the last event of rare streams may lie far back in the log.
    """

    events: int
    seconds: float
    head: int = field(default=START, compare=False)


NO_LAG = Lag(0, 0.0)


def lag_in_memory(waiting: Sequence[RecordedEvent], position: int) -> Lag:
    """Of a part at a position that has received these events and not applied them; it has received all there are."""
    if not waiting:
        return Lag(0, 0.0, position)
    head = position_of(waiting[-1])
    return Lag(min(len(waiting), MAX_COUNTED), _age(waiting[0].recorded_at), head)


def worst(lags: Sequence[Lag]) -> Lag:
    """That of a view, out of those of its parts."""
    return max(lags, key=lambda lag: (lag.seconds, lag.events))


def _age(since: datetime | None) -> float:
    return 0.0 if since is None else max(0.0, time.time() - since.timestamp())


async def lag_of(log: EventLog, view: View[Any], checkpoint: Checkpoint | None) -> Lag:
    """Behind the trusted position of the checkpoint; 0 seconds if the first event does not say when it was written.

    The position of a checkpoint of another log is not trusted.
    """
    try:
        return await _lag_after(log, view, START if checkpoint is None else checkpoint.trusted_position)
    except LogMismatch:
        return await _lag_after(log, view, START)


async def _lag_after(log: EventLog, view: View[Any], position: int) -> Lag:
    events, since, head = 0, None, position
    async with aclosing(log.after(position, view.stream_filter(), limit=MAX_COUNTED)) as reading:
        async for event in reading:
            since = event.recorded_at if since is None else since
            head = position_of(event)
            events += 1
    if events >= MAX_COUNTED:
        head = max(head, await log.head())
    return Lag(events, _age(since), head)


async def holds(log: EventLog, view: View[Any], checkpoint: Checkpoint, position: int) -> bool:
    """Whether the view holds all that it follows up to a position. What lies behind the view decides."""
    if checkpoint.trusted_position >= position:
        return True
    async with aclosing(log.after(checkpoint.trusted_position, view.stream_filter(), limit=1)) as reading:
        async for event in reading:
            return position_of(event) > position
    return True


def is_stalled(checkpoint: Checkpoint | None, lag: Lag, after: float) -> bool:
    """No progress for so many seconds although the log has gone on as long ago."""
    if checkpoint is None or lag.seconds < after:
        return False
    return now_micros() - checkpoint.moved_at > after * 1_000_000
