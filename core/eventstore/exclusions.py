"""Events that operators have excluded from their streams because no code can read them.

The exclusions of the stream `order-1` are the events of the stream `excluded_order-1`. A reader asks for them only when
it meets an unreadable event, so they cost nothing otherwise. All code that folds events respects them:
commands, snapshots, queries, views. An exclusion names stream, revision and event id; it has no effect on an event
that the running code can read.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from core.eventstore import codec
from core.eventstore.client import RecordedEvent
from core.eventstore.codec import CodecError, UnknownEventType
from core.eventstore.registry import CATEGORIES, DomainEvent
from core.failures import EventMalformed, EventTypeUnknown, UnreadableEvent

EXCLUDED = "excluded_"
EVENT_EXCLUDED = "EventExcluded"
PATTERN = f"{EXCLUDED}({'|'.join(CATEGORIES)})-.*"  # of every stream of exclusions

Excluded = frozenset[tuple[int, UUID]]  # revision and event id, of one stream
NONE: Excluded = frozenset()


class EventExcluded(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored: the proto3 JSON of the message in `protos/operations/v1/events.proto`."""

    stream: str
    revision: int
    event_id: UUID
    event_type: str
    error: str
    actor: str
    reason: str
    plan_id: str
    excluded_at: datetime


class HasExclusions(Protocol):
    """A source of the exclusions of a stream."""

    async def excluded(self, stream: str) -> Excluded: ...


class NothingExcluded:
    """For readers of events that are not in a log."""

    async def excluded(self, stream: str) -> Excluded:  # noqa: ARG002  # of any stream
        return NONE


NOTHING_EXCLUDED = NothingExcluded()
_decoder = msgspec.json.Decoder(EventExcluded, strict=False)


def exclusion_stream(stream: str) -> str:
    return EXCLUDED + stream


def stream_of(exclusions: str) -> str:
    """The stream that a stream of exclusions is about."""
    return exclusions.removeprefix(EXCLUDED)


def exclusion_of(event: RecordedEvent) -> EventExcluded | None:
    """None for an event that is no exclusion, or not of the stream that it belongs to."""
    if event.type != EVENT_EXCLUDED:
        return None
    try:
        found = _decoder.decode(event.data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if exclusion_stream(found.stream) == event.stream_name else None


def excluded_by(events: Iterable[RecordedEvent]) -> Excluded:
    """The events that one stream of exclusions excludes."""
    found = map(exclusion_of, events)
    return frozenset((one.revision, one.event_id) for one in found if one is not None)


def is_excluded(event: RecordedEvent, excluded: Excluded) -> bool:
    return (event.stream_position, event.id) in excluded


def unreadable(event: RecordedEvent, error: CodecError) -> UnreadableEvent:
    """The failure for a caller that needs an event which this code cannot read."""
    kind = EventTypeUnknown if isinstance(error, UnknownEventType) else EventMalformed
    return kind(stream=event.stream_name, revision=event.stream_position, event_type=event.type)


async def decoded(events: Sequence[RecordedEvent], source: HasExclusions) -> list[DomainEvent | None]:
    """The events of one stream, None for those that are excluded. Raises `UnreadableEvent`."""
    excluded: Excluded | None = None
    found: list[DomainEvent | None] = []
    for event in events:
        try:
            found.append(codec.decode_stored(event))
        except CodecError as error:
            if excluded is None:
                excluded = await source.excluded(event.stream_name)
            if not is_excluded(event, excluded):
                raise unreadable(event, error) from error
            found.append(None)
    return found


async def readable(events: Sequence[RecordedEvent], source: HasExclusions) -> list[DomainEvent]:
    """The events of one stream without those that are excluded. Raises `UnreadableEvent`."""
    return [event for event in await decoded(events, source) if event is not None]
