"""Both official Python clients behind one face, so that a test is written once and drives each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from esdbclient import EventStoreDBClient
from esdbclient.asyncio_client import AsyncEventStoreDBClient

KINDS = ("synchronous", "asyncio")
_OVER = object()


class Threaded:
    """The synchronous client, or what one of its calls returned, with every method awaitable: it runs in a thread."""

    def __init__(self, of: Any) -> None:
        self._of = of

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._of, name)
        if not callable(found):
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            result = await asyncio.to_thread(found, *arguments, **named)
            return Threaded(result) if hasattr(result, "__next__") else result

        return call

    def __aiter__(self) -> "Threaded":
        return self

    async def __anext__(self) -> Any:
        item = await asyncio.to_thread(next, self._of, _OVER)
        if item is _OVER:
            raise StopAsyncIteration
        return item


@asynccontextmanager
async def client_of(kind: str, uri: str) -> AsyncIterator[Any]:
    """A connected client of that kind, closed at the end."""
    if kind == "asyncio":
        client = AsyncEventStoreDBClient(uri)
        await client.connect()
        yield client
        await client.close()
    else:
        threaded = Threaded(await asyncio.to_thread(EventStoreDBClient, uri))
        yield threaded
        await threaded.close()
