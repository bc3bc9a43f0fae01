"""A wire between a client and a server that can go silent while it looks open, as a cut cable does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TypeVar


class Wire:
    """Passes bytes on. Connections that have gone silent stay so; new ones are silent only while the wire is cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._calm = asyncio.Event()  # of the connections there are
        self._is_cut = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    def go_silent(self) -> None:
        self._calm.set()
        self._calm = asyncio.Event()

    def cut(self) -> None:
        """Nothing comes through any more, nor over connections that are made from now on."""
        self.go_silent()
        self._is_cut = True

    def heal(self) -> None:
        """New connections work again; those from before stay silent."""
        if self._is_cut:
            self.go_silent()
            self._is_cut = False

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calm = self._calm
        if self._is_cut:
            calm.set()
        there = await asyncio.open_connection("127.0.0.1", self._to)
        for passing in (self._ask(reader, there[1], writer, calm), self._pass_on(there[0], writer, calm)):
            task = asyncio.create_task(passing)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(
        self, reader: asyncio.StreamReader, there: asyncio.StreamWriter, _: asyncio.StreamWriter, calm: asyncio.Event
    ) -> None:
        """Pass on what the client sends. What is written to the third is an answer to it."""
        await self._pass_on(reader, there, calm)

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, calm: asyncio.Event) -> None:
        try:
            with suppress(ConnectionError):
                while (data := await source.read(65_536)) or calm.is_set():
                    if calm.is_set():
                        await asyncio.Event().wait()
                    target.write(data)
                    await target.drain()
        finally:
            target.close()

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


W = TypeVar("W", bound=Wire)


@asynccontextmanager
async def wire(to: str) -> AsyncIterator[Wire]:
    """To a server at `127.0.0.1:<port>`; from a port of its own."""
    async with laid(Wire(int(to.rpartition(":")[2]))) as between:
        yield between


@asynccontextmanager
async def laid(between: W) -> AsyncIterator[W]:
    """It takes connections on a port of its own."""
    server = await asyncio.start_server(between.connected, "127.0.0.1", 0)
    between.port = server.sockets[0].getsockname()[1]
    try:
        yield between
    finally:
        server.close()
        await between.close()
