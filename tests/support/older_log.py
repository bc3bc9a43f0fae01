"""A log that is taken back to an older copy of itself, under the same address."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from core.eventstore.connection import Client, connect
from embedded.stack import embedded_eventstore


@asynccontextmanager
async def node(data: Path, port: int = 0) -> AsyncIterator[Client]:
    """An embedded node on a data directory, and a client of it."""
    async with embedded_eventstore(data, port=port) as uri:
        client = await connect(uri)
        try:
            yield client
        finally:
            await client.close()


def copied(data: Path) -> Path:
    """A copy of the directory of a node that does not run."""
    copy = data.with_name(f"{data.name}.copy")
    shutil.copytree(data, copy)
    return copy
