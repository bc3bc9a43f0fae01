"""The actor of an event and of an act is who has called, not who the call says it is."""

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from core.eventstore.connection import Client
from core.security.principal import CALLER, Principal
from projections.lifecycle.audit_log import AuditEntry, AuditLog
from protos.users.v1 import commands_pb2 as users
from protos.users.v1.commands_pb2_grpc import UserCommandServiceStub
from tests.integration.security.conftest import as_caller
from tests.support.calling import DEADLINE, fresh_email, fresh_id, refusal


@pytest.fixture
async def stub(commands: str) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(commands) as channel:
        yield UserCommandServiceStub(channel)


def registration() -> users.RegisterUserRequest:
    return users.RegisterUserRequest(request_id=fresh_id(), name="Ann", email=fresh_email())


async def metadata_of(client: Client, user_id: str) -> dict[str, Any]:
    [event] = [event async for event in client.events_of_stream(f"user-{user_id}")]
    found: dict[str, Any] = json.loads(event.metadata)
    return found


async def test_a_header_does_not_change_who_has_called(stub: Any, client: Client) -> None:
    metadata = as_caller("till", x_orderstream_actor="boss")
    reply = await stub.RegisterUser(registration(), metadata=metadata, timeout=DEADLINE)
    recorded = await metadata_of(client, reply.user_id)
    assert recorded["actor"] == "till"
    assert "via" not in recorded


async def test_who_may_act_for_others_is_recorded_beside_them(stub: Any, client: Client) -> None:
    metadata = as_caller("console", x_orderstream_actor="olga")
    reply = await stub.RegisterUser(registration(), metadata=metadata, timeout=DEADLINE)
    recorded = await metadata_of(client, reply.user_id)
    assert (recorded["actor"], recorded["via"]) == ("olga", "console")


@pytest.mark.parametrize("name", ["process:checkout", "orderstream", "Orderstream-x"])
async def test_nobody_acts_for_a_process(stub: Any, name: str) -> None:
    metadata = as_caller("console", x_orderstream_actor=name)
    refused = await refusal(stub.RegisterUser(registration(), metadata=metadata, timeout=DEADLINE))
    assert refused.fields == ("x-orderstream-actor",)


async def test_an_act_names_the_caller_that_acted_for_somebody(client: Client) -> None:
    CALLER.set(Principal(name="console", roles=frozenset({"impersonate"})))
    audit_log = AuditLog(client)
    for actor in ("olga", "console"):
        async with audit_log.recorded(AuditEntry(act="PauseProjection", subject="order_list", actor=actor)):
            pass
    own, other = (one.act for one in await audit_log.latest(2))
    assert (other.actor, other.via) == ("olga", "console")
    assert (own.actor, own.via) == ("console", "")
