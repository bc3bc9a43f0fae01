"""The composition root: the only place of the read side's writer that constructs clients and servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from pymongo import AsyncMongoClient

from projections.admin import SERVICE, ProjectionAdmin, healthy
from projections.config import Settings
from projections.runner import Runner
from projections.verify import Verifier
from projections.views import VIEWS
from protos.operations.v1.projections_pb2_grpc import add_ProjectionServiceServicer_to_server
from server.eventstore.store import connect
from server.readmodel.state import Fenced, ViewState

log = structlog.get_logger()

LOOK_EVERY = 0.5  # seconds
OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
)


@asynccontextmanager
async def serving(settings: Settings, port: int) -> AsyncIterator[str]:
    """Run every view and the ProjectionService; yields the bound address.

    On leaving: NOT_SERVING, finish the batches at work, write the checkpoints, close.
    """
    client = await connect(settings.eventstore_uri)
    mongo: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(settings.mongo_uri, serverSelectionTimeoutMS=3_000)
    try:
        database = mongo[settings.mongo_database]
        runners = [Runner(view, client, database, settings) for view in VIEWS]
        server = grpc.aio.server(options=OPTIONS)
        admin = ProjectionAdmin(runners, ViewState(database), Verifier(client, database))
        add_ProjectionServiceServicer_to_server(admin, server)
        status = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(status, server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        bound = server.add_insecure_port(f"{settings.host}:{port}")
        await server.start()
        await status.set("", health_pb2.HealthCheckResponse.SERVING)
        await status.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
        async with _running(runners), _watched(runners, status):
            yield f"{settings.host}:{bound}"
        await status.enter_graceful_shutdown()
        await server.stop(settings.grace)
    finally:
        await mongo.close()
        await client.close()


@asynccontextmanager
async def _running(runners: list[Runner]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(_run(runner), name=runner.view.name) for runner in runners]
    try:
        yield
    finally:
        for runner in runners:
            runner.stop()
        await asyncio.gather(*tasks)


async def _run(runner: Runner) -> None:
    try:
        await runner.run()
    except Fenced as fenced:
        log.error("view given up", view=runner.view.name, reason=str(fenced))
        runner.last_error = str(fenced)
    except Exception as error:  # one broken view must not take the others with it; health and list show it
        log.exception("view ended", view=runner.view.name)
        runner.last_error = f"{type(error).__name__}: {error}"


@asynccontextmanager
async def _watched(runners: list[Runner], status: health.aio.HealthServicer) -> AsyncIterator[None]:
    """Health per view, by its name."""
    watching = asyncio.create_task(_watch(runners, status))
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _watch(runners: list[Runner], status: health.aio.HealthServicer) -> None:
    response = health_pb2.HealthCheckResponse
    while True:
        for runner in runners:
            await status.set(runner.view.name, response.SERVING if healthy(runner) else response.NOT_SERVING)
        await asyncio.sleep(LOOK_EVERY)
