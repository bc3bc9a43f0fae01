"""The audit log: each action of an operator is an event in the stream `operations`: who, what, when, why.

The entry is written first: an action without a record is not done. If the action then fails, a second event says so.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import structlog
from google.protobuf import json_format
from uuid_utils.compat import uuid7

from core.error_text import bounded, error_text
from core.eventstore.client import NewEvent, NotFound, RecordedEvent, StreamState
from core.eventstore.connection import Client
from core.rpc.headers import via_of
from protos.operations.v1.events_pb2 import OperatorActed
from protos.operations.v1.projections_pb2 import RecordedAct
from protos.operations.v1.types_pb2 import ActDetail

log = structlog.get_logger()

STREAM = "operations"
ACTED = "OperatorActed"
TIMEOUT = 5.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One act of an operator. `subject` is the name of what it is done to; `details` are for people."""

    act: str
    subject: str
    actor: str
    reason: str = ""
    plan_id: str = ""
    details: dict[str, object] = field(default_factory=dict)
    failure: str = ""


def _recorded(event: RecordedEvent) -> RecordedAct:
    if event.type != ACTED:
        return RecordedAct(revision=event.stream_position, unreadable=bounded(f"no act, but {event.type}"))
    try:
        act = json_format.Parse(event.data, OperatorActed(), ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError) as error:
        return RecordedAct(revision=event.stream_position, unreadable=error_text(error))
    return RecordedAct(revision=event.stream_position, act=act)


class AuditLog:
    """The record of operators' actions."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @asynccontextmanager
    async def recorded(self, act: AuditEntry) -> AsyncIterator[None]:
        """Record it, then do what the block does. Raises `StoreUnavailable`, before the block, if it has no record."""
        await self._record(act)
        log.info("operator acts", act=act.act, subject=act.subject, actor=act.actor, reason=act.reason)
        try:
            yield
        except Exception as error:
            await self._record(replace(act, failure=error_text(error)))
            raise

    async def latest(self, most: int) -> list[RecordedAct]:
        """The last actions, the latest first; an event that is no action is reported as such."""
        with self._client.calling():
            try:
                newest = self._client.events_of_stream(STREAM, backwards=True, limit=most, timeout=TIMEOUT)
                return [_recorded(event) async for event in newest]
            except NotFound:
                return []

    async def _record(self, act: AuditEntry) -> None:
        message = OperatorActed(
            act=act.act,
            subject=act.subject,
            actor=act.actor,
            reason=act.reason,
            plan_id=act.plan_id,
            details=[ActDetail(name=name, value=bounded(str(value))) for name, value in act.details.items()],
            failure=act.failure,
            via=via_of(act.actor),
        )
        message.acted_at.FromDatetime(datetime.now(UTC))
        data = json_format.MessageToJson(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=None
        )
        with self._client.calling():
            await self._client.append_to_stream(
                STREAM,
                current_version=StreamState.ANY,
                events=[NewEvent(type=ACTED, data=data.encode(), id=uuid7())],
                timeout=TIMEOUT,
            )
