"""What operators of the event store delete is refused by its name, at once, and not tried again."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from esdbclient import StreamState

from core.config import Settings
from core.eventstore.connection import Client, connect
from protos.orders.v1 import commands_pb2 as pb
from server.app import serving
from tests.support.calling import DEADLINE, Shop, fresh_id, refusal, shop_at


@pytest.fixture
async def client(eventstore_uri: str) -> AsyncIterator[Client]:
    client = await connect(eventstore_uri)
    yield client
    await client.close()


def hold(shop: Shop, order_id: str) -> Any:
    request = pb.HoldOrderRequest(request_id=fresh_id(), order_id=order_id, reason="r")
    return shop.orders.HoldOrder(request, timeout=DEADLINE)


async def test_a_command_on_a_deleted_order_is_refused_by_one_who_knew_it_and_by_one_who_did_not(
    shop: Shop, client: Client, settings: Settings
) -> None:
    order_id = await shop.placed()
    await client.tombstone_stream(f"order-{order_id}", current_version=StreamState.ANY)
    knew = await refusal(hold(shop, order_id))
    async with serving("commands", settings, port=0) as address, shop_at(address) as another:
        did_not = await refusal(hold(another, order_id))
    for refused in (knew, did_not):
        assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STREAM_DELETED")
        assert refused.metadata["stream"] == f"order-{order_id}"
        assert not refused.retry


async def test_a_command_on_an_order_without_its_first_events_is_refused(
    shop: Shop, client: Client, settings: Settings
) -> None:
    order_id = await shop.placed()
    await client.set_stream_metadata(
        f"order-{order_id}", metadata={"$tb": 1}, current_version=StreamState.ANY, timeout=DEADLINE
    )
    async with serving("commands", settings, port=0) as address, shop_at(address) as another:
        refused = await refusal(hold(another, order_id))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STREAM_TRUNCATED")
    assert refused.metadata == {"stream": f"order-{order_id}", "first": "1"}
    assert not refused.retry
