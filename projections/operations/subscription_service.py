"""SubscriptionService: operators inspect and repair persistent subscription groups."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf import timestamp_pb2
from google.protobuf.message import Message

from core.eventstore import checkout_group
from core.eventstore.persistent import ALL, Group, Groups, Parked, ParkedRange
from core.failures import PageTokenInvalid, ServiceFailure
from core.rpc.headers import actor_of
from core.rpc.typing import Context
from core.rpc.validation import Rules, check, chosen, known_id, reason_of, store_texts
from projections.lifecycle.audit_log import AuditEntry, AuditLog
from projections.operations.plans import plan_id, require_current
from protos.operations.v1 import subscriptions_pb2 as pb
from protos.operations.v1.subscriptions_pb2_grpc import SubscriptionServiceServicer

SERVICE = "operations.v1.SubscriptionService"
PAGE, MAX_PAGE = 50, 1_000
MAX_NAME_LENGTH = 500  # characters of a stream or a group
IN_A_SAMPLE = 10
NUMBER = re.compile("[0-9]{1,18}")  # below 2^63


class SubscriptionAdmin(SubscriptionServiceServicer):
    """Answers from the event store alone, without state."""

    def __init__(self, groups: Groups, audit_log: AuditLog) -> None:
        self._groups = groups
        self._audit_log = audit_log

    async def ListSubscriptions(
        self, request: pb.ListSubscriptionsRequest, context: Context
    ) -> pb.ListSubscriptionsResponse:
        return pb.ListSubscriptionsResponse(subscriptions=map(_to_proto, await self._groups.every()))

    async def GetSubscription(self, request: pb.GetSubscriptionRequest, context: Context) -> pb.GetSubscriptionResponse:
        _check(request)
        group = await self._groups.one(request.source, request.group)
        return pb.GetSubscriptionResponse(subscription=_to_proto(group))

    async def ListParkedEvents(
        self, request: pb.ListParkedEventsRequest, context: Context
    ) -> pb.ListParkedEventsResponse:
        _check(request)
        size = min(request.page_size or PAGE, MAX_PAGE)
        parked = await self._groups.parked_range(request.source, request.group)
        first = max(parked.first, _from_token(request)) if request.page_token else parked.first
        found = await self._groups.parked(request.source, request.group, first, size) if len(parked) else []
        more = bool(found) and found[-1].number + 1 < parked.end
        return pb.ListParkedEventsResponse(
            events=map(_parked_to_proto, found), next_page_token=_token(request, found[-1].number + 1) if more else ""
        )

    async def PlanReplay(self, request: pb.PlanReplayRequest, context: Context) -> pb.PlanReplayResponse:
        _check(request)
        parked = await self._groups.parked_range(request.source, request.group)
        due = _due(parked, request.limit)
        sample, last = await self._ends(request, due)
        return pb.PlanReplayResponse(
            plan_id=_plan(request, parked, due),
            events=len(due),
            left=len(parked) - len(due),
            oldest_parked_at=_timestamp(sample[:1]),
            newest_parked_at=_timestamp(last),
            sample=map(_parked_to_proto, sample),
        )

    async def ApplyReplay(self, request: pb.ApplyReplayRequest, context: Context) -> pb.ApplyReplayResponse:
        _check(request)
        parked = await self._groups.parked_range(request.source, request.group)
        due = _due(parked, request.limit)
        require_current(request.plan_id, _plan(request, parked, due))
        act = AuditEntry(
            act="ApplyReplay",
            subject=f"{request.source}::{request.group}",
            actor=actor_of(context),
            reason=reason_of(request),
            plan_id=request.plan_id,
            details={"events": len(due), "left": len(parked) - len(due)},
        )
        async with self._audit_log.recorded(act):
            if len(due):
                await self._groups.replay(request.source, request.group, due.end)
        group = await self._groups.one(request.source, request.group)
        return pb.ApplyReplayResponse(events=len(due), subscription=_to_proto(group))

    async def PlanChange(self, request: pb.PlanChangeRequest, context: Context) -> pb.PlanChangeResponse:
        _check(request)
        plan = await self._change(request)
        return pb.PlanChangeResponse(
            plan_id=plan.id,
            subscription=None if plan.group is None else _to_proto(plan.group),
            start=plan.start,
            events=plan.events,
        )

    async def ApplyChange(self, request: pb.ApplyChangeRequest, context: Context) -> pb.ApplyChangeResponse:
        _check(request)
        plan = await self._change(request)
        require_current(request.plan_id, plan.id)
        act = AuditEntry(
            act=f"{_name(request.change)}Subscription",
            subject=f"{request.source}::{request.group}",
            actor=actor_of(context),
            reason=reason_of(request),
            plan_id=plan.id,
            details={"start": plan.start, "parked": plan.group.parked if plan.group else 0},
        )
        async with self._audit_log.recorded(act):
            if request.change != pb.GROUP_CHANGE_CREATE:
                await self._groups.delete(request.source, request.group)
            if request.change != pb.GROUP_CHANGE_DELETE:
                await self._create(request.source, request.group, None if request.from_end else plan.start)
        if request.change == pb.GROUP_CHANGE_DELETE:
            return pb.ApplyChangeResponse()
        group = await self._groups.one(request.source, request.group)
        return pb.ApplyChangeResponse(subscription=_to_proto(group))

    async def _create(self, source: str, group: str, start: int | None) -> None:
        if source == ALL:
            await self._groups.create_on_all(group, start, **checkout_group.SETTINGS)
        else:
            await self._groups.create_on_stream(source, group, start, **checkout_group.SETTINGS)

    async def _change(self, request: pb.PlanChangeRequest | pb.ApplyChangeRequest) -> "_Change":
        """Raises `SubscriptionExists`, and `SUBSCRIPTION_NOT_FOUND`."""
        group: Group | None = None
        if request.change == pb.GROUP_CHANGE_CREATE:
            if request.group in await self._groups.checkpoints(request.source):
                raise SubscriptionExists(request.source, request.group)
        else:
            group = await self._groups.one(request.source, request.group)
        start = events = 0
        if request.change != pb.GROUP_CHANGE_DELETE:
            start = await self._groups.resolved(request.source, request.start, from_end=request.from_end)
            events = 0 if request.from_end else await self._groups.waiting_from(request.source, start)
        facts = {"source": request.source, "group": request.group, "parked": group.parked if group else 0}
        # behind the end: the log grows between plan and act, which is intended
        facts["start"] = -1 if request.from_end else start
        return _Change(plan_id(_name(request.change), **facts), group, start, events)

    async def RestartSubscriptions(
        self, request: pb.RestartSubscriptionsRequest, context: Context
    ) -> pb.RestartSubscriptionsResponse:
        _check(request)
        act = AuditEntry(act="RestartSubscriptions", subject="", actor=actor_of(context), reason=reason_of(request))
        async with self._audit_log.recorded(act):
            await self._groups.restart()
        return pb.RestartSubscriptionsResponse(subscriptions=map(_to_proto, await self._groups.every()))

    async def _ends(self, request: pb.PlanReplayRequest, due: ParkedRange) -> tuple[list[Parked], list[Parked]]:
        if not len(due):
            return [], []
        sample = await self._groups.parked(request.source, request.group, due.first, min(IN_A_SAMPLE, len(due)))
        return sample, await self._groups.parked(request.source, request.group, due.end - 1, 1)


@dataclass(frozen=True, slots=True)
class _Change:
    """A plan. `group` is the present group; `start` and `events` as in the reply."""

    id: str
    group: Group | None
    start: int
    events: int


class SubscriptionExists(ServiceFailure):
    reason = "SUBSCRIPTION_EXISTS"

    def __init__(self, source: str, group: str) -> None:
        super().__init__(f"there is a group {group} on {source}", source=source, group=group)


def _name(change: "pb.GroupChange.ValueType") -> str:
    return pb.GroupChange.Name(change).removeprefix("GROUP_CHANGE_").capitalize()


def _due(parked: ParkedRange, limit: int) -> ParkedRange:
    """The events of a replay: the oldest `limit`, or all."""
    return ParkedRange(first=parked.first, end=min(parked.end, parked.first + limit) if limit else parked.end)


def _plan(request: pb.PlanReplayRequest | pb.ApplyReplayRequest, parked: ParkedRange, due: ParkedRange) -> str:
    return plan_id(
        "Replay", source=request.source, group=request.group, first=due.first, end=due.end, left=parked.end - due.end
    )


def _not_negative(value: object) -> str | None:
    return None if int(value) >= 0 else "must not be negative"  # type: ignore[call-overload]  # a rule for numbers only


RULES: Rules = {
    "source": known_id(MAX_NAME_LENGTH),
    "group": known_id(MAX_NAME_LENGTH),
    "limit": _not_negative,
    "page_size": _not_negative,
    "start": _not_negative,
    "change": chosen(pb.GroupChange.DESCRIPTOR),
}


def _check(request: Message) -> None:
    """Every field by its name, and the texts as they are stored. Raises `InvalidRequest` with all that is wrong."""
    rules = {field.name: RULES[field.name] for field in request.DESCRIPTOR.fields if field.name in RULES}
    check(request, rules)
    store_texts(request, rules)


def _digest(request: pb.ListParkedEventsRequest) -> str:
    return hashlib.sha256(f"{request.source}::{request.group}".encode()).hexdigest()[:12]


def _token(request: pb.ListParkedEventsRequest, number: int) -> str:
    return f"{number}.{_digest(request)}"


def _from_token(request: pb.ListParkedEventsRequest) -> int:
    number, _, digest = request.page_token.partition(".")
    if digest != _digest(request) or not NUMBER.fullmatch(number):
        raise PageTokenInvalid
    return int(number)


def _to_proto(group: Group) -> pb.Subscription:
    info = group.info
    return pb.Subscription(
        source=group.source,
        group=group.name,
        status=info.status,
        consumers=len(info.connections),
        lag=group.lag,
        in_flight=info.total_in_flight_messages,
        parked=group.parked,
        checkpoint=info.last_checkpointed_event_position,
        average_per_second=info.average_per_second,
        strategy=info.named_consumer_strategy,
        max_retry_count=info.max_retry_count,
        message_timeout_ms=info.message_timeout_milliseconds,
    )


def _parked_to_proto(parked: Parked) -> pb.ParkedEvent:
    return pb.ParkedEvent(
        number=parked.number,
        stream=parked.stream,
        revision=parked.revision,
        type=parked.type,
        event_id=str(parked.event_id) if parked.event_id else "",
        parked_at=_timestamp([parked]),
        parked_because=parked.because,
    )


def _timestamp(parked: Iterable[Parked]) -> timestamp_pb2.Timestamp | None:
    """When the first of them was parked."""
    for one in parked:
        stamp = timestamp_pb2.Timestamp()
        stamp.FromDatetime(one.parked_at)
        return stamp
    return None
