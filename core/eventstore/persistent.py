"""Persistent subscription groups: their consumers, and their state for operators.

A source is a stream's name, or `ALL`. Failures are `StoreUnavailable`, and `SUBSCRIPTION_NOT_FOUND` for a group that is
not there.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import grpc

from core.eventstore.client import (
    AlreadyExists,
    EventStoreDBClientException,
    NodeIsNotLeader,
    ProgrammingError,
    RecordedEvent,
    StreamIsDeleted,
    permission_denied,
    persistent_pb2,
    position_of,
    shared_pb2,
)
from core.eventstore.client import NotFound as NotThere
from core.eventstore.connection import Client
from core.eventstore.log import EVERYTHING, START, EventLog
from core.failures import NotFound, StorePermissionDenied

ALL = "$all"
NOT_LEADER = "Leader info available"  # how a follower refuses a call that needs the leader, with NOT_FOUND
TIMEOUT = 5.0  # seconds
STOP_WITHIN = 2.0  # seconds for a consumer to send what it has acknowledged
MAX_COUNTED = 1_000  # events
RIGHTS = {  # the right that a call needs
    "List": "list",
    "GetInfo": "look at",
    "ReplayParked": "replay the parked events of",
    "RestartSubsystem": "restart",
    "Delete": "delete",
}
EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """`info` is the event store's own.

    `lag` counts events that are not acknowledged yet; without a consumer it is counted from the checkpoint, which is
    written from time to time. For `ALL` it is counted up to `MAX_COUNTED`, and includes events outside the filter.
    """

    source: str
    name: str
    lag: int
    parked: int
    info: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A parked event. `number` is its place among the parked; `event_id` is None if it can no longer be read."""

    number: int
    stream: str
    revision: int
    type: str
    event_id: UUID | None
    parked_at: datetime
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedRange:
    """The numbers of the parked events: from `first` on, `end` not included."""

    first: int = 0
    end: int = 0

    def __len__(self) -> int:
        return self.end - self.first


class Consumer:
    """One consumer of a group of `ALL`. Failures are those of `Groups`."""

    def __init__(self, client: Client, generation: int, subscription: Any, name: str) -> None:
        self._client = client
        self._generation = generation  # of the connection on which it began, or of an earlier one
        self._subscription = subscription
        self._name = name

    @property
    def is_replaced(self) -> bool:
        """Whether its connection was replaced: nothing will arrive over it."""
        return self._client.generation != self._generation

    async def events(self) -> AsyncGenerator[RecordedEvent, None]:
        """Events as they are delivered, until the consumer stops."""
        with _gone(ALL, self._name), self._client.calling():
            async for event in self._subscription:
                yield event

    async def ack(self, event: RecordedEvent) -> None:
        """Nothing happens if the subscription has ended: the event store delivers the event again."""
        with suppress(ProgrammingError):
            await self._subscription.ack(event)

    async def nack(self, event: RecordedEvent, action: str) -> None:
        """`action`: "retry", "park", "skip" or "stop"; else as `ack`."""
        with suppress(ProgrammingError):
            await self._subscription.nack(event, action)

    async def stop(self) -> None:
        """Stop within `STOP_WITHIN` seconds. esdbclient waits for the sender of acknowledgements, which may never
        end.
        """
        try:
            with suppress(TimeoutError, EventStoreDBClientException, grpc.RpcError, grpc.aio.UsageError):
                async with asyncio.timeout(STOP_WITHIN):
                    await self._subscription.stop()
        finally:
            self._subscription._stream_stream_call.cancel()  # noqa: SLF001  # docs/adr/0006


