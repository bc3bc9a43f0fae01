"""Tests of views as sentences: given(events).view(order_list).equals(body)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from esdbclient import RecordedEvent

from core.eventstore import codec
from core.eventstore.recorded import Recorded
from core.eventstore.registry import BY_EVENT, DomainEvent
from core.readmodel.view import View
from tests.support.orders import NOON


def aggregate_id(event: DomainEvent) -> str:
    if BY_EVENT[type(event)].category == "user":
        return str(event.user_id)  # type: ignore[union-attr]  # each of them has one
    for name in ("order_id", "sku", "email_hash", "user_id"):
        if hasattr(event, name):
            return str(getattr(event, name))
    raise AssertionError(f"{event} names no aggregate")


def recorded(events: Sequence[DomainEvent], first_position: int = 10) -> list[Recorded[Any]]:
    """As they would stand in the log: revisions per stream, positions rising."""
    revisions: dict[str, int] = {}
    made = []
    for position, event in enumerate(events, start=first_position):
        stream = f"{BY_EVENT[type(event)].category}-{aggregate_id(event)}"
        revisions[stream] = revisions.get(stream, -1) + 1
        made.append(
            Recorded(
                data=event,
                stream=stream,
                revision=revisions[stream],
                position=position,
                recorded_at=NOON,
                event_id=UUID(int=position),
            )
        )
    return made


def stored(events: Sequence[DomainEvent], first_position: int = 10) -> list[RecordedEvent]:
    """The same, as a subscription brings them."""
    made = []
    for event in recorded(events, first_position):
        event_type, data = codec.encode(event.data)
        made.append(
            RecordedEvent(
                type=event_type,
                data=data,
                metadata=b"",
                content_type="application/json",
                id=uuid4(),
                stream_name=event.stream,
                stream_position=event.revision,
                commit_position=event.position,
                prepare_position=event.position,
                recorded_at=NOON,
            )
        )
    return made


def fold(view: View[Any], events: Sequence[DomainEvent]) -> dict[str, Any]:
    """Every document of a view, by key, by the plainest fold there is."""
    bodies: dict[str, Any] = {}
    for event in recorded(events):
        handled = view.handler(event)
        if handled is not None:
            key, reduce = handled
            bodies[key] = reduce(bodies.get(key), event)
    return {key: body for key, body in bodies.items() if body is not None}


@dataclass(frozen=True)
class Viewed:
    bodies: dict[str, Any]

    def equals(self, *bodies: dict[str, Any]) -> None:
        assert list(self.bodies.values()) == list(bodies)

    def has(self, **fields: Any) -> None:
        [body] = self.bodies.values()
        assert {name: body[name] for name in fields} == fields

    def is_empty(self) -> None:
        assert self.bodies == {}


@dataclass(frozen=True)
class Given:
    events: tuple[DomainEvent, ...]

    def view(self, view: View[Any]) -> Viewed:
        return Viewed(fold(view, self.events))


def given(*events: DomainEvent) -> Given:
    return Given(events)
