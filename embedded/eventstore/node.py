"""The node: one gRPC server over one log."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from embedded.eventstore.batches import Batches
from embedded.eventstore.calls import Calls, Routes
from embedded.eventstore.following import Feed
from embedded.eventstore.info import Member, advertised, supported_methods
from embedded.eventstore.log import Log, WriterMaker
from embedded.eventstore.messages import persistent_pb2, projections_pb2, shared_pb2, streams_pb2
from embedded.eventstore.operations import Operations
from embedded.eventstore.persistent.service import PersistentSubscriptions
from embedded.eventstore.position_audit import audited
from embedded.eventstore.projections.service import Projections
from embedded.eventstore.reading import Reading
from embedded.eventstore.writer import Writer
from embedded.eventstore.writing import Writing

REFUSED_UNREAD = 64 * 1024 * 1024  # bytes of a message; one that is smaller, and too large, is refused by `Calls`
OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", REFUSED_UNREAD),
    ("grpc.max_concurrent_streams", 100),  # of one connection, as a real server has it; further calls wait
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)
STOP_GRACE = 0.5  # seconds
ANSWERS_WITHIN = 0.25  # seconds, of what is on its way when the node stops; then calls that would go on are ended


@asynccontextmanager
async def node(
    directory: Path | None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    advertise: str = "",
    system_projections: bool = False,
    like_24_10: bool = False,
    synchronous: str = "FULL",
    writer: WriterMaker = Writer,
) -> AsyncIterator[str]:
    """Serve the log in `directory` (None: one that goes with the node); yields the bound `host:port`.

    `advertise` is the host it names in gossip; without it the one it listens on, or `localhost`. `system_projections`
    starts the five that make links. `like_24_10` shows a fault of real servers up to that version: a persistent
    subscription on `$all` with a filter forgets events that wait for a consumer when it starts again.

    Raises `LogError` for an unusable directory and `RuntimeError` for a taken port. When left, open calls are ended,
    what was accepted is written, and the directory is free again.
    """
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        opened = Log(
            directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orderstream-"))),
            synchronous=synchronous if directory else "OFF",
            deliver=loop.call_soon_threadsafe,
            writer=writer,
        )
        feed = Feed(opened)
        try:
            server = grpc.aio.server(options=OPTIONS)
            bound = server.add_insecure_port(f"{host}:{port}")
            persistent = PersistentSubscriptions(opened, feed, like_24_10=like_24_10)
            projections = Projections(opened, start_system=system_projections)
            member = Member(advertise or advertised(host), bound)
            calls = Calls()
            services = audited(_services(calls, opened, feed, persistent, projections, member=member), stack)
            server.add_generic_rpc_handlers((Routes(services),))
            await server.start()
            try:
                yield f"{host}:{bound}"
            finally:
                calls.refuse()
                await projections.close()
                await persistent.close()  # its consumers are told before the connections go
                stopping = asyncio.create_task(server.stop(STOP_GRACE))
                await asyncio.wait([stopping], timeout=ANSWERS_WITHIN)
                calls.end()
                await stopping
        finally:
            feed.close()
            await asyncio.to_thread(opened.close)


def _services(
    calls: Calls,
    opened: Log,
    feed: Feed,
    persistent: PersistentSubscriptions,
    projections: Projections,
    *,
    member: Member,
) -> dict[str, dict[str, Any]]:
    writing, reading, batches = Writing(opened), Reading(opened, feed), Batches(opened)

    async def read_gossip(_request: object, _context: object) -> Any:
        return member.cluster_info()

    async def get_supported_methods(_request: object, _context: object) -> bytes:
        return supported_methods()

    operations = Operations(opened, persistent)
    one, many = calls.one_to_one, calls.one_to_many
    s, p, j = streams_pb2, persistent_pb2, projections_pb2
    services: dict[str, dict[str, Any]] = {
        "event_store.client.streams.Streams": {
            "Read": many(reading.read, s.ReadReq),
            "Append": calls.many_to_one(writing.append, s.AppendReq),
            "BatchAppend": calls.many_to_many(batches.append, s.BatchAppendReq),
            "Delete": one(writing.delete, s.DeleteReq),
            "Tombstone": one(writing.tombstone, s.TombstoneReq),
        },
        "event_store.client.persistent_subscriptions.PersistentSubscriptions": {
            "Create": one(persistent.create, p.CreateReq),
            "Update": one(persistent.update, p.UpdateReq),
            "Delete": one(persistent.delete, p.DeleteReq),
            "Read": calls.many_to_many(persistent.read, p.ReadReq),
            "GetInfo": one(persistent.get_info, p.GetInfoReq),
            "ReplayParked": one(persistent.replay_parked, p.ReplayParkedReq),
            "List": one(persistent.list, p.ListReq),
            "RestartSubsystem": one(persistent.restart, shared_pb2.Empty),
        },
        "event_store.client.projections.Projections": {
            "Create": one(projections.create, j.CreateReq),
            "Update": one(projections.update, j.UpdateReq),
            "Delete": one(projections.delete, j.DeleteReq),
            "Statistics": many(projections.statistics, j.StatisticsReq),
            "Disable": one(projections.disable, j.DisableReq),
            "Enable": one(projections.enable, j.EnableReq),
            "Reset": one(projections.reset, j.ResetReq),
            "State": one(projections.state, j.StateReq),
            "Result": one(projections.result, j.ResultReq),
            "RestartSubsystem": one(projections.restart, shared_pb2.Empty),
        },
        "event_store.client.operations.Operations": {
            name: one(handler) for name, handler in operations.handlers().items()
        },
        "event_store.client.monitoring.Monitoring": {"Stats": many(operations.stats)},
        "event_store.client.gossip.Gossip": {"Read": one(read_gossip, shared_pb2.Empty)},
        "event_store.client.server_features.ServerFeatures": {
            "GetSupportedMethods": one(get_supported_methods, shared_pb2.Empty),
        },
    }
    return services
