"""The two sides do not need each other."""

from pathlib import Path

import pytest

from client.sdk import OrderstreamClient
from client.sdk.errors import Unavailable
from tests.support.calling import fresh_email
from tests.support.processes import stack


async def test_commands_are_answered_without_views_and_queries_without_commands(tmp_path: Path) -> None:
    async with stack(tmp_path, any_log=True) as running, OrderstreamClient(running.addresses) as shop:
        ann = await shop.users.RegisterUser(name="Ann", email=fresh_email())
        await shop.users.GetUser(user_id=ann.user_id, consistency_token=ann.consistency_token)

        await running.members["projections"].stop()
        await running.members["mongo"].stop()
        bob = await shop.users.RegisterUser(name="Bob", email=fresh_email())
        assert bob.revision == 0

        await running.members["mongo"].start()
        with pytest.raises(Unavailable) as never_stale:
            await shop.users.GetUser(user_id=bob.user_id, consistency_token=bob.consistency_token, deadline=1.0)
        assert never_stale.value.reason in ("NOT_FRESH_ENOUGH", "")

        await running.members["commands"].stop()
        assert (await shop.users.GetUser(user_id=ann.user_id)).user.name == "Ann"

        await running.members["projections"].start()
        reply = await shop.users.GetUser(user_id=bob.user_id, consistency_token=bob.consistency_token, deadline=20.0)
        assert reply.user.name == "Bob"
