"""Streams that hold events in former shapes are decided on and shown as if they were written today."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from esdbclient import NewEvent

from client.sdk import OrderstreamClient
from core.eventstore.connection import Client, connect
from core.eventstore.consistency_token import to_token
from protos.common.v1.types_pb2 import Money
from tests.support.buying import product, user
from tests.support.orders import ANN

GOLDEN = Path(__file__).parents[2] / "contract/golden"


@pytest.fixture
async def log(eventstore_uri: str) -> AsyncIterator[Client]:
    client = await connect(eventstore_uri)
    yield client
    await client.close()


async def append_former(log: Client, stream: str, revision: int, name: str, *ids: str) -> str:
    """Write the released example of a first version, with another id (was, is); its token."""
    example = (GOLDEN / f"{name}.v1.json").read_bytes().replace(ids[0].encode(), ids[1].encode())
    return to_token(await log.append_to_stream(stream, current_version=revision, events=[NewEvent(name, example)]))


async def test_a_price_changed_long_ago_is_the_price(client: OrderstreamClient, log: Client) -> None:
    sku = await product(client)
    token = await append_former(log, f"product-{sku}", 1, "PriceChanged", "tea", sku)
    shown = (await client.products.GetProduct(sku=sku, consistency_token=token)).product
    assert (shown.price.amount_minor, shown.revision) == (400, 2)

    again = await client.products.ChangePrice(sku=sku, price=Money(amount_minor=400, currency="EUR"))
    assert again.revision == 2
    changed = await client.products.ChangePrice(sku=sku, price=Money(amount_minor=450, currency="EUR"))
    [*_, newest] = await log.get_stream(f"product-{sku}")
    assert (changed.revision, newest.type) == (3, "PriceChangedV2")
    assert b'"previous":{"amount_minor":400,' in newest.data


async def test_an_email_changed_long_ago_is_the_email(client: OrderstreamClient, log: Client) -> None:
    user_id = await user(client)
    token = await append_former(log, f"user-{user_id}", 0, "EmailChanged", ANN, user_id)
    assert (await client.users.GetUser(user_id=user_id, consistency_token=token)).user.email == "ann@example.com"
    await client.users.ChangeEmail(user_id=user_id, email=f"{user_id}@example.org")
    [*_, newest] = await log.get_stream(f"user-{user_id}")
    assert newest.type == "EmailChangedV2"
    assert b'"previous_email":"ann@example.com"' in newest.data
