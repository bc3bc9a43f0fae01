"""The cost of a command, an event and a query, in a plain implementation and in ours, in the same run.

All three run in this process, without a service, so that only their own work is counted. The plain
command appends with its own call; the plain view writes one document an event; the plain query reads its document
alone. The distribution of time is that of cProfile in the thread of the event loop, without waiting.
"""

import cProfile
import pstats
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from esdbclient import NewEvent, StreamState
from pymongo import AsyncMongoClient
from uuid_utils import uuid7

from bench.history import History, write_orders
from bench.measuring import Operation, Result, Size, interleaved, rate
from bench.peer import AT_ONCE, handled
from bench.processes import Meter
from bench.projections import Database, catch_up, write_every_event
from bench.queries import AT_ONCE as QUERIES_AT_ONCE
from bench.queries import some_of
from bench.running import caught_up, fresh_stack, pids
from client.local.stack import Stack
from core.eventstore.connection import connect
from core.eventstore.log import EventLog
from core.eventstore.store import EventStore
from core.readmodel.checkpoints import CheckpointStore, collection_name
from core.readmodel.finders import Finders
from core.readmodel.generations import FIRST_GENERATION
from core.readmodel.views.order_list import order_list
from server.queries import mapping

WAITS = ("poll", "select", "sleep", "acquire")  # built-in, where the loop waits for something to do
KINDS: Mapping[str, str] = {  # the first that is in the path of a file
    "core/domain": "the domain",
    "server/": "our server",
    "projections/": "our projections",
    "bench/": "the bench",
    "esdbclient": "esdbclient",
    "grpc": "grpc",
    "google/protobuf": "protobuf",
    "pymongo": "pymongo",
    "bson": "pymongo",
    "asyncio": "asyncio",
}
ELSE = "the rest"


class PlainStore(EventStore):
    """Appends as esdbclient does it: a call for each, in whatever session."""

    async def append(
        self,
        stream: str,
        expected: int,
        events: Sequence[NewEvent],
        *,
        session: int | None = None,  # noqa: ARG002  # the log of a measurement is never replaced
    ) -> int:
        current_version = StreamState.NO_STREAM if expected < 0 else expected
        return await self._client.append_to_stream(stream, current_version=current_version, events=events)


async def run(size: Size) -> Result:
    async with fresh_stack() as running:
        return await measure(running, size)


async def measure(running: Stack, size: Size) -> Result:
    uri = running.eventstore_uri
    history = await write_orders(uri, max(40, min(2_000, size.operations)))
    await caught_up(running, history.head)
    for name in ("projections", "queries", "commands"):
        await running.members[name].stop()
    client = await connect(uri)
    stores = {"plain": PlainStore(EventLog(client)), "ours": EventStore(EventLog(client))}
    meters = {
        path: {side: Meter(pids(running, "eventstore", "mongo")) for side in stores}
        for path in ("command", "event", "query")
    }
    async with AsyncMongoClient[dict[str, Any]](running.members["mongo"].ready["uri"]) as mongo:
        views = mongo["orderstream"]
        few = min(history.events, size.operations)
        work: dict[str, dict[str, tuple[int, Callable[[], Awaitable[object]]]]] = {
            "command": {
                side: (size.operations, _at_once(handled(store), size.operations, AT_ONCE))
                for side, store in stores.items()
            },
            "event": {
                "plain": (few, _on(mongo, lambda database: write_every_event(client, database, few))),
                "ours": (
                    history.events,
                    _on(mongo, lambda database: catch_up([order_list], client, database, history)),
                ),
            },
            "query": {
                "plain": (size.operations, _at_once(_read_alone(views, history), size.operations, QUERIES_AT_ONCE)),
                "ours": (size.operations, _at_once(_read(views, history), size.operations, QUERIES_AT_ONCE)),
            },
        }
        for path, sides in work.items():
            await interleaved(
                {side: _metered(meters[path][side], *what) for side, what in sides.items()},
                size.rounds,
            )
        shares = {path: await _profiled(sides["ours"][1]) for path, sides in work.items()}
    for store in stores.values():
        await store.close()
    await client.close()
    return Result(
        [],
        {
            "cpu_us": {
                path: {side: meter.per_operation() for side, meter in sides.items()} for path, sides in meters.items()
            },
            "shares": shares,
        },
    )


def _metered(meter: Meter, times: int, work: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[float]]:
    async def side() -> float:
        meter.start()
        await work()
        meter.stop(times)
        return 0.0

    return side


def _at_once(operation: Operation, times: int, at_once: int) -> Callable[[], Awaitable[object]]:
    return lambda: rate(operation, times, at_once)


def _on(
    mongo: AsyncMongoClient[dict[str, Any]], work: Callable[[Database], Awaitable[object]]
) -> Callable[[], Awaitable[object]]:
    """It gets a database of its own each time."""

    async def fresh() -> None:
        database = mongo[f"bench_{uuid7().hex}"]
        await work(database)
        await mongo.drop_database(database)

    return fresh


def _read(database: Database, history: History) -> Operation:
    finders, ids = Finders(CheckpointStore(database)), some_of(history)

    async def ask() -> None:
        found = await finders.one("order_detail", FIRST_GENERATION, next(ids))
        assert found is not None
        mapping.order(found).SerializeToString()

    return ask


def _read_alone(database: Database, history: History) -> Operation:
    documents, ids = database[collection_name("order_detail", FIRST_GENERATION)], some_of(history)

    async def ask() -> None:
        found = await documents.find_one({"_id": next(ids)})
        assert found is not None
        mapping.order(found).SerializeToString()

    return ask


async def _profiled(work: Callable[[], Awaitable[object]]) -> dict[str, float]:
    """The share of each kind of code in what this thread did, the largest first; they add up to 1."""
    profile = cProfile.Profile()
    profile.enable()
    try:
        await work()
    finally:
        profile.disable()
    times: Counter[str] = Counter()
    for (file, _, function), (_, _, own, _, callers) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]  # it has no type
        if file != "~":
            times[_kind(file)] += own
        elif not any(wait in function for wait in WAITS):  # built-in: its callers say where it belongs
            for (caller, _, _), (_, _, spent, _) in callers.items():
                times[_kind(caller)] += spent
    total = sum(times.values()) or 1.0
    return {kind: round(spent / total, 3) for kind, spent in times.most_common()}


def _kind(file: str) -> str:
    path = file.removeprefix(str(Path.cwd())).replace("\\", "/")
    if "site-packages" in path:
        path = path.rpartition("site-packages")[2]
    return next((kind for part, kind in KINDS.items() if part in path), ELSE)
