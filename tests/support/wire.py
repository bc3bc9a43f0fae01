"""A wire between a client and a server that can go silent while it looks open, as a cut cable does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Wire:
    """Passes bytes on. Connections that have gone silent stay so; new ones are not."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._calm = asyncio.Event()  # of the connections there are
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    def go_silent(self) -> None:
        self._calm.set()
        self._calm = asyncio.Event()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calm = self._calm
        there = await asyncio.open_connection("127.0.0.1", self._to)
        for source, target in ((reader, there[1]), (there[0], writer)):
            task = asyncio.create_task(self._pass_on(source, target, calm))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

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


@asynccontextmanager
async def wire(to: str) -> AsyncIterator[Wire]:
    """To a server at `127.0.0.1:<port>`; from a port of its own."""
    between = Wire(int(to.rpartition(":")[2]))
    server = await asyncio.start_server(between.connected, "127.0.0.1", 0)
    between.port = server.sockets[0].getsockname()[1]
    try:
        yield between
    finally:
        server.close()
        await between.close()
