"""The composition root: the only module of the projection process that constructs clients and servers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from core.background import beside
from core.backoff import Backoff
from core.error_text import error_text
from core.eventstore.connection import connected
from core.eventstore.identity import LogIdentity
from core.eventstore.log import EventLog
from core.eventstore.persistent import Groups
from core.failures import ServiceFailure, StoreUnavailable
from core.process import started
from core.readmodel.mongo import failure_of, may_read, mongo_client, mongo_errors
from core.readmodel.view import View
from core.readmodel.views import VIEWS
from core.rpc.call_guard import CallGuard, CallLimits
from core.rpc.health import reporting
from core.rpc.reflection import enable_reflection
from core.security.ports import Ports, ports_of
from projections.config import Settings
from projections.engine.host import Host
from projections.lifecycle.audit_log import AuditLog
from projections.lifecycle.supervisor import Supervisor
from projections.operations import exclusion_service, policy_service, projection_service, subscription_service
from projections.operations.changes import ChangePlanner
from projections.operations.exclusion_service import ExclusionAdmin
from projections.stores import Stores
from projections.verification.emails import EmailVerifier
from projections.verification.full import Verifier
from projections.verification.processes import ProcessVerifier
from projections.verification.snapshots import SnapshotVerifier
from protos.operations.v1.exclusions_pb2_grpc import add_ExclusionServiceServicer_to_server
from protos.operations.v1.policy_pb2_grpc import add_PolicyServiceServicer_to_server
from protos.operations.v1.projections_pb2_grpc import add_ProjectionServiceServicer_to_server
from protos.operations.v1.subscriptions_pb2_grpc import add_SubscriptionServiceServicer_to_server

log = structlog.get_logger()

SERVICES = (
    projection_service.SERVICE,
    subscription_service.SERVICE,
    exclusion_service.SERVICE,
    policy_service.SERVICE,
)
LOOK_EVERY = 1.0  # seconds
FIRST_PAUSE = 0.2  # seconds
MAX_PAUSE = 2.0  # seconds
OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
)


@asynccontextmanager
async def serving(settings: Settings, port: int, *, ports: Ports | None = None) -> AsyncIterator[str]:
    """Run every view, ProjectionService and SubscriptionService; yields the bound address.

    On leaving: NOT_SERVING, finish the running batches, write the checkpoints, close. `ports` are those of the
    process; None: of the settings.
    """
    ports = ports or ports_of(settings)
    server = grpc.aio.server(interceptors=[call_guard(settings, ports)], options=(*OPTIONS, *ports.options))
    bound = ports.add(server, port)  # first: a taken port is reported before any wait
    async with connected(settings, reads=True) as client:
        leader = client.leader
        mongo = mongo_client(settings, socketTimeoutMS=20_000)
        try:
            database = mongo[settings.mongo_database]
            stores = Stores.of(client, database, shares_head=settings.heartbeat / 2)
            log, state, audit_log = stores.leader_log, stores.checkpoints, AuditLog(leader)
            await _stores_answer(log, mongo, settings.start_within)
            await may_read(database)
            chosen = _chosen(settings)
            host = Host(chosen, stores, settings)
            supervisors = [Supervisor(view, host, settings, audit_log) for view in chosen]
            changes = ChangePlanner(stores, audit_log, settings)
            verifier, snapshots = Verifier(stores, log=log, at_once=settings.verify_at_once), SnapshotVerifier(log)
            emails = EmailVerifier(log, at_once=settings.verify_at_once)
            views = projection_service.ProjectionAdmin(
                supervisors=supervisors,
                state=state,
                verifier=verifier,
                snapshots=snapshots,
                processes=ProcessVerifier(log),
                emails=emails,
                changes=changes,
                audit_log=audit_log,
                log=log,
                deadline=settings.operator_deadline,
            )
            add_ProjectionServiceServicer_to_server(views, server)
            groups = subscription_service.SubscriptionAdmin(Groups(log), audit_log)
            add_SubscriptionServiceServicer_to_server(groups, server)
            excluding = ExclusionAdmin(leader, log, audit_log, lambda: _recheck(supervisors))
            add_ExclusionServiceServicer_to_server(excluding, server)
            add_PolicyServiceServicer_to_server(policy_service.Policy(), server)
            status = health.aio.HealthServicer()
            health_pb2_grpc.add_HealthServicer_to_server(status, server)
            if ports.reflection:
                enable_reflection(SERVICES, server)
            async with (
                LogIdentity(log).kept(),
                started(server, settings.grace),
                host.running(),
                _running(supervisors),
                reporting(status, dict.fromkeys(SERVICES, (partial(_answer, log, mongo),))),
                beside(_watch(supervisors, status)),
            ):
                try:
                    yield f"{settings.host}:{bound}"
                finally:
                    await status.enter_graceful_shutdown()
        finally:
            await mongo.close()


def call_guard(settings: Settings, ports: Ports) -> CallGuard:
    """Through which every call of operators passes."""
    limits = CallLimits(
        default_deadline=settings.operator_deadline,
        max_deadline=projection_service.MAX_CALL,
        max_calls=settings.max_concurrent_calls,
        max_request_size=settings.max_request_size,
    )
    return CallGuard(frozenset(SERVICES), limits, _known, authenticator=ports.authenticator, quotas=ports.quotas)


def _known(error: Exception) -> ServiceFailure | None:
    return failure_of(error) if isinstance(error, PyMongoError) else None


def _recheck(views: list[Supervisor]) -> None:
    for view in views:
        view.recheck_parked()


def _chosen(settings: Settings) -> list[View[Any]]:
    return [view for view in VIEWS if view.name in settings.views or not settings.views]


async def _stores_answer(events: EventLog, mongo: AsyncMongoClient[dict[str, object]], within: float) -> None:
    """Wait for both, whichever starts first. Raises `StoreUnavailable` after the time limit."""
    deadline, backoff = time.monotonic() + within, Backoff(FIRST_PAUSE, MAX_PAUSE)
    while True:
        try:
            await _answer(events, mongo)
        except StoreUnavailable as error:
            pause = backoff.pause()
            if time.monotonic() + pause > deadline:
                raise
            log.warning("waiting for a store", error=error_text(error))
            await asyncio.sleep(pause)
        else:
            return


async def _answer(events: EventLog, mongo: AsyncMongoClient[dict[str, object]]) -> None:
    await events.head()
    with mongo_errors():
        await mongo.admin.command("ping")


@asynccontextmanager
async def _running(views: list[Supervisor]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(view.run(), name=view.view.name) for view in views]
    try:
        yield
    finally:
        for view in views:
            view.stop()
        await asyncio.gather(*tasks)


async def _watch(views: list[Supervisor], status: health.aio.HealthServicer) -> None:
    """Health per view, by its name. A parked stream is reported by `projections list` and metrics."""
    response = health_pb2.HealthCheckResponse
    known: dict[str, bool] = {}
    while True:
        for view in views:
            name, is_healthy = view.view.name, projection_service.healthy(view)
            if known.get(name) is not is_healthy:
                await status.set(name, response.SERVING if is_healthy else response.NOT_SERVING)
                known[name] = is_healthy
        await asyncio.sleep(LOOK_EVERY)
