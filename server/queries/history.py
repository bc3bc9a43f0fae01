"""What the log says: every event of an order with who, when and why."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from esdbclient import RecordedEvent
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.exceptions import EventStoreDBClientException, NotFound
from google.protobuf import json_format

from protos.orders.v1 import events_pb2, queries_pb2
from server.eventstore import codec
from server.failures import StoreUnavailable

TIMEOUT = 5.0  # seconds
FIELDS = {
    field.message_type.name: field.name for field in queries_pb2.OrderEvent.DESCRIPTOR.fields if field.message_type
}


class History:
    """Reads streams and asks the log; raises `StoreUnavailable` where it does not answer."""

    def __init__(self, client: AsyncEventStoreDBClient) -> None:
        self._client = client

    async def events(self, stream: str, start: int, most: int) -> list[RecordedEvent] | None:
        """Up to `most` events from revision `start` on; None if there is no such stream."""
        with _translated():
            try:
                reading = await self._client.read_stream(stream, stream_position=start, limit=most, timeout=TIMEOUT)
                return [event async for event in reading]
            except NotFound:
                return None

    async def nothing_between(self, pattern: str, after: int, until: int) -> bool:
        """Whether the log reaches `until`, and no stream whose name matches has an event after `after` and up to it."""
        with _translated():
            reading = await self._client.read_all(
                commit_position=after + 1,
                filter_include=[pattern],
                filter_by_stream_name=True,
                limit=1,
                timeout=TIMEOUT,
            )
            async for event in reading:
                return (event.commit_position or 0) > until
            # nothing at all: then the log must have got as far as the token (a follower may lag, a token be foreign)
            async for _ in await self._client.read_all(
                commit_position=until, filter_exclude=(), limit=1, timeout=TIMEOUT
            ):
                return True
        return False


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


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except NotFound:
        raise
    except (EventStoreDBClientException, grpc.aio.UsageError, grpc.RpcError) as error:
        raise StoreUnavailable("event") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # the client closes its channel to reconnect, which cancels the other calls on it
        raise StoreUnavailable("event") from error
