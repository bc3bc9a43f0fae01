"""Serve one role of the server. A process imports the modules of its own role only: each costs a start its time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from importlib import import_module

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from core.config import Settings
from core.process import started
from core.rpc.call_guard import CallGuard, CallLimits
from core.rpc.health import reporting
from core.rpc.reflection import enable_reflection
from core.security.ports import Ports, ports_of
from server.role import Clock, Opened

KEEPALIVE = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),  # clients may ping every 10 s
    ("grpc.http2.max_ping_strikes", 0),
)
# gRPC itself refuses without a reason, so its own bounds are so many times those by which `CallGuard` refuses with one
TRANSPORT = 4
# gRPC counts a call for a while after its answer; and of the calls about health there is no other bound
SPARE_CALLS = 100


def _now() -> datetime:
    return datetime.now(UTC)


ROLES = ("commands", "processes", "queries")


@asynccontextmanager
async def serving(
    role: str, settings: Settings, port: int, *, clock: Clock = _now, ports: Ports | None = None
) -> AsyncIterator[str]:
    """Serve one role; yields the bound address. On leaving: NOT_SERVING, drain, finish calls in flight, close.

    `clock` gives the time in UTC. `ports` are those of the process; None: of the settings.
    """
    ports = ports or ports_of(settings)
    async with AsyncExitStack() as stack:
        opened: Opened = import_module(f"server.{role}.app").opened
        served = await stack.enter_async_context(opened(settings, clock))
        limits = CallLimits(
            default_deadline=settings.default_deadline,
            max_deadline=settings.max_deadline,
            max_calls=settings.max_concurrent_calls,
            max_request_size=settings.max_request_size,
        )
        guard = CallGuard(frozenset(served.services), limits, authenticator=ports.authenticator, quotas=ports.quotas)
        server = grpc.aio.server(
            interceptors=[guard],
            options=[
                *KEEPALIVE,
                *ports.options,
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", TRANSPORT * limits.max_request_size),
            ],
            maximum_concurrent_rpcs=TRANSPORT * limits.max_calls + SPARE_CALLS,
        )
        served.register(server)
        status = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(status, server)
        if ports.reflection:
            enable_reflection(served.services, server)
        bound = ports.add(server, port)
        await stack.enter_async_context(started(server, settings.grace))
        try:
            async with reporting(status, served.needs):
                yield f"{settings.host}:{bound}"
        finally:
            await status.enter_graceful_shutdown()
            await asyncio.sleep(settings.drain_delay)
            served.drain()
