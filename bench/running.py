"""The stack under test: embedded stores on free ports, durable settings, in a temporary directory."""

import asyncio
import importlib.metadata
import os
import platform
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from client.local.stack import Stack, stack
from client.sdk import OrderstreamClient

LOOK_EVERY = 0.05  # seconds
PATIENCE = 600.0  # seconds; a million events may lie ahead
PACKAGES = ("grpcio", "protobuf", "esdbclient", "pymongo", "msgspec", "SecantusDB")


@asynccontextmanager
async def fresh_stack(*, processes: bool = False) -> AsyncIterator[Stack]:
    """Everything, empty; the processes of orders only if they are wanted."""
    with tempfile.TemporaryDirectory(prefix="orderstream-bench-") as data:
        async with stack(Path(data), processes=processes) as running:
            yield running


def pids(running: Stack, *names: str) -> dict[str, int]:
    return {name: running.members[name].pid for name in names}


def about() -> dict[str, Any]:
    """What the figures were measured with."""
    return {
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "settings": "embedded stores; each answer after its fsync (synchronous=FULL); SecantusDB --sync-on-commit",
    }


async def caught_up(running: Stack, position: int) -> None:
    """Wait until every view has reached a position."""
    async with OrderstreamClient(running.addresses, deadline=60.0) as shop, asyncio.timeout(PATIENCE):
        while any(one.position < position for one in (await shop.operations.ListProjections()).projections):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY)  # they are in another process
