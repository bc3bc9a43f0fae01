"""A log with its services, and gRPC servers over them: one for a node, one for each member of a cluster."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from embedded.eventstore.batches import Batches
from embedded.eventstore.calls import Calls, Routes, Services, many_to_many, many_to_one, one_to_many, one_to_one
from embedded.eventstore.info import supported_methods
from embedded.eventstore.live_feed import LiveFeed
from embedded.eventstore.log import Log, WriterMaker
from embedded.eventstore.messages import persistent_pb2, projections_pb2, shared_pb2, streams_pb2
from embedded.eventstore.operations import Operations
from embedded.eventstore.persistent.service import PersistentSubscriptions
from embedded.eventstore.position_audit import audited
from embedded.eventstore.projections.service import Projections
from embedded.eventstore.reading import Reading
from embedded.eventstore.security.guard import Guard
from embedded.eventstore.security.settings import Security
from embedded.eventstore.security.user_service import UserService
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
USERS = "event_store.client.users.Users"
ANSWERS_WITHIN = 0.25  # seconds, of what is on its way when the node stops; then calls that would go on are ended


@asynccontextmanager
async def followed_log(
    directory: Path | None, *, synchronous: str = "FULL", writer: WriterMaker = Writer
) -> AsyncIterator[tuple[Log, LiveFeed]]:
    """The log in `directory` (None: one that is kept nowhere), and who follows it. Raises `LogError`."""
    with ExitStack() as stack:
        log = Log(
            directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orderstream-"))),
            synchronous=synchronous if directory else "OFF",
            deliver=asyncio.get_running_loop().call_soon_threadsafe,
            writer=writer,
        )
        feed = LiveFeed(log)
        try:
            yield log, feed
        finally:
            feed.close()
            await asyncio.to_thread(log.close)


async def guard_of(log: Log, security: Security | None) -> Guard | None:
    """The guard of a secure node, with the first users in the log. None for an open node."""
    if security is None:
        return None
    guard = Guard(log)
    await guard.users.create_default(security)
    return guard


class Store:
    """The services on a log. With `guard` there are users, and each batch of a BatchAppend is checked."""

    def __init__(
        self, log: Log, feed: LiveFeed, *, system_projections: bool, like_24_10: bool, guard: Guard | None = None
    ) -> None:
        self._log, self._feed = log, feed
        self._guard = guard
        self._user_service = None if guard is None else UserService(guard.users)
        self.persistent = PersistentSubscriptions(log, feed, like_24_10=like_24_10)
        self.projections = Projections(log, start_system=system_projections)

    async def close(self) -> None:
        if self._user_service is not None:
            await self._user_service.close()
        await self.projections.close()
        await self.persistent.close()

    def services(self, gossip: Callable[[], Any]) -> Services:
        """Their methods; `gossip` gives the answer of Gossip.Read."""
        writing, reading = Writing(self._log), Reading(self._log, self._feed)
        batches = Batches(self._log, None if self._guard is None else self._guard.may_append)
        operations = Operations(self._log, self.persistent)

        async def read_gossip(_request: object, _context: object) -> Any:
            return gossip()

        async def get_supported_methods(_request: object, _context: object) -> bytes:
            return supported_methods()

        s, p, j = streams_pb2, persistent_pb2, projections_pb2
        users = {} if self._user_service is None else {USERS: self._user_service.methods()}
        return users | {
            "event_store.client.streams.Streams": {
                "Read": one_to_many(reading.read, s.ReadReq),
                "Append": many_to_one(writing.append, s.AppendReq),
                "BatchAppend": many_to_many(batches.append, s.BatchAppendReq),
                "Delete": one_to_one(writing.delete, s.DeleteReq),
                "Tombstone": one_to_one(writing.tombstone, s.TombstoneReq),
            },
            "event_store.client.persistent_subscriptions.PersistentSubscriptions": {
                "Create": one_to_one(self.persistent.create, p.CreateReq),
                "Update": one_to_one(self.persistent.update, p.UpdateReq),
                "Delete": one_to_one(self.persistent.delete, p.DeleteReq),
                "Read": many_to_many(self.persistent.read, p.ReadReq),
                "GetInfo": one_to_one(self.persistent.get_info, p.GetInfoReq),
                "ReplayParked": one_to_one(self.persistent.replay_parked, p.ReplayParkedReq),
                "List": one_to_one(self.persistent.list, p.ListReq),
                "RestartSubsystem": one_to_one(self.persistent.restart, shared_pb2.Empty),
            },
            "event_store.client.projections.Projections": {
                "Create": one_to_one(self.projections.create, j.CreateReq),
                "Update": one_to_one(self.projections.update, j.UpdateReq),
                "Delete": one_to_one(self.projections.delete, j.DeleteReq),
                "Statistics": one_to_many(self.projections.statistics, j.StatisticsReq),
                "Disable": one_to_one(self.projections.disable, j.DisableReq),
                "Enable": one_to_one(self.projections.enable, j.EnableReq),
                "Reset": one_to_one(self.projections.reset, j.ResetReq),
                "State": one_to_one(self.projections.state, j.StateReq),
                "Result": one_to_one(self.projections.result, j.ResultReq),
                "RestartSubsystem": one_to_one(self.projections.restart, shared_pb2.Empty),
            },
            "event_store.client.operations.Operations": {
                name: one_to_one(handler) for name, handler in operations.handlers().items()
            },
            "event_store.client.monitoring.Monitoring": {"Stats": one_to_many(operations.stats)},
            "event_store.client.gossip.Gossip": {"Read": one_to_one(read_gossip, shared_pb2.Empty)},
            "event_store.client.server_features.ServerFeatures": {
                "GetSupportedMethods": one_to_one(get_supported_methods, shared_pb2.Empty),
            },
        }


class Server:
    """A gRPC server, and the calls that are open on it. `guard` decides about its callers; None admits all."""

    def __init__(self, guard: Guard | None = None, credentials: grpc.ServerCredentials | None = None) -> None:
        self._guard, self._credentials = guard, credentials
        self._calls = Calls()
        self._server = grpc.aio.server(options=OPTIONS)
        self._audit = ExitStack()

    def bind(self, address: str) -> int:
        """The port. Raises `RuntimeError` if it is taken."""
        if self._credentials is not None:
            return int(self._server.add_secure_port(address, self._credentials))
        return int(self._server.add_insecure_port(address))

    async def start(self, services: Services) -> None:
        guard = self._guard
        guarded = services if guard is None else guard.guarded(services)
        handlers = audited(self._calls.handlers(guarded), self._audit)
        self._server.add_generic_rpc_handlers((Routes(handlers, None if guard is None else guard.authenticate),))
        await self._server.start()

    def refuse(self) -> None:
        """Take no more calls."""
        self._calls.refuse()

    async def stop(self) -> None:
        with self._audit:
            stopping = asyncio.create_task(self._server.stop(STOP_GRACE))
            await asyncio.wait([stopping], timeout=ANSWERS_WITHIN)
            self._calls.end()
            await stopping


async def stop(store: Store, servers: Sequence[Server]) -> None:
    for server in servers:
        server.refuse()
    await store.close()  # consumers are ended before the connections close
    await asyncio.gather(*(server.stop() for server in servers))
