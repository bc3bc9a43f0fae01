"""Events that this code cannot read, and their exclusion, put into a log as they are."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from esdbclient import NewEvent, RecordedEvent
from uuid_utils.compat import uuid7

from core.eventstore.exclusions import EVENT_EXCLUDED, EventExcluded, exclusion_stream
from core.eventstore.store import NO_EVENTS, EventStore
from tests.support.newer_release import NEWER

BROKEN = b'{"order_id": 7'


async def last_of(log: EventStore, stream: str) -> RecordedEvent:
    [last] = await log.newest(stream, 1)
    return last


async def put(log: EventStore, stream: str, event_type: str, data: bytes = b"{}") -> RecordedEvent:
    """Behind all that there is; the event as it is recorded."""
    newest = await log.newest(stream, 1)
    expected = newest[-1].stream_position if newest else NO_EVENTS
    await log.append(stream, expected, [NewEvent(type=event_type, data=data)])
    return await last_of(log, stream)


async def put_newer(log: EventStore, stream: str) -> RecordedEvent:
    return await put(log, stream, NEWER)


async def put_broken(log: EventStore, stream: str) -> RecordedEvent:
    return await put(log, stream, "NoteAdded", BROKEN)


async def exclude(log: EventStore, event: RecordedEvent, **instead: Any) -> None:
    """As the operator's act writes it. `instead` are other values than those of the event."""
    named: dict[str, Any] = {
        "stream": event.stream_name,
        "revision": event.stream_position,
        "event_id": event.id,
    } | instead
    excluded = EventExcluded(
        **named,
        event_type=event.type,
        error="",
        actor="ann",
        reason="a test",
        plan_id="",
        excluded_at=datetime.now(UTC),
    )
    await put(log, exclusion_stream(event.stream_name), EVENT_EXCLUDED, msgspec.json.encode(excluded))


def another_id() -> UUID:
    return uuid7()
