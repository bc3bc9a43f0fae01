"""Domain events put into a store as they are, without commands."""

from typing import Any

from esdbclient import NewEvent

from core.eventstore import codec
from core.eventstore.store import NO_EVENTS, EventStore


async def write(store: EventStore, stream: str, *events: Any, after: int = NO_EVENTS) -> int:
    """Append them behind a revision; the commit position of the last."""
    new = [NewEvent(type=kind, data=data) for kind, data in map(codec.encode, events)]
    return await store.append(stream, after, new)