class Groups:
    """All groups of an event store."""

    def __init__(self, log: EventLog) -> None:
        self._client = log.client
        self._log = log

    @property
    def connection_name(self) -> str:
        """The name under which the event store lists consumers of this client."""
        return str(self._client.connection_spec.options.ConnectionName)

    async def create_on_all(self, name: str, start: int | None, **settings: Any) -> None:
        """Create a group on `ALL` that begins with the event at a received position (None: behind the end).

        Nothing happens if it exists.
        It has no filter, and delivers the event store's own events too. A group with a filter loses events: without a
        consumer, each event outside the filter moves the checkpoint past those that wait (docs/adr/0026).
        """
        place: dict[str, Any] = {"commit_position": start} if start else {"from_end": start is None}
        with self._client.calling(), suppress(AlreadyExists):
            await self._client.create_subscription_to_all(name, **place, **EVERYTHING, **settings)

    async def create_on_stream(self, stream: str, name: str, revision: int | None, **settings: Any) -> None:
        """Create a group on a stream that begins with a revision (None: behind the last event)."""
        place = {"from_end": True} if revision is None else {"stream_position": revision}
        with self._client.calling():
            await self._client.create_subscription_to_stream(name, stream_name=stream, **place, **settings)

    async def consumer_of_all(self, name: str) -> "Consumer":
        generation = self._client.generation
        with _gone(ALL, name), self._client.calling():
            return Consumer(self._client, generation, await self._client.read_subscription_to_all(name), name)

    async def answer(self) -> None:
        """Whether the event store answers: returns if it does."""
        await self._log.end()

    async def waiting_from(self, source: str, start: int) -> int:
        """The number of events for a group that begins with one at a received position, or a revision; up to 1,000."""
        if source == ALL:
            return min(await self._log.count_after(start, "", MAX_COUNTED) + bool(start), MAX_COUNTED)
        return min(max(0, await self._last_revision(source) + 1 - start), MAX_COUNTED)

    async def resolved(self, source: str, start: int, *, from_end: bool) -> int:
        """A possible start of a group: the event at or before any position, or a revision."""
        if source != ALL:
            return await self._last_revision(source) + 1 if from_end else start
        if from_end:
            return await self._log.end()
        event = await self._log.last(at_or_before=start) if start else None
        return START if event is None else position_of(event)

    async def every(self) -> list[Group]:
        """By source and name."""
        return [
            await self._group(info) for info in sorted(await self._list(), key=lambda i: (i.event_source, i.group_name))
        ]

    async def checkpoints(self, source: str) -> dict[str, int]:
        """By name, for each group of a source: the position or revision up to which all is acknowledged; -1 for
        none.
        """
        return {x.group_name: _number(x.last_checkpointed_event_position) for x in await self._list(source)}

    async def _list(self, source: str | None = None) -> list[Any]:
        request = persistent_pb2.ListReq()
        request.options.list_all_subscriptions.SetInParent()
        try:
            with self._client.calling():
                found = (await self._call("List", request)).subscriptions
        except NotThere:  # how the event store says that there is none
            return []
        return [info for info in found if source in (None, info.event_source)]

    async def one(self, source: str, name: str) -> Group:
        return await self._group(await self.info(source, name))

    async def info(self, source: str, name: str) -> Any:
        """The event store's state of a group, without further reads."""
        request = persistent_pb2.GetInfoReq()
        _address(request.options, source, name)
        return (await self._call_on(source, name, "GetInfo", request)).subscription_info

    async def parked_range(self, source: str, name: str) -> ParkedRange:
        """Computed from both ends, however many events lie between."""
        await self.info(source, name)
        return await self._parked_range(source, name)

    async def may_read_parked(self, source: str, name: str) -> None:
        """Raises `StorePermissionDenied`; the group need not exist."""
        await self._parked_range(source, name)

    async def _parked_range(self, source: str, name: str) -> ParkedRange:
        first = [link.stream_position async for link in self._links(source, name, limit=1)]
        last = [link.stream_position async for link in self._links(source, name, limit=1, backwards=True)]
        return ParkedRange(first=first[0], end=last[0] + 1) if first and last else ParkedRange()

    async def parked(self, source: str, name: str, first: int, most: int) -> list[Parked]:
        """From number `first` on, at most so many."""
        bounds = {"stream_position": first, "limit": most}
        # esdbclient omits links whose event is gone if it resolves; so both are read, and joined by the link's id
        resolved = [event async for event in self._links(source, name, resolve_links=True, **bounds)]
        targets = {event.link.id: event for event in resolved if event.link is not None}
        return [_parked(link, targets.get(link.id)) async for link in self._links(source, name, **bounds)]

    async def position_before_parked(self, source: str, name: str) -> int | None:
        """The position in the log before every parked event; None if none is parked, 0: the beginning."""
        oldest: int | None = None
        async for event in self._links(source, name, resolve_links=True):
            if oldest is None or position_of(event) < oldest:
                oldest = position_of(event)
        if oldest is None:
            return None
        before = await self._log.last_before(oldest)
        return START if before is None else position_of(before)

    async def replay(self, source: str, name: str, end: int) -> None:
        """Deliver the parked events before number `end` again."""
        request = persistent_pb2.ReplayParkedReq()
        _address(request.options, source, name)
        request.options.stop_at = end
        await self._call_on(source, name, "ReplayParked", request)

    async def delete(self, source: str, name: str) -> None:
        """Its checkpoint is deleted with it, and its parked events cannot be replayed any more."""
        request = persistent_pb2.DeleteReq()
        _address(request.options, source, name)
        await self._call_on(source, name, "Delete", request)

    async def restart(self) -> None:
        """Disconnect the consumers of all groups; each group goes on after its checkpoint."""
        with self._client.calling():
            await self._call("RestartSubsystem", shared_pb2.Empty())

    async def _call_on(self, source: str, name: str, method: str, request: Any) -> Any:
        with _gone(source, name), self._client.calling():
            return await self._call(method, request)

    async def _call(self, method: str, request: Any) -> Any:
        # esdbclient has no public name for a replay with an end, for a restart, for the consumers of a group
        service = self._client._connection.persistent_subscriptions  # noqa: SLF001  # as docs/adr/0006 has it
        metadata = service._metadata(self._client._call_metadata, requires_leader=True)  # noqa: SLF001  # the same
        credentials = self._client._call_credentials  # noqa: SLF001  # the same
        call = getattr(service._stub, method)  # noqa: SLF001  # the same
        try:
            return await call(request, timeout=TIMEOUT, metadata=metadata, credentials=credentials)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise (NodeIsNotLeader(error) if error.details() == NOT_LEADER else NotThere()) from error
            if error.code() is grpc.StatusCode.PERMISSION_DENIED:
                raise permission_denied(RIGHTS[method], _named(request)) from error
            raise

    async def _group(self, info: Any) -> Group:
        # the live buffer has the newest events, delivered or not: it is no backlog
        if info.connections:
            known = _number(info.last_known_event_position)
            waiting = info.total_in_flight_messages + info.read_buffer_count + info.retry_buffer_count
        else:
            known, waiting = _number(info.last_checkpointed_event_position), 0
        if info.event_source == ALL:
            not_read = await self._log.count_after(max(known, START), "", MAX_COUNTED)
        else:
            not_read = max(0, await self._last_revision(info.event_source) - known)
        try:
            # counted in the parked stream: the event store loses its own count at a restart
            parked = len(await self._parked_range(info.event_source, info.group_name))
        except StorePermissionDenied:  # we may be denied that stream, but not its count
            parked = info.parked_message_count
        return Group(source=info.event_source, name=info.group_name, lag=waiting + not_read, parked=parked, info=info)

    async def _last_revision(self, stream: str) -> int:
        """-1 if there is no event."""
        last = [event.stream_position async for event in self._read(stream, limit=1, backwards=True)]
        return last[0] if last else -1

    def _links(self, source: str, name: str, **how: Any) -> AsyncIterator[RecordedEvent]:
        return self._read(parked_stream(source, name), **how)

    async def _read(self, stream: str, **how: Any) -> AsyncIterator[RecordedEvent]:
        """No event if the stream does not exist."""
        with self._client.calling():
            try:
                async with aclosing(self._client.events_of_stream(stream, timeout=TIMEOUT, **how)) as events:
                    async for event in events:
                        yield event
            except (NotThere, StreamIsDeleted):
                return


