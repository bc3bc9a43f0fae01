"""Events and their metadata as bytes.

Events are stored as the proto3 JSON of the messages in `events.proto`; a contract test proves it in both directions.

CodecError
├── UnknownEventType        no row in the registry: written by newer code, or not by us
└── MalformedEvent          the bytes do not match the row, or the stream is of another aggregate
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from core.eventstore.client import RecordedEvent
from core.eventstore.recorded import STREAM_DELETED, Recorded, StreamDeleted
from core.eventstore.registry import BY_EVENT, BY_NAME, CATEGORIES, ROWS, DomainEvent
from core.eventstore.upcasters import CHAINS, Upcaster


class CodecError(Exception):
    """An event that cannot be read. The message names the event type."""


class UnknownEventType(CodecError):  # it names what was met
    pass


class MalformedEvent(CodecError):  # it names what was met
    pass


class Metadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who, when and why, for each event. `$` names are EventStoreDB's own, so that its tools understand them.

    `correlation_text` is the caller's own name of the conversation; the id is then derived from it.
    `via` is the caller, if it acts for the actor.
    """

    correlation_id: str = msgspec.field(name="$correlationId")
    causation_id: str = msgspec.field(name="$causationId")
    request_id: str = msgspec.field(name="requestId")
    payload_hash: str = msgspec.field(name="payloadHash")
    schema_version: int = msgspec.field(name="schemaVersion")
    actor: str
    occurred_at: datetime = msgspec.field(name="occurredAt")
    traceparent: str = ""
    correlation_text: str = msgspec.field(name="correlationText", default="")
    via: str = ""


Decode = Callable[[bytes], Any]


def _decoder(shape: type) -> Decode:
    # strict=False: other writers of proto3 JSON put 64-bit integers into strings
    return msgspec.json.Decoder(shape, strict=False).decode


def _lifted(chain: Sequence[Upcaster]) -> Decode:
    stored = _decoder(chain[0].shape)

    def decode(data: bytes) -> Any:
        event = stored(data)
        for step in chain:
            event = step.upcast(event)
        return event

    return decode


_encoder = msgspec.json.Encoder()
_decoders: dict[str, Decode] = {row.name: _decoder(row.event) for row in ROWS} | {
    name: _lifted(chain) for name, chain in CHAINS.items()
}
_categories: dict[str, str] = {row.name: row.category for row in ROWS} | {
    name: BY_NAME[chain[-1].into].category for name, chain in CHAINS.items()
}
_metadata_decoder = msgspec.json.Decoder(Metadata)


def encode(event: DomainEvent) -> tuple[str, bytes]:
    """The event type and the bytes to store."""
    return BY_EVENT[type(event)].name, _encoder.encode(event)


def decode(event_type: str, data: bytes) -> DomainEvent:
    """The event of stored bytes, in its newest shape. Raises `UnknownEventType` or `MalformedEvent`."""
    decoder = _decoders.get(event_type)
    if decoder is None:
        raise UnknownEventType(f"no row in the registry for event type {event_type!r}")
    try:
        event: DomainEvent = decoder(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedEvent(f"{event_type}: {error}") from error
    return event


def decode_stored(stored: RecordedEvent) -> DomainEvent:
    """As `decode`; an event in the stream of another kind of aggregate is `MalformedEvent` too."""
    event = decode(stored.type, stored.data)
    category = stored.stream_name.partition("-")[0]
    if category != _categories[stored.type] and category in CATEGORIES:
        raise MalformedEvent(f"{stored.type} does not belong into a stream {category}-…")
    return event


def is_of_the_store(event_type: str) -> bool:
    """Whether the event store itself writes such events, into any stream: a deletion, for instance."""
    return event_type.startswith("$")


def encode_metadata(metadata: Metadata) -> bytes:
    return _encoder.encode(metadata)


def decode_metadata(data: bytes) -> Metadata | None:
    """None if the event was not written by a command of ours."""
    try:
        return _metadata_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def schema_version(event_type: str) -> int:
    return BY_NAME[event_type].version


EPOCH = datetime.fromtimestamp(0, UTC)


def recorded(stored: RecordedEvent) -> Recorded[DomainEvent | StreamDeleted]:
    """A stored event, decoded; a deletion, which the event store writes itself, as `StreamDeleted`.

    Raises `CodecError`.
    """
    return Recorded(
        data=StreamDeleted() if stored.type == STREAM_DELETED else decode_stored(stored),
        stream=stored.stream_name,
        revision=stored.stream_position,
        position=stored.commit_position or 0,
        recorded_at=stored.recorded_at or EPOCH,
        event_id=stored.id,
    )
