"""The two sides do not need each other."""

from pathlib import Path

import pytest

from client.sdk import OrderstreamClient
from client.sdk.errors import Unavailable
from protos.common.v1.types_pb2 import FreshnessSource, Money
from tests.support.calling import fresh_email, fresh_sku
from tests.support.eventually import eventually
from tests.support.processes import stack


async def test_commands_are_answered_without_views_and_queries_without_commands(tmp_path: Path) -> None:
    async with stack(tmp_path, any_log=True) as running, OrderstreamClient(running.addresses) as shop:
        ann = await shop.users.RegisterUser(name="Ann", email=fresh_email())
        token = ann.consistency_token

        async def is_in_the_view() -> bool:
            reply = await shop.users.GetUser(user_id=ann.user_id, consistency_token=token)
            return reply.freshness.source == FreshnessSource.FRESHNESS_SOURCE_VIEW

        await eventually(is_in_the_view)
        await running.members["projections"].stop()
        await running.members["mongo"].stop()
        bob = await shop.users.RegisterUser(name="Bob", email=fresh_email())
        assert bob.revision == 0
        price = Money(amount_minor=350, currency="EUR")
        tea = await shop.products.RegisterProduct(sku=fresh_sku(), name="Tea", price=price)

        await running.members["mongo"].start()
        token = bob.consistency_token
        early = await shop.users.GetUser(user_id=bob.user_id, consistency_token=token, deadline=20.0)
        assert (early.user.name, early.freshness.source) == ("Bob", FreshnessSource.FRESHNESS_SOURCE_VIEW_AND_STREAM)
        with pytest.raises(Unavailable) as never_stale:
            await shop.products.ListProducts(consistency_token=tea.consistency_token, deadline=1.0)
        assert never_stale.value.reason in ("NOT_FRESH_ENOUGH", "")

        await running.members["commands"].stop()
        assert (await shop.users.GetUser(user_id=ann.user_id)).user.name == "Ann"

        await running.members["projections"].start()
        reply = await shop.users.GetUser(user_id=bob.user_id, consistency_token=bob.consistency_token, deadline=20.0)
        assert reply.user.name == "Bob"
