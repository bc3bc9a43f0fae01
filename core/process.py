"""A process that serves until it is stopped by a signal."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TypeVar

import grpc
import structlog
from prometheus_client import start_http_server

from core.config import ProcessSettings, WrongSettingError, from_environment, renamed_variables
from core.failures import ServiceFailure, StoreUnavailable, words_of
from core.security.ports import Ports

log = structlog.get_logger()

WRONG_SETTING, NO_STORE = 2, 5  # exit codes
MAX_CAUSE_LENGTH = 300  # characters
WHERE = "ORDERSTREAM_EVENTSTORE_URI and ORDERSTREAM_MONGO_URI say where the stores are"

P = TypeVar("P", bound=ProcessSettings)


async def until_stopped(serving: AbstractAsyncContextManager[str], ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. A signal while the process still waits for its stores ends it at once.

    `ready` is called with the address when the process serves.
    """
    loop, starting = asyncio.get_running_loop(), asyncio.current_task()
    assert starting is not None, "a coroutine runs in a task"
    # Without it, gRPC ends its event queue with its last object: the loop's thread waits for the queue's, and that one,
    # with some 300 calls cancelled at once, for the loop to read.
    grpc.aio.init_grpc_aio()
    stop = asyncio.Event()
    serves = False

    def signalled() -> None:
        stop.set()
        if not serves:
            starting.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
    try:
        async with serving as address:
            serves = True
            ready(address)
            await stop.wait()
            log.info("stopping")
        log.info("stopped")
    except asyncio.CancelledError:
        if serves or not stop.is_set():
            raise


@asynccontextmanager
async def started(server: grpc.aio.Server, grace: float) -> AsyncIterator[None]:
    """A server that is stopped at the end, with `grace` seconds for calls in flight.

    A server whose start is cancelled halfway can be neither stopped nor dropped: gRPC complains when the process ends.
    """
    starting = asyncio.create_task(server.start())
    try:
        await asyncio.shield(starting)
        yield
    finally:
        await starting
        await server.stop(grace)


def ended_well(work: Callable[[], int | None], where: Callable[[], str] = lambda: WHERE) -> int:
    """Run it; returns the exit code. A failure to run is one line on stderr, never a traceback.

    `where` is called if a store does not answer: which settings have its address.
    """
    try:
        return work() or 0
    except WrongSettingError as error:
        return fail(str(error), WRONG_SETTING)
    except ServiceFailure as failure:
        details = f" ({_cause(failure)}); {where()}" if isinstance(failure, StoreUnavailable) else ""
        return fail(f"{words_of(failure)}{details} [{failure.reason}]", NO_STORE)


def _cause(failure: BaseException) -> str:
    cause = failure.__cause__
    said = next(iter(str(cause or "").splitlines()), "") or (type(cause).__name__ if cause else "no answer")
    return said[:MAX_CAUSE_LENGTH]


@contextmanager
def port_taken(host: str, port: int) -> Iterator[None]:
    """gRPC reports a port that cannot be bound by a text only. Raises `WrongSettingError` for it."""
    try:
        yield
    except RuntimeError as error:
        if "bind" not in str(error):
            raise
        raise WrongSettingError(f"port {port} on {host} is taken or not allowed; choose another with --port") from None


def say_ready(settings: ProcessSettings, ports: Ports, role: str, address: str) -> None:
    """Print the one line on standard output that says that the role serves, and where. Raises `WrongSettingError`."""
    ready: dict[str, object] = {"ready": role, "address": address, "pid": os.getpid()}
    if settings.metrics_port is not None:
        ready["metrics"] = _serve_metrics(settings.metrics_host, settings.metrics_port, ports)
    log.info("ready", role=role, address=address)
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()


def _serve_metrics(host: str, port: int, ports: Ports) -> str:
    """Serve Prometheus metrics over HTTP, or over TLS like the other ports; returns the address."""
    try:
        if ports.certificates is None:
            bound = start_http_server(port, addr=host)[0].server_port
        else:
            from core.security.metrics_port import serve  # noqa: PLC0415  # a process without TLS does not pay for it

            bound = serve(host, port, ports.certificates)
    except (OSError, OverflowError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise WrongSettingError(f"ORDERSTREAM_METRICS_PORT: cannot serve on port {port} of {host}: {said}") from None
    return f"{host}:{bound}"


def fail(line: str, code: int) -> int:
    sys.stderr.write(f"orderstream: {line}\n")
    return code


def start_up(kind: type[P]) -> P:
    """The settings of a process that serves, after its logging is set up. Raises `WrongSettingError`."""
    settings = from_environment(kind)
    configure_logging(settings.log_level, settings.log_format)
    renamed = renamed_variables(kind)
    if renamed:
        log.warning("settings have new names; the former names are read by this release only", new_names=renamed)
    return settings


def configure_logging(level: str, shape: str = "json") -> None:
    """Lines on stderr: JSON, or for people (`shape` "console")."""
    ending = (
        [
            # without the values of variables, which may be secrets
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
        if shape == "console"
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *ending,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
