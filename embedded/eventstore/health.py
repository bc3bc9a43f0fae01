"""The part of a real server's HTTP interface that health checks use: `/health/live` and `/info`.

One request a connection, on a port of its own: the port of the node speaks HTTP/2 with gRPC only.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from embedded.eventstore.errors import PortError
from embedded.eventstore.info import VERSION

LARGEST_REQUEST = 16 * 1024  # bytes of its head
WITHIN = 10.0  # seconds, until its head has come


class _Answer(NamedTuple):
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


@asynccontextmanager
async def health(host: str, port: int, *, projections: bool) -> AsyncIterator[str]:
    """Answer health checks until this is left; yields the bound `host:port`. Raises `PortError` for a taken port."""
    routes: dict[str, Callable[[str], _Answer]] = {
        "/health/live": _live,
        "/info": lambda _: _Answer(HTTPStatus.OK, _info(projections=projections)),
    }

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(WITHIN):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_answer(routes, head))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the caller went, or sends no request
        finally:
            writer.close()

    try:
        server = await asyncio.start_server(answer, host, port, limit=LARGEST_REQUEST)
    except OSError as error:
        raise PortError(f"port {port} on {host} is taken or not allowed; choose another with --http-port") from error
    async with server:
        yield f"{host}:{server.sockets[0].getsockname()[1]}"


def _answer(routes: dict[str, Callable[[str], _Answer]], head: bytes) -> bytes:
    parts = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        return _Answer(HTTPStatus.BAD_REQUEST).encoded(with_body=True)
    method, target, _ = parts
    try:
        path, query = urlsplit(target).path, urlsplit(target).query
    except ValueError:
        return _Answer(HTTPStatus.BAD_REQUEST).encoded(with_body=True)
    route = routes.get(path.rstrip("/").lower())
    if route is None:
        found = _Answer(HTTPStatus.NOT_FOUND)
    elif method not in {"GET", "HEAD"}:
        found = _Answer(HTTPStatus.METHOD_NOT_ALLOWED, allow="GET, HEAD")
    else:
        found = route(query)
    return found.encoded(with_body=method != "HEAD")


def _live(query: str) -> _Answer:
    """204, or the code that the caller names."""
    named = parse_qs(query).get("liveCode", [""])[0]
    is_code = named.isascii() and named.isdigit() and 200 <= int(named) <= 599
    return _Answer(int(named) if is_code else HTTPStatus.NO_CONTENT)


def _info(*, projections: bool) -> bytes:
    return json.dumps(
        {
            "esVersion": VERSION,
            "state": "leader",
            "features": {"projections": projections, "userManagement": False, "atomPub": False},
            "authentication": {"type": "insecure", "properties": {}},
        }
    ).encode()
