"""The composition root: the only place of the server that constructs clients and servers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import grpc
import structlog
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from pymongo import AsyncMongoClient

from server.commands.emails import EmailClaims
from server.commands.facts import Facts
from server.commands.former_claims import FormerClaims
from server.commands.handler import CommandHandler
from server.commands.services import SERVICES, CommandServices
from server.config import Settings
from server.eventstore import store
from server.eventstore.connection import connected
from server.eventstore.identity import LogIdentity
from server.eventstore.log import EventLog
from server.eventstore.repository import Repository
from server.eventstore.snapshots import Snapshots
from server.eventstore.store_time import StoreTime
from server.eventstore.unchanged import UnchangedRequests
from server.failures import LogMismatch
from server.processes import routes as process_routes
from server.processes.automatic_start import AutomaticStart
from server.processes.late import LateAnswers
from server.processes.payments.simulator import Simulator, rules_of
from server.processes.process import OrderProcess
from server.processes.reconciler import Patience, Reconciler
from server.processes.reservations import ReservationExpiry
from server.processes.sender import PAYMENTS, Sender
from server.queries import fresh_views, of_another_log, query_services
from server.queries.watching.hub import Hub, Limits
from server.rpc.health import Probe, telling
from server.rpc.interceptors import Edge
from server.running import started

log = structlog.get_logger()

KEEPALIVE = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),  # clients may ping every 10 s
    ("grpc.http2.max_ping_strikes", 0),
)
LOG = "log"  # health of the query service: whether the event store answers, as time travel and watches need it


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a role serves: its services by name, and how to register them.

    `needs` has, by name for health, what raises if that which the name needs does not answer. `drain` ends the calls
    that would not end by themselves.
    """

    services: tuple[str, ...]
    register: Callable[[grpc.aio.Server], None]
    needs: Mapping[str, Probe]
    drain: Callable[[], None] = lambda: None


Clock = Callable[[], datetime]


@asynccontextmanager
async def commands(settings: Settings, clock: Clock) -> AsyncIterator[Part]:
    async with connected(settings.eventstore_uri) as client:
        events = store.EventStore(client)
        snapshots = Snapshots(events, every=settings.snapshot_every)
        try:
            repository, time = Repository(events, snapshots, most=settings.cached_aggregates), StoreTime(events, clock)
            unchanged = UnchangedRequests(events, most=settings.cached_aggregates)
            emails = EmailClaims(events, repository, time)
            services = CommandServices(
                CommandHandler(events, repository, unchanged),
                Facts(repository, time),
                emails,
                timedelta(seconds=settings.place_within),
                clock=clock,
            )
            by_hand = nullcontext() if settings.run_by_hand else AutomaticStart(events).enabled(only_on_a_new_log=True)
            former_claims = FormerClaims(events, repository, emails, clock)
            identity = LogIdentity(client).kept()
            async with identity, by_hand, snapshots.writing(), unchanged.following(), former_claims.running():
                yield Part(
                    services=tuple(SERVICES),
                    register=lambda server: server.add_generic_rpc_handlers(tuple(services.handlers())),
                    needs=dict.fromkeys(SERVICES, events.head),
                )
        finally:
            await events.close()


@asynccontextmanager
async def queries(settings: Settings, _: Clock) -> AsyncIterator[Part]:
    async with connected(settings.eventstore_uri, settings.eventstore_read_uri) as client:
        mongo: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(
            settings.mongo_uri, serverSelectionTimeoutMS=3_000, tz_aware=True
        )
        try:
            log = EventLog(client)
            limits = Limits(settings.most_watches, settings.most_waiting_changes, settings.watch_heartbeat)
            hub = Hub(log, limits)
            fresh = fresh_views(mongo[settings.mongo_database], log)
            services = query_services(mongo[settings.mongo_database], log, hub, fresh)

            def drain() -> None:
                hub.drain()
                fresh.drain()

            def register(server: grpc.aio.Server) -> None:
                for _, add_to in services:
                    add_to(server)

            async def probe(service: str) -> None:
                await mongo.admin.command("ping")
                if service in of_another_log(fresh):
                    raise LogMismatch

            client.leader.when_replaced.append(fresh.check_soon)
            async with LogIdentity(client, may_write=False).kept(), hub.open(), fresh.checked():
                names = tuple(name for name, _ in services)
                needs: dict[str, Probe] = {name: partial(probe, name) for name in names}
                yield Part(services=names, register=register, needs={**needs, LOG: log.head}, drain=drain)
        finally:
            await mongo.close()


