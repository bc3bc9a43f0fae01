"""A view that catches up, against only draining its subscription, and against one write per event. G4.

All three read the same log through the same filter, in this process; the stores are processes of their own. The view is
order_list: three indexes kept live, its checkpoint written after every batch.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from esdbclient import RecordedEvent
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from uuid_utils import uuid7

from bench.history import EVENTS_OF_AN_ORDER, History, write_orders
from bench.measuring import Result, Size, at_least, interleaved, median, ratios
from bench.processes import Meter
from bench.running import fresh_stack, pids
from client.local.stack import Stack
from core.eventstore import codec
from core.eventstore.connection import Client, connect
from core.readmodel.checkpoints import CheckpointStore
from core.readmodel.view import View
from core.readmodel.views import VIEWS
from core.readmodel.views.order_list import order_list
from projections.config import Settings
from projections.engine.applier import BatchApplier
from projections.engine.host import Host
from projections.engine.parked_events import ParkedEvents
from projections.engine.runner import Runner
from projections.engine.throttle import ReaderAwareThrottle
from projections.stores import Stores

LOOK_EVERY = 0.005  # seconds
Database = AsyncDatabase[dict[str, Any]]


async def run(size: Size) -> Result:
    async with fresh_stack() as running:
        for name in ("projections", "queries", "commands"):
            await running.members[name].stop()
        return await measure(running, size)


async def measure(running: Stack, size: Size) -> Result:
    uri = running.eventstore_uri
    history = await write_orders(uri, max(40, 2 * size.operations))
    client = await connect(uri)
    meters = {
        name: Meter(pids(running, "eventstore", "mongo")) for name in ("catch_up", "drain", "apply", "every_event")
    }
    events: list[RecordedEvent] = []
    await drain(client, history, events)
    async with AsyncMongoClient[dict[str, Any]](running.members["mongo"].ready["uri"]) as mongo:

        async def metered(name: str, events: int, work: Any) -> float:
            """Events a second."""
            database = mongo[f"bench_{uuid7().hex}"]
            meters[name].start()
            began = time.perf_counter()
            await work(client, database)
            seconds = time.perf_counter() - began
            meters[name].stop(events)
            await mongo.drop_database(database)
            return events / seconds

        fewer = max(EVENTS_OF_AN_ORDER, history.events // 10)
        rates = await interleaved(
            {
                "catch_up": lambda: metered(
                    "catch_up", history.events, lambda c, d: catch_up([order_list], c, d, history)
                ),
                "drain": lambda: metered("drain", history.events, lambda c, _: drain(c, history)),
                "apply": lambda: metered("apply", history.events, lambda _, d: apply(events, d)),
                "every_event": lambda: metered("every_event", fewer, lambda c, d: write_every_event(c, d, fewer)),
            },
            size.rounds,
        )
        all_views = Meter(pids(running, "eventstore", "mongo"))
        meters["all_views"] = all_views
        meters["drain_once"] = Meter(pids(running, "eventstore", "mongo"))
        of_all = await interleaved(
            {
                "all_views": lambda: metered("all_views", history.events, lambda c, d: catch_up(VIEWS, c, d, history)),
                "drain": lambda: metered("drain_once", history.events, lambda c, _: drain(c, history)),
            },
            min(3, size.rounds),
        )
    await client.close()
    return Result(
        [
            at_least("G4", "catch-up over draining its subscription", ratios(rates["catch_up"], rates["drain"]), 0.90),
            at_least("G4", "catch-up over one write per event", ratios(rates["catch_up"], rates["every_event"]), 7.0),
            at_least("G4b", "catch-up of all views over draining", ratios(of_all["all_views"], of_all["drain"]), 0.4),
        ],
        {
            "events": history.events,
            "fold_factor": EVENTS_OF_AN_ORDER,
            "events_per_second": {name: median(values) for name, values in rates.items()},
            "events_per_second_all_views": median(of_all["all_views"]),
            "views": len(VIEWS),
            "cpu_us_per_event": {name: meter.per_operation() for name, meter in meters.items()},
        },
    )


async def catch_up(
    views: Sequence[View[Any]],
    client: Client,
    database: Database,
    history: History,
    pace: ReaderAwareThrottle | None = None,
) -> None:
    """As the projection process does it, until the last checkpoint is written; with a `pace` as in a rebuild."""
    host = Host(views, Stores.of(client, database), Settings())
    runners = [Runner(view, host, Settings(), throttle=pace) for view in views]
    async with host.running(), asyncio.TaskGroup() as group:
        for runner in runners:
            group.create_task(runner.run())
        while not all(_has_come_to(runner, history) for runner in runners):  # noqa: ASYNC110  # as an operator would
            await asyncio.sleep(LOOK_EVERY)
        for runner in runners:
            runner.stop()


def _has_come_to(runner: Runner, history: History) -> bool:
    return runner.checkpoint is not None and runner.checkpoint.position >= history.head


async def apply(events: Sequence[RecordedEvent], database: Database) -> None:
    """Decode, fold and write events that were read before, in batches as in catching up."""
    state = CheckpointStore(database)
    documents, parked_events = state.documents(order_list.name, 1), ParkedEvents(database, order_list.name, 1)
    for index in order_list.indexes:
        await documents.create_index(list(index))
    applier, most = BatchApplier(order_list, documents, parked_events), Settings().batch_size_catch_up
    for first in range(0, len(events), most):
        await applier.apply(events[first : first + most])


async def drain(client: Client, history: History, into: list[RecordedEvent] | None = None) -> None:
    """Take every event, and do nothing with it but keep it if that is wanted."""
    async with await _subscribed(client) as subscription:
        async for event in subscription:
            if into is not None:
                into.append(event)
            if (event.commit_position or 0) >= history.head:
                return


async def write_every_event(client: Client, database: Database, events: int) -> None:
    """The plain projector: fold, write the document, next event. It is given its documents from memory."""
    documents = database["order_list"]
    for index in order_list.indexes:
        await documents.create_index(list(index))
    bodies: dict[str, Any] = {}
    async with await _subscribed(client) as subscription:
        async for stored in subscription:
            event = codec.recorded(stored)
            handled = order_list.handler(event)
            if handled is not None:
                key, reduce = handled
                bodies[key] = reduce(bodies.get(key), event)
                await documents.replace_one({"_id": key}, {"_id": key, **bodies[key]}, upsert=True)
            events -= 1
            if not events:
                return


async def _subscribed(client: Client) -> Any:
    return await client.subscribe_to_all(filter_include=[order_list.stream_filter()], filter_by_stream_name=True)
