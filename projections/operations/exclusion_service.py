"""ExclusionService: operators exclude an unreadable event. It needs the event store alone."""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

from google.protobuf import json_format

from core.error_text import error_text
from core.eventstore import codec
from core.eventstore.client import NewEvent, RecordedEvent, StreamState
from core.eventstore.codec import CodecError, UnknownEventType
from core.eventstore.connection import Client
from core.eventstore.exclusions import EVENT_EXCLUDED, PATTERN, exclusion_of, exclusion_stream, is_excluded
from core.eventstore.log import START, EventLog
from core.eventstore.registry import CATEGORIES
from core.failures import InvalidRequest, NotFound, ServiceFailure
from core.rpc.headers import actor_of
from core.rpc.typing import Context
from core.rpc.validation import reason_of
from projections.lifecycle.audit_log import AuditEntry, AuditLog
from projections.operations.plans import plan_id, require_current
from projections.operations.projection_service import asked_for
from protos.operations.v1 import exclusions_pb2 as pb
from protos.operations.v1.events_pb2 import EventExcluded
from protos.operations.v1.exclusions_pb2_grpc import ExclusionServiceServicer

SERVICE = "operations.v1.ExclusionService"
TIMEOUT = 5.0  # seconds
PAGE = 1_000  # events
MAX_LISTED = 5  # further events of the stream that cannot be read, in a plan
MAX_DATA = 2_000  # characters of what is stored, in a plan


class EventReadable(ServiceFailure):
    reason = "EVENT_READABLE"

    def __init__(self, event: RecordedEvent) -> None:
        super().__init__(
            f"{_named(event)} can be read; an exclusion would have no effect",
            stream=event.stream_name,
            revision=event.stream_position,
            event_type=event.type,
        )


class EventAlreadyExcluded(ServiceFailure):
    reason = "EVENT_EXCLUDED"

    def __init__(self, event: RecordedEvent) -> None:
        super().__init__(
            f"{_named(event)} is excluded already", stream=event.stream_name, revision=event.stream_position
        )


