"""The same figures as work grows: events in the log, events of one aggregate, views, watches; memory.

One stack grows through all sizes of the log. At each size, some of the figures of the other parts are measured again.
"""

import asyncio
import itertools
import time
from datetime import timedelta
from typing import Any

import grpc
from pymongo import AsyncMongoClient
from uuid_utils import uuid7

from bench.appending import append_all, request
from bench.commands import register_product
from bench.history import EVENTS_OF_AN_ORDER, NOON, write_orders
from bench.lag import DEADLINE, opened
from bench.measuring import Result, Size, latencies, percentile
from bench.processes import Meter, memory_mib
from bench.projections import catch_up, drain
from bench.queries import get_order, list_orders
from bench.running import fresh_stack, pids
from client.local.stack import Stack
from client.sdk import OrderstreamClient
from core.domain.stock.events import StockReceived
from core.eventstore import codec
from core.eventstore.connection import connect
from core.readmodel.views.customer_orders import customer_orders
from core.readmodel.views.order_detail import order_detail
from core.readmodel.views.order_list import order_list
from core.readmodel.views.sales_daily import sales_daily
from protos.common.v1.types_pb2 import Money
from protos.orders.v1.queries_pb2_grpc import OrderQueryServiceStub

VIEW_COUNTS = (1, 4, 16)
WATCHES = (1, 10, 100)
CHANGES = 20  # of the watched order
ORDER_VIEWS = (order_list, order_detail, customer_orders, sales_daily)
IN_ONE_APPEND = 100  # events, where a long stream is written
LONG_STREAMS = (10, 1_000, 100_000)
TIMES = 30  # of each latency
DATABASE = "orderstream"  # where the services look


