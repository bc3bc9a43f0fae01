"""Health (`grpc.health.v1`) from real probes.

The empty name says only that the process runs with valid settings: nothing is restarted because a store is unavailable.
Every other name says whether what it needs answers now.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import structlog
from grpc_health.v1 import health, health_pb2

from core.background import beside
from core.failures import words_of

log = structlog.get_logger()

Probe = Callable[[], Awaitable[object]]  # raises if what is needed does not answer

WHILE_GREEN, WHILE_RED = 2.0, 0.5  # seconds between two probes
WITHIN = 2.0  # seconds for one probe
RED, GREEN = health_pb2.HealthCheckResponse.NOT_SERVING, health_pb2.HealthCheckResponse.SERVING


@asynccontextmanager
async def reporting(status: health.aio.HealthServicer, needs: Mapping[str, Probe]) -> AsyncIterator[None]:
    """Probe what each name needs while this is open: NOT_SERVING within 5 s of a cause, SERVING within 2 s of its
    end.
    """
    await status.set("", GREEN)
    for name in needs:
        await status.set(name, RED)  # until it has answered
    names: dict[Probe, list[str]] = {}
    for name, probe in needs.items():
        names.setdefault(probe, []).append(name)
    async with beside(_report_all(status, names)):
        yield


async def _report_all(status: health.aio.HealthServicer, names: Mapping[Probe, list[str]]) -> None:
    """Concurrently: a hanging probe delays no other name."""
    await asyncio.gather(*(_report(status, probe, of) for probe, of in names.items()))


async def _report(status: health.aio.HealthServicer, probe: Probe, names: list[str]) -> None:
    before: type | None = None  # the type of the failure, of None while there is none
    while True:
        failure = await _failure(probe)
        if type(failure) is not before:
            before = type(failure)
            if failure is None:
                log.info("serving", names=names)
            else:
                log.warning("not serving", names=names, error=f"{before.__name__}: {words_of(failure)}")
            for name in names:
                await status.set(name, GREEN if failure is None else RED)
        await asyncio.sleep(WHILE_GREEN if failure is None else WHILE_RED)


async def _failure(probe: Probe) -> Exception | None:
    try:
        async with asyncio.timeout(WITHIN):
            await probe()
    except Exception as error:  # noqa: BLE001  # any failure is reported as unhealthy
        return error
    return None