class EventMayBeNewer(ServiceFailure):
    reason = "EVENT_MAY_BE_NEWER"

    def __init__(self, event: RecordedEvent) -> None:
        super().__init__(
            f"a newer release may know {_named(event)}; if none does, say so with unknown_type (--unknown-type)",
            stream=event.stream_name,
            revision=event.stream_position,
            event_type=event.type,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The effects of the exclusion of an event."""

    id: str
    event: RecordedEvent
    error: str
    effects: tuple[str, ...]

    def to_proto(self) -> pb.PlanExclusionResponse:
        return pb.PlanExclusionResponse(
            plan_id=self.id,
            event_id=str(self.event.id),
            event_type=self.event.type,
            error=self.error,
            data=self.event.data.decode(errors="replace")[:MAX_DATA],
            effects=self.effects,
        )


class ExclusionAdmin(ExclusionServiceServicer):
    """It has no state. `excluded` is called after each exclusion, so that views check their parked streams at once."""

    def __init__(
        self, client: Client, log: EventLog, audit_log: AuditLog, excluded: Callable[[], None] = lambda: None
    ) -> None:
        self._client = client
        self._log = log
        self._audit_log = audit_log
        self._excluded = excluded

    async def PlanExclusion(self, request: pb.PlanExclusionRequest, context: Context) -> pb.PlanExclusionResponse:
        return (await self._plan(request)).to_proto()

    async def ApplyExclusion(self, request: pb.ApplyExclusionRequest, context: Context) -> pb.ApplyExclusionResponse:
        plan = await self._plan(request)
        require_current(request.plan_id, plan.id)
        excluded = _exclusion(plan, actor_of(context), reason_of(request))
        act = AuditEntry(
            act="ApplyExclusion",
            subject=request.stream,
            actor=excluded.actor,
            reason=excluded.reason,
            plan_id=plan.id,
            details={"revision": request.revision, "event_id": excluded.event_id, "event_type": plan.event.type},
        )
        async with self._audit_log.recorded(act):
            await self._append(excluded)
        self._excluded()
        return pb.ApplyExclusionResponse(exclusion=_to_proto(excluded))

    async def ListExclusions(self, request: pb.ListExclusionsRequest, context: Context) -> pb.ListExclusionsResponse:
        most = asked_for(request, "max_exclusions")
        found = await self._listed(request.stream)
        return pb.ListExclusionsResponse(exclusions=[_to_proto(one) for one in found[::-1][:most]])

    async def _listed(self, stream: str) -> list[EventExcluded]:
        if stream:
            found = await self._log.complete_stream(exclusion_stream(stream)) or []
        else:
            async with aclosing(self._log.after(START, PATTERN)) as reading:
                found = [event async for event in reading]
        return [_parsed(event) for event in found if exclusion_of(event) is not None]

    async def _plan(self, request: pb.PlanExclusionRequest | pb.ApplyExclusionRequest) -> Plan:
        """Raises the reason against it, if there is one."""
        event = await self._event(request.stream, request.revision)
        error = _error_of(event)
        if error is None:
            raise EventReadable(event)
        excluded = await self._log.excluded(request.stream)
        if is_excluded(event, excluded):
            raise EventAlreadyExcluded(event)
        unknown = isinstance(error, UnknownEventType)
        if unknown and not request.unknown_type:
            raise EventMayBeNewer(event)
        others = [
            one for one in await self._behind(event) if _error_of(one) is not None and not is_excluded(one, excluded)
        ]
        text = error_text(error)
        return Plan(
            id=plan_id(
                "Exclusion",
                stream=request.stream,
                revision=request.revision,
                event_id=str(event.id),
                error=text,
                others=[one.stream_position for one in others],
            ),
            event=event,
            error=text,
            effects=tuple(_effects(event, others, unknown=unknown)),
        )

    async def _event(self, stream: str, revision: int) -> RecordedEvent:
        if stream.partition("-")[0] not in CATEGORIES:
            raise InvalidRequest({"stream": f"must be a stream of {', '.join(CATEGORIES)}, like order-ID"})
        if revision >= 2**63:
            raise InvalidRequest({"revision": "must be below 2^63"})
        for event in await self._log.stream(stream, revision, 1) or ():
            if event.stream_position == revision:
                return event
        raise NotFound("EVENT_NOT_FOUND", stream=stream, revision=revision)

    async def _behind(self, event: RecordedEvent) -> Sequence[RecordedEvent]:
        """The next events of the stream; of a long one not all."""
        return await self._log.stream(event.stream_name, event.stream_position + 1, PAGE) or ()

    async def _append(self, excluded: EventExcluded) -> None:
        data = json_format.MessageToJson(
            excluded, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=None
        )
        # a second operator with the same plan writes the same event, which the store accepts once
        event = NewEvent(
            type=EVENT_EXCLUDED,
            data=data.encode(),
            content_type="application/json",
            id=uuid5(NAMESPACE_URL, f"{excluded.stream}:{excluded.plan_id}"),
        )
        with self._client.calling():
            await self._client.append_to_stream(
                exclusion_stream(excluded.stream), current_version=StreamState.ANY, events=[event], timeout=TIMEOUT
            )


def _error_of(event: RecordedEvent) -> CodecError | None:
    """Why this code cannot read it; None if it can, or if the event is the store's own."""
    try:
        codec.decode_stored(event)
    except CodecError as error:
        return None if codec.is_of_the_store(event.type) else error
    return None


def _effects(event: RecordedEvent, others: Sequence[RecordedEvent], *, unknown: bool) -> list[str]:
    effects = [
        f"{_named(event)} is skipped for good: by commands, snapshots, queries, watches, views and processes",
        "it stays in the log as it is; code that can read it applies it",
    ]
    if unknown:
        effects.append("a newer release that knows its type applies it: no such release may be in use beside this one")
    if event.stream_position == 0:
        effects.append("it is the first event of its stream: without it there is nothing that later events change")
    effects += [f"{_named(one)} cannot be read either" for one in others[:MAX_LISTED]]
    if len(others) > MAX_LISTED:
        effects.append(f"nor can {len(others) - MAX_LISTED} further events of the stream")
    return effects


def _named(event: RecordedEvent) -> str:
    return f"{event.type} {event.stream_position}@{event.stream_name}"


def _exclusion(plan: Plan, actor: str, reason: str) -> EventExcluded:
    excluded = EventExcluded(
        stream=plan.event.stream_name,
        revision=plan.event.stream_position,
        event_id=str(plan.event.id),
        event_type=plan.event.type,
        error=plan.error,
        actor=actor,
        reason=reason,
        plan_id=plan.id,
    )
    excluded.excluded_at.FromDatetime(datetime.now(UTC))
    return excluded


def _parsed(event: RecordedEvent) -> EventExcluded:
    return json_format.Parse(event.data, EventExcluded(), ignore_unknown_fields=True)


def _to_proto(excluded: EventExcluded) -> pb.Exclusion:
    return pb.Exclusion(
        stream=excluded.stream,
        revision=excluded.revision,
        event_id=excluded.event_id,
        event_type=excluded.event_type,
        error=excluded.error,
        actor=excluded.actor,
        reason=excluded.reason,
        plan_id=excluded.plan_id,
        excluded_at=excluded.excluded_at,
    )
