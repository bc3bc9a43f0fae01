"""Health (`grpc.health.v1`) from real probes.

The empty name says only that the process runs with valid settings: nothing is restarted because a store is unavailable.
Every other name says whether what it needs answers now.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
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
async def reporting(status: health.aio.HealthServicer, needs: Mapping[str, Sequence[Probe]]) -> AsyncIterator[None]:
    """Probe what each name needs while this is open: NOT_SERVING within 5 s of a cause, SERVING within 2 s of its
    end. A probe that several names need is made once for all of them.
    """
    await status.set("", GREEN)
    for name in needs:
        await status.set(name, RED)  # until everything has answered
    async with beside(_report_all(status, needs)):
        yield


async def _report_all(status: health.aio.HealthServicer, needs: Mapping[str, Sequence[Probe]]) -> None:
    """Concurrently: a hanging probe delays no other name."""
    missing = {name: set(probes) for name, probes in needs.items()}
    names: dict[Probe, list[str]] = {}
    for name, probes in needs.items():
        for probe in probes:
            names.setdefault(probe, []).append(name)
    await asyncio.gather(*(_report(status, probe, of, missing) for probe, of in names.items()))


async def _report(
    status: health.aio.HealthServicer, probe: Probe, names: list[str], missing: Mapping[str, set[Probe]]
) -> None:
    """`missing` has what each name still lacks."""
    before: type | None = None  # the type of the failure, of None while there is none
    while True:
        failure = await _failure(probe)
        if type(failure) is not before:
            before = type(failure)
            for name in names:
                (missing[name].discard if failure is None else missing[name].add)(probe)
                await status.set(name, RED if missing[name] else GREEN)
            if failure is not None:
                log.warning("not serving", names=names, error=f"{before.__name__}: {words_of(failure)}")
            elif serving := [name for name in names if not missing[name]]:
                log.info("serving", names=serving)
        await asyncio.sleep(WHILE_GREEN if failure is None else WHILE_RED)


async def _failure(probe: Probe) -> Exception | None:
    try:
        async with asyncio.timeout(WITHIN):
            await probe()
    except Exception as error:  # noqa: BLE001  # any failure is reported as unhealthy
        return error
    return None
