"""Every act of an operator is an event, and none happens without."""

from typing import Any

import pytest
from google.protobuf import json_format

from core.eventstore.connection import Client, connect
from core.failures import StoreUnavailable
from projections.lifecycle.audit_log import STREAM, AuditEntry, AuditLog
from protos.operations.v1.events_pb2 import OperatorActed

PAUSE = AuditEntry(act="PauseProjection", subject="order_list", actor="ann", reason="a bug", details={"generation": 2})


async def recorded(client: Client) -> list[Any]:
    return [json_format.Parse(event.data, OperatorActed()) for event in await client.get_stream(STREAM)]


async def test_an_act_is_recorded_with_who_what_when_and_why(client: Client) -> None:
    async with AuditLog(client).recorded(PAUSE):
        last = (await recorded(client))[-1]
    assert (last.act, last.subject, last.actor, last.reason) == ("PauseProjection", "order_list", "ann", "a bug")
    assert [(detail.name, detail.value) for detail in last.details] == [("generation", "2")]
    assert last.acted_at.seconds > 0
    assert not last.failure


async def test_an_act_that_fails_is_recorded_as_such(client: Client) -> None:
    with pytest.raises(StoreUnavailable):
        async with AuditLog(client).recorded(PAUSE):
            raise StoreUnavailable("view")
    first, second = (await recorded(client))[-2:]
    assert not first.failure
    assert second.failure == "StoreUnavailable: the view store does not answer; try again"


async def test_what_cannot_be_recorded_is_not_done() -> None:
    client = await connect("esdb://127.0.0.1:1?Tls=false")
    done = False
    with pytest.raises(StoreUnavailable):
        async with AuditLog(client).recorded(PAUSE):
            done = True
    assert not done
    await client.close()
