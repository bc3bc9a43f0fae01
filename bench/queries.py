"""Queries against their unavoidable parts: one empty call, and the bare read of MongoDB. G7.

`GetOrder` against 1 / (1/echo + 1/find_one), the rate of doing the two one after the other; a list of 50 orders against
`find().sort().limit(50)` of the same rows by the same index. The views are filled and live.
"""

import itertools
import random
from typing import Any

import grpc
from pymongo import AsyncMongoClient

from bench.echo import PATH, echoing
from bench.history import History, write_orders
from bench.measuring import (
    Operation,
    Result,
    Size,
    at_least,
    interleaved,
    latencies,
    latency_summary,
    median,
    open_loop,
    percentile,
    rate,
    ratios,
    schedule,
)
from bench.processes import Meter
from bench.running import caught_up, fresh_stack, pids
from client.local.stack import Stack
from core.readmodel.checkpoints import collection_name
from core.readmodel.generations import FIRST_GENERATION
from protos.orders.v1.queries_pb2 import GetOrderRequest, GetOrderResponse, ListOrdersRequest
from protos.orders.v1.queries_pb2_grpc import OrderQueryServiceStub

AT_ONCE = 16
PAGE = 50
ORDERS = 2_000
DEADLINE = 30.0  # seconds


async def run(size: Size) -> Result:
    async with fresh_stack() as running:
        return await measure(running, size)


async def measure(running: Stack, size: Size) -> Result:
    members = running.members
    history = await write_orders(members["eventstore"].ready["uri"], min(ORDERS, 2 * size.operations))
    await caught_up(running, history.head)
    async with (
        AsyncMongoClient[dict[str, Any]](members["mongo"].ready["uri"]) as mongo,
        grpc.aio.insecure_channel(members["queries"].ready["address"]) as channel,
    ):
        service: Any = OrderQueryServiceStub(channel)
        reply = await service.GetOrder(GetOrderRequest(order_id=history.order_ids[0]), timeout=DEADLINE)
        with echoing(reply) as address:
            async with grpc.aio.insecure_channel(address) as echo_channel:
                sides = {
                    "get_order": get_order(service, history),
                    "echo": echo(echo_channel, history),
                    "find_one": find_one(mongo["orderstream"], history),
                    "list_orders": list_orders(service),
                    "find_50": find_page(mongo["orderstream"]),
                }
                times = {**dict.fromkeys(sides, size.operations), **_lists(size)}
                meters = {name: Meter(pids(running, "queries", "mongo")) for name in sides}

                async def throughput(name: str) -> float:
                    meters[name].start()
                    done = await rate(sides[name], times[name], AT_ONCE)
                    meters[name].stop(times[name])
                    return done

                rates = await interleaved(
                    {name: lambda name=name: throughput(name) for name in sides},  # type: ignore[misc]  # bound per side
                    size.rounds,
                )
                alone = {name: await latencies(side, max(10, times[name] // 8)) for name, side in sides.items()}
        half = median(rates["get_order"]) / 2
        open_load = latency_summary(await open_loop(sides["get_order"], schedule(half, size.seconds)))
    both = [1 / (1 / e + 1 / f) for e, f in zip(rates["echo"], rates["find_one"], strict=True)]
    return Result(
        [
            at_least("G7", "GetOrder/s over 1/(1/echo + 1/find_one)", ratios(rates["get_order"], both), 0.90),
            at_least(
                "G7", "list of 50 over plain find().limit(50)", ratios(rates["list_orders"], rates["find_50"]), 3.0
            ),
        ],
        {
            "orders": len(history.order_ids),
            "at_once": AT_ONCE,
            "per_second": {name: median(values) for name, values in rates.items()},
            "p50_ms_alone": {name: round(percentile(values, 0.5) * 1000, 3) for name, values in alone.items()},
            "open_load_get_order": {"per_second": round(half), **open_load},
            "cpu_us_per_query": {name: meter.per_operation() for name, meter in meters.items()},
        },
    )


def _lists(size: Size) -> dict[str, int]:
    return dict.fromkeys(("list_orders", "find_50"), max(10, size.operations // 20))


def some_of(history: History) -> Any:
    """Order ids in no order, the same for every side."""
    ids = list(history.order_ids)
    random.Random(1).shuffle(ids)
    return itertools.cycle(ids)


def get_order(service: Any, history: History) -> Operation:
    ids = some_of(history)

    async def ask() -> None:
        await service.GetOrder(GetOrderRequest(order_id=next(ids)), timeout=DEADLINE)

    return ask


def echo(channel: grpc.aio.Channel, history: History) -> Operation:
    ids = some_of(history)
    call: Any = channel.unary_unary(
        PATH, request_serializer=GetOrderRequest.SerializeToString, response_deserializer=GetOrderResponse.FromString
    )

    async def ask() -> None:
        await call(GetOrderRequest(order_id=next(ids)), timeout=DEADLINE)

    return ask


def find_one(database: Any, history: History) -> Operation:
    ids, documents = some_of(history), database[collection_name("order_detail", FIRST_GENERATION)]

    async def ask() -> None:
        assert await documents.find_one({"_id": next(ids)}) is not None

    return ask


def list_orders(service: Any) -> Operation:
    async def ask() -> None:
        await service.ListOrders(ListOrdersRequest(page_size=PAGE), timeout=DEADLINE)

    return ask


def find_page(database: Any) -> Operation:
    rows = database[collection_name("order_list", FIRST_GENERATION)]

    async def ask() -> None:
        await rows.find().sort([("created_at", -1), ("_id", -1)]).limit(PAGE).to_list()

    return ask
