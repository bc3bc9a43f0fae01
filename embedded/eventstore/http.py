"""A small HTTP/1.1 server beside the gRPC ports, which speak HTTP/2 only. One request a connection."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

from embedded.eventstore.errors import PortError

MAX_REQUEST = 16 * 1024  # bytes of its head
WITHIN = 10.0  # seconds, until its head has arrived, and for the answer to be sent


class Answer(NamedTuple):
    """A status and, if it is not empty, a body of JSON."""

    status: int
    body: bytes = b""
    allow: str = ""

    def encoded(self, *, with_body: bool) -> bytes:
        phrase = HTTPStatus(self.status).phrase if self.status in set(HTTPStatus) else ""
        lines = [f"HTTP/1.1 {self.status} {phrase}", "Connection: close"]
        if self.allow:
            lines.append(f"Allow: {self.allow}")
        if self.body:
            lines.append("Content-Type: application/json; charset=utf-8")
        if self.status != HTTPStatus.NO_CONTENT:
            lines.append(f"Content-Length: {len(self.body)}")
        head = "\r\n".join([*lines, "", ""]).encode()
        return head + self.body if with_body else head


class Route(NamedTuple):
    """The methods of a path, and what gives its answer to a query."""

    methods: tuple[str, ...]
    answer: Callable[[str], Awaitable[Answer]]


READING = ("GET", "HEAD")


@asynccontextmanager
async def http(host: str, port: int, routes: Mapping[str, Route], *, option: str) -> AsyncIterator[str]:
    """Answer by the path, in lower case, until this is left; yields the bound `host:port`.

    Raises `PortError` for a taken port, which names the `option` that chooses another one.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(WITHIN):
                head = await reader.readuntil(b"\r\n\r\n")
            found = await _answer(routes, head)
            async with asyncio.timeout(WITHIN):
                writer.write(found)
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the caller went, or sends no request
        finally:
            writer.close()

    try:
        server = await asyncio.start_server(answer, host, port, limit=MAX_REQUEST)
    except OSError as error:
        raise PortError(f"port {port} on {host} is taken or not allowed; choose another with {option}") from error
    async with server:
        yield f"{host}:{server.sockets[0].getsockname()[1]}"


async def _answer(routes: Mapping[str, Route], head: bytes) -> bytes:
    parts = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        return Answer(HTTPStatus.BAD_REQUEST).encoded(with_body=True)
    method, target, _ = parts
    try:
        path, query = urlsplit(target).path, urlsplit(target).query
    except ValueError:
        return Answer(HTTPStatus.BAD_REQUEST).encoded(with_body=True)
    route = routes.get(path.rstrip("/").lower())
    if route is None:
        found = Answer(HTTPStatus.NOT_FOUND)
    elif method not in route.methods:
        found = Answer(HTTPStatus.METHOD_NOT_ALLOWED, allow=", ".join(route.methods))
    else:
        found = await route.answer(query)
    return found.encoded(with_body=method != "HEAD")
