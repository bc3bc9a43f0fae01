"""A process that serves until it is told to stop."""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import grpc
import structlog


async def until_stopped(serving: AbstractAsyncContextManager[str], ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. One that comes while the process still waits for its stores ends it at once.

    `ready` is told the address when the process serves.
    """
    loop, starting = asyncio.get_running_loop(), asyncio.current_task()
    assert starting is not None, "a coroutine runs in a task"
    stop = asyncio.Event()
    serves = False

    def told() -> None:
        stop.set()
        if not serves:
            starting.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    try:
        async with serving as address:
            serves = True
            ready(address)
            await stop.wait()
    except asyncio.CancelledError:
        if serves or not stop.is_set():
            raise


@asynccontextmanager
async def started(server: grpc.aio.Server, grace: float) -> AsyncIterator[None]:
    """A server that is stopped in the end, with `grace` seconds for calls in flight.

    One whose start is cancelled halfway can neither be stopped nor left: gRPC complains when the process ends.
    """
    starting = asyncio.create_task(server.start())
    try:
        await asyncio.shield(starting)
        yield
    finally:
        await starting
        await server.stop(grace)


def configure_logging(level: str) -> None:
    """JSON lines on stderr."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
