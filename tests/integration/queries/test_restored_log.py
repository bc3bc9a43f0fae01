"""A log that was restored from an older copy while orders are watched: no watch goes on as if nothing had happened."""

import asyncio
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from embedded.stack import embedded_eventstore
from protos.orders.v1 import queries_pb2 as pb
from server.eventstore.connection import connect
from server.eventstore.log import EventLog
from server.failures import StoreUnavailable
from server.queries import fresh_views
from server.queries.views import Views
from server.queries.watching.hub import Hub, Limits
from server.queries.watching.orders import Watching
from server.readmodel.finders import Finders
from server.readmodel.state import ViewState
from tests.support.calling import fresh_id
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
    async with node(copy) as writer:  # it grows beyond what will be told, with an event wherever there will be one
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
        log, state = EventLog(writer), ViewState(mongo[database])
        checkpoint = await state.take_over("order_list", 1)
        elsewhere = replace(checkpoint, position=2**40, marked=2**40, mark=fresh_id(), astray=True)
        await state.advance(elsewhere)
        await append(writer, order := new_order())
        hub = Hub(log, LIMITS)
        watching = Watching(Views(Finders(state), fresh_views(mongo[database], log)), log, hub)
        messages = aclosing(watching.orders(pb.WatchOrdersRequest(), Caller()))
        async with hub.open(), asyncio.timeout(WITHIN), messages as told:
            changes = (message.change async for message in told if message.WhichOneof("message") == "change")
            assert (await anext(changes)).order.order_id == order[0].order_id
        await mongo.drop_database(database)
