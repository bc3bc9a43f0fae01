"""A rebuild from zero: its speed against draining the log (G5), and its effect on readers (G6).

G5 fills a new generation of order_list beside the live one, as the projection process does it, without readers. G6
measures the complete rebuild, by the operators' service: an open load of queries, idle and then while rebuild follows
rebuild; every answer must be complete, and the new generation the same as the old one, byte for byte.
"""

import asyncio
import time
from contextlib import suppress
from typing import Any

import grpc
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient
from uuid_utils import uuid7

from bench.history import EVENTS_OF_AN_ORDER, History, write_orders
from bench.measuring import (
    Result,
    Size,
    at_least,
    at_most,
    interleaved,
    latency_summary,
    median,
    open_loop,
    percentile,
    rate,
    ratios,
    schedule,
)
from bench.processes import Meter
from bench.projections import Database, catch_up, drain
from bench.queries import AT_ONCE, get_order
from bench.running import caught_up, fresh_stack, pids
from client.local.stack import Stack
from client.sdk import OrderstreamClient
from core.eventstore.connection import Client, connect
from core.readmodel.checkpoints import collection_name
from core.readmodel.views.order_list import order_list
from projections.engine.throttle import ReaderAwareThrottle
from protos.operations.v1 import projections_pb2 as pb
from protos.orders.v1.queries_pb2_grpc import OrderQueryServiceStub

LOAD = 0.2  # share of the top rate of queries that is asked for
VIEW = "order_list"


async def run(size: Size) -> Result:
    async with fresh_stack() as running:
        return await measure(running, size)


async def measure(running: Stack, size: Size) -> Result:
    members = running.members
    history = await write_orders(members["eventstore"].ready["uri"], max(40, 2 * size.operations))
    await caught_up(running, history.head)
    client = await connect(members["eventstore"].ready["uri"])
    async with AsyncMongoClient[dict[str, Any]](members["mongo"].ready["uri"]) as mongo:
        meter = Meter(pids(running, "eventstore", "mongo"))
        rates = await interleaved(
            {
                "fill": lambda: _fill(client, mongo, history, meter),
                "drain": lambda: _drained(client, history),
            },
            size.rounds,
        )
        async with (
            OrderstreamClient(running.addresses, deadline=60.0) as shop,
            grpc.aio.insecure_channel(members["queries"].ready["address"]) as channel,
        ):
            ask = get_order(OrderQueryServiceStub(channel), history)
            load = schedule(LOAD * await rate(ask, size.operations, AT_ONCE), size.seconds)
            alone = [await _rebuilt(shop) for _ in range(2)]
            slower, later, speeds, during = [], [], [], []
            for _ in range(size.rounds):
                idle = await open_loop(ask, load)
                rebuilding = asyncio.create_task(_rebuild_on_and_on(shop))
                seen = await open_loop(ask, load)
                rebuilding.cancel()
                speeds += await rebuilding
                slower.append(percentile(seen, 0.99) / percentile(idle, 0.99))
                later.append((percentile(seen, 0.99) - percentile(idle, 0.99)) * 1_000)
                during += seen
            same = await _same_bytes(shop, mongo["orderstream"])
    await client.close()
    assert same, "the new generation differs from the old one"
    alone_rate = max(alone)
    return Result(
        [
            at_least("G5", "rebuild from zero over draining the log", ratios(rates["fill"], rates["drain"]), 0.70),
            at_most("G6", "query p99 while rebuilding over idle", slower, 3.0),
            at_most("G6", "ms that a rebuild adds to a query's p99", later, 15.0),
            at_least("G6", "speed of a rebuild while read over alone", [x / alone_rate for x in speeds], 0.25),
        ],
        {
            "events": history.events,
            "fold_factor": EVENTS_OF_AN_ORDER,
            "events_per_second": {name: median(values) for name, values in rates.items()},
            "whole_rebuild_events_per_second": {"alone": round(alone_rate), "while_read": median(speeds)},
            "queries_per_second": round(len(load) / size.seconds),
            "query_while_rebuilding": latency_summary(during),
            "same_byte_for_byte": same,
            "failed_or_empty_reads": 0,  # the first would have ended the run
            "cpu_us_per_event": meter.per_operation(),
        },
    )


async def _fill(client: Client, mongo: AsyncMongoClient[dict[str, Any]], history: History, meter: Meter) -> float:
    database = mongo[f"bench_{uuid7().hex}"]
    pace = ReaderAwareThrottle(lambda: database["pace"].find_one({}))
    meter.start()
    began = time.perf_counter()
    await catch_up([order_list], client, database, history, pace=pace)
    seconds = time.perf_counter() - began
    meter.stop(history.events)
    await mongo.drop_database(database)
    return history.events / seconds


async def _drained(client: Client, history: History) -> float:
    began = time.perf_counter()
    await drain(client, history)
    return history.events / (time.perf_counter() - began)


async def _rebuilt(shop: OrderstreamClient) -> float:
    """Events a second of one complete rebuild: filled, verified, switched to."""
    change = pb.ProjectionChange(view=VIEW, rebuild=pb.Rebuild())
    plan = await shop.operations.PlanProjection(change=change)
    began = time.perf_counter()
    async for message in shop.operations.RebuildProjection(plan_id=plan.plan_id, change=change, reason="the bench"):
        if message.HasField("result"):
            assert message.result.switched, message.result
            return float(message.result.events / (time.perf_counter() - began))
    raise AssertionError("a rebuild ends with its result")


async def _rebuild_on_and_on(shop: OrderstreamClient) -> list[float]:
    """Rebuild repeatedly; when stopped, it finishes the current one."""
    speeds = []
    one: asyncio.Task[float] | None = None
    with suppress(asyncio.CancelledError):
        while True:
            one = asyncio.create_task(_rebuilt(shop))
            speeds.append(await asyncio.shield(one))
            one = None
    if one is not None:
        speeds.append(await one)
    return speeds


async def _same_bytes(shop: OrderstreamClient, database: Database) -> bool:
    """Whether the live generation and the one before it hold the same documents."""
    view = (await shop.operations.GetProjection(view=VIEW)).projection
    raw = []
    for generation in (view.generation, view.kept_generation):
        documents: Any = database.get_collection(
            collection_name(VIEW, generation), codec_options=CodecOptions(document_class=RawBSONDocument)
        )
        raw.append(sorted([bytes(document.raw) async for document in documents.find({})]))
    return raw[0] == raw[1] and bool(raw[0])
