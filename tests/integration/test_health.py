"""Health says of each name whether what it needs answers, and of the process only that it runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from core.config import Settings
from core.rpc.health import reporting
from server.app import serving
from server.queries.app import LOG
from tests.support.eventually import eventually
from tests.support.processes import running

GREEN, RED = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
Check = Callable[[str], Awaitable[int]]


@asynccontextmanager
async def checked(address: str) -> AsyncIterator[Check]:
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)

        async def check(name: str) -> int:
            return int((await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)).status)

        yield check


async def until(check: Check, name: str, status: int) -> None:
    await eventually(lambda: check(name), lambda now: now == status, within=20)


async def test_the_queries_serve_while_the_views_answer_and_the_log_has_a_name_of_its_own(mongo_uri: str) -> None:
    with running("embedded", "eventstore", "--port", "0", "--memory") as node:
        node.keep_port()
        settings = Settings(eventstore_uri=node.ready["uri"], mongo_uri=mongo_uri, mongo_database="health")
        async with serving("queries", settings, 0) as address, checked(address) as check:
            for name in ("orders.v1.OrderQueryService", LOG):
                await until(check, name, GREEN)
            node.kill()
            await until(check, LOG, RED)
            assert await check("orders.v1.OrderQueryService") == GREEN
            assert await check("") == GREEN
            node.start()
            await until(check, LOG, GREEN)


async def test_commands_are_red_without_their_store_and_the_process_is_not() -> None:
    with running("embedded", "eventstore", "--port", "0", "--memory") as node:
        node.keep_port()
        settings = Settings(eventstore_uri=node.ready["uri"])
        async with serving("commands", settings, 0) as address, checked(address) as check:
            await until(check, "orders.v1.OrderCommandService", GREEN)
            node.kill()
            await until(check, "users.v1.UserCommandService", RED)
            assert await check("") == GREEN
            node.start()
            await until(check, "orders.v1.OrderCommandService", GREEN)


@pytest.mark.parametrize("role", ["commands", "queries", "processes"])
async def test_a_role_starts_and_stops_without_its_stores(role: str) -> None:
    nowhere = Settings(eventstore_uri="esdb://127.0.0.1:9?Tls=false", mongo_uri="mongodb://127.0.0.1:9/")
    async with serving(role, nowhere, 0) as address, checked(address) as check:
        assert await check("") == GREEN


async def test_what_hangs_is_red_and_keeps_no_other_name_waiting() -> None:
    status = health.aio.HealthServicer()

    async def hangs() -> None:
        await asyncio.Event().wait()

    async def answers() -> None:
        return

    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    needs = {"hangs": (hangs,), "answers": (answers,), "both": (answers, hangs)}
    async with reporting(status, needs), checked(f"127.0.0.1:{port}") as check:
        await until(check, "answers", GREEN)
        assert await check("hangs") == RED
        assert await check("both") == RED
    await server.stop(0)


async def test_what_several_names_need_is_probed_once_for_all_of_them() -> None:
    status, probed = health.aio.HealthServicer(), 0

    async def answers() -> None:
        nonlocal probed
        probed += 1

    async with reporting(status, dict.fromkeys(("one", "another", "a third"), (answers,))):
        await eventually(lambda: _status(status, "a third"), lambda now: now == GREEN)
    assert probed < 3, "a second round may have begun"


async def _status(status: health.aio.HealthServicer, name: str) -> int:
    return int((await status.Check(health_pb2.HealthCheckRequest(service=name), None)).status)
