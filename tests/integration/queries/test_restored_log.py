"""A log that was restored from an older copy while orders are watched: no watch goes on as if nothing had happened."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pymongo import AsyncMongoClient

from core.config import Settings
from core.eventstore.connection import connect
from core.eventstore.consistency_token import to_token
from core.eventstore.log import EventLog
from core.failures import LogMismatch, StoreUnavailable
from core.readmodel.checkpoints import CheckpointStore
from embedded.stack import embedded_eventstore
from protos.orders.v1 import queries_pb2 as pb
from protos.orders.v1.queries_pb2_grpc import OrderQueryServiceStub
from server.app import serving
from server.queries import fresh_views, views_of
from server.queries.freshness import FreshViews
from server.queries.watching.hub import Hub, Limits
from server.queries.watching.orders import Watching
from tests.support.calling import fresh_id, refusal
from tests.support.eventually import eventually
from tests.support.older_log import copied, node
from tests.support.processes import free_port
from tests.support.views import append, new_order

LIMITS = Limits(watches=10, waiting=100, heartbeat=0.2)
WITHIN = 60.0  # seconds


async def until_it_ends(watch: Any) -> None:
    async with asyncio.timeout(WITHIN), aclosing(watch.changes()) as changes:
        async for _ in changes:
            pass


async def test_a_watch_ends_when_the_log_is_not_the_one_it_followed(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    async with node(data) as writer:
        await append(writer, new_order())
    copy = copied(data)
    async with node(copy) as writer:  # it grows beyond what will be reported, with an event wherever there will be one
        for _ in range(5):
            await append(writer, new_order())
    async with AsyncExitStack() as until_the_end, AsyncExitStack() as until_it_is_restored:
        writer = await until_it_is_restored.enter_async_context(node(data, port))
        client = await connect(f"esdb://127.0.0.1:{port}?Tls=false")
        until_the_end.push_async_callback(client.close)
        hub = Hub(EventLog(client), LIMITS)
        await until_the_end.enter_async_context(hub.open())
        watch = await until_the_end.enter_async_context(hub.watch(lambda _: True))
        await append(writer, new_order())
        async with asyncio.timeout(WITHIN), aclosing(watch.changes()) as changes:
            await anext(changes)
        await until_it_is_restored.aclose()
        async with embedded_eventstore(copy, port=port):
            with pytest.raises(StoreUnavailable):
                await until_it_ends(watch)


class Caller:
    """The context of a call without a deadline."""

    def time_remaining(self) -> None:
        return None


async def test_a_watch_of_orders_begins_at_the_start_while_its_view_is_of_another_log(
    tmp_path: Path, mongo_uri: str, database: str
) -> None:
    async with AsyncMongoClient[dict[str, Any]](mongo_uri) as mongo, node(tmp_path / "data") as writer:
        log, state = EventLog(writer), CheckpointStore(mongo[database])
        checkpoint = await state.take_over("order_list", 1)
        elsewhere = replace(
            checkpoint, position=2**40, last_event_position=2**40, last_event_id=fresh_id(), log_mismatch=True
        )
        await state.advance(elsewhere)
        await append(writer, order := new_order())
        hub = Hub(log, LIMITS)
        watching = Watching(views_of(state, log, fresh_views(state, log)), log, hub)
        messages = aclosing(watching.orders(pb.WatchOrdersRequest(), Caller()))
        async with hub.open(), asyncio.timeout(WITHIN), messages as reported:
            first = await anext(reported)
            assert (first.snapshot.begins, first.snapshot.log_mismatch) == (True, True)
            changes = (message.change async for message in reported if message.WhichOneof("message") == "change")
            assert (await anext(changes)).order.order_id == order[0].order_id
        await mongo.drop_database(database)


class Scene(NamedTuple):
    """A log, and the view `order_list` for which nothing says yet that it was made from another one."""

    log: EventLog
    state: CheckpointStore
    fresh: FreshViews
    position: int
    mongo_uri: str
    database: str
    eventstore_uri: str

    async def stands_at(self, event_id: str, generation: int = 1) -> None:
        checkpoint = await self.state.take_over("order_list", generation)
        await self.state.advance(
            replace(checkpoint, position=self.position, last_event_position=self.position, last_event_id=event_id)
        )


@pytest.fixture
async def scene(eventstore_uri: str, mongo_uri: str, database: str) -> AsyncIterator[Scene]:
    client = await connect(eventstore_uri)
    async with AsyncMongoClient[dict[str, Any]](mongo_uri) as mongo:
        log, state = EventLog(client), CheckpointStore(mongo[database])
        fresh = FreshViews(state, {"order_list": "order-.*"}, log)
        position = await append(client, new_order())
        found = Scene(log, state, fresh, position, mongo_uri, database, eventstore_uri)
        await found.stands_at(fresh_id())
        yield found
        await mongo.drop_database(database)
    await client.close()


async def at_the_position(scene: Scene) -> str:
    event = await scene.log.at(scene.position)
    assert event is not None
    return str(event.id)


async def test_a_view_of_another_log_honours_no_token_and_says_what_it_is(scene: Scene) -> None:
    async with scene.fresh.checked():
        assert scene.fresh.of_another_log == {"order_list"}
        seen = await scene.fresh.at_least("order_list", "", Caller())
        assert (seen.log_mismatch, seen.position) == (True, 0)
        with pytest.raises(LogMismatch, match="order_list was made from another log"):
            await scene.fresh.at_least("order_list", to_token(scene.position), Caller())


async def test_a_view_of_another_log_stays_so_until_another_generation_is_live(scene: Scene) -> None:
    async with scene.fresh.checked():
        await scene.stands_at(await at_the_position(scene))
        scene.fresh.check_soon()
        await asyncio.sleep(0)
        assert (await scene.fresh.at_least("order_list", "", Caller())).log_mismatch
        await scene.stands_at(await at_the_position(scene), generation=2)
        await scene.state.generations.change("order_list", lambda now: replace(now, generation=2, newest=2))
        scene.fresh.check_soon()

        async def seen() -> tuple[int, bool]:
            found = await scene.fresh.at_least("order_list", "", Caller())
            return found.generation, scene.fresh.of_another_log == frozenset()

        await eventually(seen, lambda now: now == (2, True))
        reached = await scene.fresh.at_least("order_list", to_token(scene.position), Caller())
        assert reached.position == scene.position


def is_status(status: int, reply: Any) -> bool:
    return bool(reply.status == status)


async def test_queries_say_that_their_view_is_of_another_log_and_their_service_is_red(scene: Scene) -> None:
    settings = Settings(
        eventstore_uri=scene.eventstore_uri, mongo_uri=scene.mongo_uri, mongo_database=scene.database, grace=1.0
    )
    async with serving("queries", settings, 0) as address, grpc.aio.insecure_channel(address) as channel:
        orders: Any = OrderQueryServiceStub(channel)
        listed = await orders.ListOrders(pb.ListOrdersRequest(), timeout=WITHIN)
        assert (listed.freshness.log_mismatch, listed.freshness.position) == (True, 0)
        of_two_views = await orders.GetCustomerOrders(
            pb.GetCustomerOrdersRequest(customer_id=fresh_id()), timeout=WITHIN
        )
        assert of_two_views.freshness.log_mismatch
        token = to_token(scene.position)
        refused = await refusal(orders.ListOrders(pb.ListOrdersRequest(consistency_token=token), timeout=WITHIN))
        assert (refused.reason, refused.metadata) == ("LOG_MISMATCH", {"view": "order_list"})
        sales = await orders.GetSalesDaily(pb.GetSalesDailyRequest(), timeout=WITHIN)
        assert not sales.freshness.log_mismatch

        health: Any = health_pb2_grpc.HealthStub(channel)
        for service, status in (
            ("orders.v1.OrderQueryService", health_pb2.HealthCheckResponse.NOT_SERVING),
            ("products.v1.ProductQueryService", health_pb2.HealthCheckResponse.SERVING),
        ):
            check = partial(health.Check, health_pb2.HealthCheckRequest(service=service), timeout=5)
            assert (await eventually(check, partial(is_status, status))).status == status