@asynccontextmanager
async def processes(settings: Settings, clock: Clock) -> AsyncIterator[Part]:
    async with connected(settings.eventstore_uri) as client:
        events = store.EventStore(client)
        snapshots = Snapshots(events, every=settings.snapshot_every)
        try:
            repository = Repository(events, snapshots, most=settings.cached_aggregates)
            handler, payments = CommandHandler(events, repository), Simulator(rules_of(settings.payments))
            time, automatic = StoreTime(events, clock), AutomaticStart(events)
            facts = Facts(repository, time)
            reconciler = Reconciler(
                handler, repository, payments, _patience(settings), clock, facts=facts, automatic=automatic
            )
            reservations = ReservationExpiry(handler, repository, time)
            process = OrderProcess(
                client,
                events,
                reconciler,
                reservations,
                clock,
                automatic=automatic,
                at_once=settings.orders_at_once,
                sweep_every=settings.sweep_every,
            )
            payments.listen(LateAnswers(reconciler, partial(Sender, handler, clock, actor=PAYMENTS)).told)
            services = CommandServices(
                handler,
                facts,
                EmailClaims(events, repository, time),
                timedelta(seconds=settings.place_within),
                clock=clock,
                services=process_routes.SERVICES,
            )

            async def probe() -> None:
                await events.head()
                if process.trouble:
                    raise ConnectionError(process.trouble)

            async with LogIdentity(client).kept(), automatic.enabled(), snapshots.writing(), process.running():
                yield Part(
                    services=tuple(process_routes.SERVICES),
                    register=lambda server: server.add_generic_rpc_handlers(tuple(services.handlers())),
                    needs=dict.fromkeys(process_routes.SERVICES, probe),
                )
        finally:
            await events.close()


def _patience(settings: Settings) -> Patience:
    pauses = (min(settings.first_retry * 2**n, settings.longest_retry) for n in range(settings.step_attempts - 1))
    return Patience(pauses=tuple(timedelta(seconds=pause) for pause in pauses), step_within=settings.step_within)


def _now() -> datetime:
    return datetime.now(UTC)


ROLES = {"commands": commands, "queries": queries, "processes": processes}


@asynccontextmanager
async def serving(role: str, settings: Settings, port: int, *, clock: Clock = _now) -> AsyncIterator[str]:
    """Serve one role; yields the bound address. On leaving: NOT_SERVING, drain, finish calls in flight, close.

    `clock` gives the time in UTC.
    """
    async with AsyncExitStack() as stack:
        part = await stack.enter_async_context(ROLES[role](settings, clock))
        server = grpc.aio.server(
            interceptors=[Edge(frozenset(part.services), settings.default_deadline, settings.longest_deadline)],
            options=[
                *KEEPALIVE,
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", settings.largest_request),
            ],
            maximum_concurrent_rpcs=settings.most_concurrent_calls,
        )
        part.register(server)
        status = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(status, server)
        if settings.reflection:
            names = (*part.services, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        bound = server.add_insecure_port(f"{settings.host}:{port}")
        await stack.enter_async_context(started(server, settings.grace))
        try:
            async with telling(status, part.needs):
                yield f"{settings.host}:{bound}"
        finally:
            await status.enter_graceful_shutdown()
            await asyncio.sleep(settings.drain_delay)
            part.drain()
