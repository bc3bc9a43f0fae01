"""An event of the log as a message: with who, when and why."""

from typing import Any

from esdbclient import RecordedEvent
from google.protobuf import json_format

from protos.orders.v1 import events_pb2, queries_pb2
from server.eventstore import codec

FIELDS = {
    field.message_type.name: field.name for field in queries_pb2.OrderEvent.DESCRIPTOR.fields if field.message_type
}


def to_entry(event: RecordedEvent) -> queries_pb2.HistoryEntry:
    entry = queries_pb2.HistoryEntry(
        revision=event.stream_position,
        position=event.commit_position or 0,
        event_id=str(event.id),
        event_type=event.type,
        data_json=event.data.decode(errors="replace"),
    )
    if event.recorded_at is not None:
        entry.recorded_at.FromDatetime(event.recorded_at)
    metadata = codec.decode_metadata(event.metadata)
    if metadata is not None:
        entry.occurred_at.FromDatetime(metadata.occurred_at)
        entry.actor = metadata.actor
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
        return  # data_json still says what is stored
    getattr(entry.event, field).CopyFrom(typed)
