"""Views and queries read from followers; what a follower may not know, and every act, goes to the leader."""

from typing import Any

import pytest
from esdbclient import NewEvent, StreamState

from client.sdk import Addresses, OrderstreamClient
from core.config import Settings
from core.eventstore.connection import connect
from core.eventstore.log import EventLog, LogPoint
from core.eventstore.persistent import ALL, Groups
from core.failures import StoreUnavailable
from embedded.eventstore.cluster import cluster
from projections.app import serving as serving_projections
from projections.config import Settings as ProjectionSettings
from protos.operations.v1.projections_pb2 import PROJECTION_STATUS_LIVE
from server.app import serving
from tests.support.buying import orders
from tests.support.eventually import eventually

PACE = 0.1


async def test_views_and_queries_go_on_through_followers_and_acts_through_the_leader(
    mongo_uri: str, database: str
) -> None:
    async with cluster(pace=PACE) as c:
        stores: dict[str, Any] = {
            "eventstore_uri": c.uri,
            "eventstore_read_uri": f"{c.uri}&NodePreference=follower",
            "mongo_uri": mongo_uri,
            "mongo_database": database,
        }
        settings = Settings(**stores)
        async with (
            serving("commands", settings, 0) as commands,
            serving("queries", settings, 0) as queries,
            serving_projections(ProjectionSettings(**stores), 0) as projections,
            OrderstreamClient(
                Addresses(commands=commands, queries=queries, projections=projections), deadline=30.0
            ) as shop,
        ):
            _, [order], token = await orders(shop, 1)
            assert (await shop.orders.GetOrder(order_id=order, consistency_token=token)).order.order_id == order
            await shop.operations.PauseProjection(view="order_list", reason="a test of acts")
            for n, state in enumerate(c.states):
                if state == "Follower":  # views lose the one that they read from, whichever that is
                    await c.kill(n)
                    await c.settled()
                    await c.start(n)
                    await c.settled()
            await shop.operations.ResumeProjection(view="order_list", reason="a test of acts")
            _, [another], token = await orders(shop, 1)
            assert (await shop.orders.GetOrder(order_id=another, consistency_token=token)).order.order_id == another

            async def shown() -> set[int]:
                return {x.status for x in (await shop.operations.ListProjections()).projections}

            await eventually(shown, lambda now: now == {PROJECTION_STATUS_LIVE})


async def test_whether_a_point_is_of_this_log_is_asked_of_the_leader() -> None:
    async with cluster(pace=PACE) as c:
        leader = await connect(c.uri)
        follower = await connect(f"{c.uri}&NodePreference=follower", leader)
        new = NewEvent(type="Happened", data=b"{}")
        position = await leader.append_to_stream("s-1", current_version=StreamState.NO_STREAM, events=[new])
        point = LogPoint(position, str(new.id))
        assert await EventLog(follower).is_of_this_log(point)
        assert not await EventLog(follower).is_of_this_log(LogPoint(position, "of another log"))
        await leader.close()
        with pytest.raises(StoreUnavailable):
            await EventLog(follower).is_of_this_log(point)
        assert await EventLog(follower).head() == position
        await follower.close()


async def test_a_follower_that_is_asked_for_a_group_does_not_say_that_there_is_none() -> None:
    async with cluster(pace=PACE) as c:
        leader = await connect(c.uri)
        follower = await connect(f"{c.uri}&NodePreference=follower")
        try:
            await Groups(EventLog(leader)).create_on_all("g", 0)
            with pytest.raises(StoreUnavailable):
                await Groups(EventLog(follower)).checkpoints(ALL)
            with pytest.raises(StoreUnavailable):
                await Groups(EventLog(follower)).delete(ALL, "another")
            assert "g" in await Groups(EventLog(leader)).checkpoints(ALL)
        finally:
            await follower.close()
            await leader.close()