async def run(size: Size) -> Result:
    async with fresh_stack() as running:
        await running.members["projections"].stop()  # the two views that are measured are run here
        by_log = [await at_size(running, events, before) for before, events in itertools.pairwise((0, *size.events))]
        most = size.events[-1] // 10
        by_stream = [await with_a_long_stream(running, events) for events in LONG_STREAMS if events <= most]
    by_views = await with_views(min(2_000, size.events[0] // EVENTS_OF_AN_ORDER))
    by_watches = await with_watches()
    return Result(
        [],
        {
            "by_events_in_the_log": by_log,
            "by_events_of_an_aggregate": by_stream,
            "by_views": by_views,
            "by_watches": by_watches,
        },
    )


async def at_size(running: Stack, events: int, before: int) -> dict[str, Any]:
    """Grow the log to so many events, let two views catch up, and ask."""
    members = running.members
    uri = members["eventstore"].ready["uri"]
    more = events - before
    began = time.perf_counter()
    history = await write_orders(uri, more // EVENTS_OF_AN_ORDER, in_one_append=EVENTS_OF_AN_ORDER)
    wrote = more / (time.perf_counter() - began)
    client = await connect(uri)
    try:
        async with AsyncMongoClient[dict[str, Any]](members["mongo"].ready["uri"]) as mongo:
            began = time.perf_counter()
            await catch_up([order_list, order_detail], client, mongo[DATABASE], history)
            caught_up = more / (time.perf_counter() - began)
        began = time.perf_counter()
        await drain(client, history)
        drained = events / (time.perf_counter() - began)
    finally:
        await client.close()
    async with (
        grpc.aio.insecure_channel(members["commands"].ready["address"]) as commands,
        grpc.aio.insecure_channel(members["queries"].ready["address"]) as queries,
    ):
        service: Any = OrderQueryServiceStub(queries)
        asked = {
            "command": register_product(commands),
            "get_order": get_order(service, history),
            "list_orders": list_orders(service),
        }
        p50 = {name: await _p50_ms(operation) for name, operation in asked.items()}
    memory = {name: memory_mib(members[name].pid) for name in ("eventstore", "mongo", "commands", "queries")}
    await members["eventstore"].stop()
    began = time.perf_counter()
    await members["eventstore"].start()
    return {
        "events": events,
        "appended_per_second": round(wrote),
        "caught_up_per_second": round(caught_up),
        "drained_per_second": round(drained),
        "p50_ms": p50,
        "memory_mib": memory,
        "start_seconds": round(time.perf_counter() - began, 2),
    }


async def _p50_ms(operation: Any) -> float:
    await operation()  # the first learns what the others know
    return round(percentile(await latencies(operation, TIMES), 0.5) * 1000, 2)


async def with_a_long_stream(running: Stack, events: int) -> dict[str, Any]:
    """A command to an aggregate of so many events: first seen, remembered, and by a service that was just started."""
    sku = str(uuid7())
    requests = []
    for first in range(0, events, IN_ONE_APPEND):
        new = [
            codec.encode(StockReceived(sku=sku, quantity=1, at=NOON + timedelta(seconds=number)))
            for number in range(first, min(events, first + IN_ONE_APPEND))
        ]
        requests.append(request(f"stock-{sku}", first - 1, new))
    await append_all(running.eventstore_uri, requests)
    async with OrderstreamClient(running.addresses, deadline=60.0) as shop:
        for one in (sku, other := str(uuid7())):
            price = Money(amount_minor=350, currency="EUR")
            await shop.products.RegisterProduct(sku=one, name="Tea", price=price)
    taken = {}
    for name in ("first_ms", "remembered_ms", "after_a_restart_ms"):
        if name == "after_a_restart_ms":
            await running.members["commands"].stop()
            await running.members["commands"].start()
        async with OrderstreamClient(running.addresses, deadline=60.0) as shop:
            await shop.products.ReceiveStock(sku=other, quantity=1)  # the first call of a service costs more
            began = time.perf_counter()
            await shop.products.ReceiveStock(sku=sku, quantity=1)
            taken[name] = round((time.perf_counter() - began) * 1000, 1)
    return {"events": events, **taken}


async def with_views(orders: int) -> list[dict[str, Any]]:
    """The views of orders over the same events at once; more than there are begin again in another database."""
    found = []
    async with fresh_stack() as running:
        for name in ("projections", "queries", "commands"):
            await running.members[name].stop()
        uri = running.eventstore_uri
        history = await write_orders(uri, orders)
        client = await connect(uri)
        meter_pids = pids(running, "eventstore", "mongo")
        async with AsyncMongoClient[dict[str, Any]](running.members["mongo"].ready["uri"]) as mongo:
            for count in VIEW_COUNTS:
                meter = Meter(meter_pids)
                meter.start()
                began = time.perf_counter()
                async with asyncio.TaskGroup() as group:
                    for number in range(-(-count // len(ORDER_VIEWS))):
                        views, database = ORDER_VIEWS[:count], mongo[f"bench_{count}_{number}"]
                        group.create_task(catch_up(views, client, database, history))
                seconds = time.perf_counter() - began
                meter.stop(history.events * count)
                found.append(
                    {
                        "views": count,
                        "events_per_second": round(history.events / seconds),
                        "events_per_second_and_view": round(history.events * count / seconds),
                        "cpu_us_per_event_and_view": meter.per_operation(),
                    }
                )
        await client.close()
    return found


async def with_watches() -> list[dict[str, Any]]:
    """So many watch one order while it changes: when the last of them has seen a change, after it was acknowledged."""
    found = []
    async with fresh_stack() as running:
        shop = await opened(running.addresses)
        await shop.create_and_see()
        await shop.close()
        meter_pids = pids(running, "queries", "eventstore")
        async with OrderstreamClient(running.addresses, deadline=DEADLINE) as client:
            for count in WATCHES:
                watches = [Watch(client, shop.order_id) for _ in range(count)]
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(watch.run()) for watch in watches]
                    await asyncio.gather(*(watch.begun.wait() for watch in watches))
                    meter, lags = Meter(meter_pids), []
                    meter.start()
                    for number in range(CHANGES):
                        await client.orders.AddNote(order_id=shop.order_id, note_id=f"{count}-{number}", text="seen?")
                        acknowledged = time.perf_counter()
                        await asyncio.gather(*(watch.seen.acquire() for watch in watches))
                        lags.append(time.perf_counter() - acknowledged)
                    meter.stop(CHANGES * count)
                    for task in tasks:
                        task.cancel()
                found.append(
                    {
                        "watches": count,
                        "last_seen_p50_ms": round(percentile(lags, 0.5) * 1000, 2),
                        "cpu_us_per_change_and_watch": meter.per_operation(),
                        "memory_mib_queries": memory_mib(running.members["queries"].pid),
                    }
                )
    return found


class Watch:
    """One watch of an order: `seen` is released for every change."""

    def __init__(self, client: OrderstreamClient, order_id: str) -> None:
        self._client = client
        self._order_id = order_id
        self.begun = asyncio.Event()
        self.seen = asyncio.Semaphore(0)

    async def run(self) -> None:
        async for message in self._client.orders.WatchOrder(order_id=self._order_id):
            self.begun.set()
            if message.HasField("change"):
                self.seen.release()
