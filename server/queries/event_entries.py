"""Maps an event of the log to a message: with who, when and why, and whether it can be read."""

from collections.abc import Sequence
from typing import Any

from google.protobuf import json_format

from core.eventstore import codec
from core.eventstore.client import RecordedEvent
from core.eventstore.codec import CodecError, UnknownEventType
from core.eventstore.exclusions import NONE, Excluded, is_excluded
from core.eventstore.log import EventLog
from protos.orders.v1 import events_pb2, queries_pb2

FIELDS = {
    field.message_type.name: field.name for field in queries_pb2.OrderEvent.DESCRIPTOR.fields if field.message_type
}


def unread_reason(event: RecordedEvent, excluded: Excluded = NONE) -> queries_pb2.UnreadReason.ValueType:
    """Why the event has no effect on the result; 0 if it has."""
    try:
        codec.decode_stored(event)
    except CodecError as error:
        if is_excluded(event, excluded):
            return queries_pb2.UNREAD_REASON_EXCLUDED
        unknown = isinstance(error, UnknownEventType)
        return queries_pb2.UNREAD_REASON_UNKNOWN_TYPE if unknown else queries_pb2.UNREAD_REASON_MALFORMED
    return queries_pb2.UNREAD_REASON_UNSPECIFIED


async def to_entries(log: EventLog, events: Sequence[RecordedEvent]) -> list[queries_pb2.HistoryEntry]:
    """Marks the events that an operator has excluded."""
    entries = [to_entry(event) for event in events]
    excluded: dict[str, Excluded] = {}
    for entry, event in zip(entries, events, strict=True):
        if not entry.unread:
            continue
        if event.stream_name not in excluded:
            excluded[event.stream_name] = await log.excluded(event.stream_name)
        if is_excluded(event, excluded[event.stream_name]):
            entry.unread = queries_pb2.UNREAD_REASON_EXCLUDED
    return entries


def to_entry(event: RecordedEvent) -> queries_pb2.HistoryEntry:
    entry = queries_pb2.HistoryEntry(
        revision=event.stream_position,
        position=event.commit_position or 0,
        event_id=str(event.id),
        event_type=event.type,
        data_json=event.data.decode(errors="replace"),
        unread=unread_reason(event),
    )
    if event.recorded_at is not None:
        entry.recorded_at.FromDatetime(event.recorded_at)
    metadata = codec.decode_metadata(event.metadata)
    if metadata is not None:
        entry.occurred_at.FromDatetime(metadata.occurred_at)
        entry.actor = metadata.actor
        entry.via = metadata.via
        entry.request_id = metadata.request_id
        entry.causation_id = metadata.causation_id
        entry.correlation_id = metadata.correlation_id
    _set_typed(entry, event)
    return entry


def _set_typed(entry: queries_pb2.HistoryEntry, event: RecordedEvent) -> None:
    field = FIELDS.get(event.type)
    if field is None:
        return
    try:
        typed: Any = json_format.Parse(event.data, getattr(events_pb2, event.type)(), ignore_unknown_fields=True)
    except json_format.ParseError:
        return  # data_json still has the stored data
    getattr(entry.event, field).CopyFrom(typed)
