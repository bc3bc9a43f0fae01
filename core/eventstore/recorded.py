"""An event as it is stored in the log."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

STREAM_DELETED = "$streamDeleted"  # the type of the last event of a stream that was deleted for good


@dataclass(frozen=True, slots=True)
class StreamDeleted:
    """The stream was deleted in the event store for good: no event follows."""


E_co = TypeVar("E_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded(Generic[E_co]):
    """`revision` counts from 0 in the stream; `position` is the commit position in the log of all streams."""

    data: E_co
    stream: str
    revision: int
    position: int
    recorded_at: datetime
    event_id: UUID