def parked_stream(source: str, name: str) -> str:
    """The stream in which the event store keeps links to the parked events of a group."""
    return f"$persistentsubscription-{source}::{name}-parked"


@contextmanager
def _gone(source: str, name: str) -> Iterator[None]:
    try:
        yield
    except NotThere as error:
        raise NotFound("SUBSCRIPTION_NOT_FOUND", source=source, group=name) from error


def _named(request: Any) -> str:
    options = getattr(request, "options", None)
    return getattr(options, "group_name", "") or "persistent subscriptions"


def _address(options: Any, source: str, name: str) -> None:
    options.group_name = name
    if source == ALL:
        options.all.SetInParent()
    else:
        options.stream_identifier.stream_name = source.encode()


def _number(place: str) -> int:
    """Of "42" or "C:42/P:42"; -1 if there is none."""
    text = place.partition("/")[0].removeprefix("C:")
    return int(text) if text else -1


def _parked(link: RecordedEvent, target: RecordedEvent | None) -> Parked:
    revision, _, stream = link.data.decode(errors="replace").partition("@")
    return Parked(
        number=link.stream_position,
        stream=stream,
        revision=int(revision),
        type=target.type if target else "",
        event_id=target.id if target else None,
        parked_at=link.recorded_at or EPOCH,
        because=_because(link.metadata),
    )


def _because(metadata: bytes) -> str:
    try:
        return str(json.loads(metadata).get("reason") or "")
    except (ValueError, AttributeError):  # another version of the event store may report it otherwise, or not at all
        return ""
