"""The embedded stores as context managers: each is a process that ends with its parent, for whatever reason."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

STOP_WITHIN = 20.0  # seconds
ROOT = str(Path(__file__).parents[1])  # where `embedded` is importable from, wherever the caller stands


class NotStartedError(Exception):
    """The store did not start; it said why on standard error."""


class Uris(NamedTuple):
    eventstore: str
    mongo: str


@contextmanager
def started(store: str, data: Path | None = None, *, port: int = 0, options: Sequence[str] = ()) -> Iterator[str]:
    """Run `eventstore` or `mongo` on `data` (None: nothing is kept), on `port` (0: a free one); yields its URI.

    `options` are more of its command line. For code without an event loop. Raises `NotStartedError`.
    """
    arguments = [sys.executable, "-m", "embedded", store, "--port", str(port), "--with-parent", *options]
    arguments += ["--memory"] if data is None else ["--data", str(data.absolute())]
    process = subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise NotStartedError(f"the embedded {store} did not start; it said why on standard error")
        yield str(json.loads(line)["uri"])
    finally:
        process.stdin.close()  # which it takes as the end of its parent
        try:
            process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@asynccontextmanager
async def _running(store: str, data: Path | None, port: int, options: Sequence[str] = ()) -> AsyncIterator[str]:
    context = started(store, data, port=port, options=options)
    uri = await asyncio.to_thread(context.__enter__)
    try:
        yield uri
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


@asynccontextmanager
async def embedded_eventstore(
    data: Path | None = None, *, port: int = 0, system_projections: bool = False
) -> AsyncIterator[str]:
    """An event store for the length of the block; yields its `esdb://` URI.

    `data` None keeps nothing. `system_projections` runs the five that make links. Raises `NotStartedError`.
    """
    options = ["--projections", "system"] if system_projections else []
    async with _running("eventstore", data, port, options) as uri:
        yield uri


@asynccontextmanager
async def embedded_mongo(data: Path | None = None, *, port: int = 0) -> AsyncIterator[str]:
    """A MongoDB for the length of the block; yields its `mongodb://` URI. Raises `NotStartedError`."""
    async with _running("mongo", data, port) as uri:
        yield uri


@asynccontextmanager
async def embedded_stack(data: Path | None = None) -> AsyncIterator[Uris]:
    """Both, beside each other under `data`."""
    async with (
        embedded_eventstore(data / "eventstore" if data else None) as eventstore,
        embedded_mongo(data / "mongo" if data else None) as mongo,
    ):
        yield Uris(eventstore, mongo)
