"""The part of a real server's HTTP interface that health checks use: `/health/live` and `/info`."""

import json
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from urllib.parse import parse_qs

from embedded.eventstore.http import READING, Answer, Route, http
from embedded.eventstore.info import VERSION


def health(host: str, port: int, *, projections: bool, users: bool = False) -> AbstractAsyncContextManager[str]:
    """Answer health checks until this is left; yields the bound `host:port`. Raises `PortError` for a taken port."""

    async def info(_: str) -> Answer:
        return Answer(HTTPStatus.OK, _info(projections=projections, users=users))

    routes = {"/health/live": Route(READING, _live), "/info": Route(READING, info)}
    return http(host, port, routes, option="--http-port")


async def _live(query: str) -> Answer:
    """204, or the code that the caller names."""
    named = parse_qs(query).get("liveCode", [""])[0]
    is_code = named.isascii() and named.isdigit() and 200 <= int(named) <= 599
    return Answer(int(named) if is_code else HTTPStatus.NO_CONTENT)


def _info(*, projections: bool, users: bool) -> bytes:
    return json.dumps(
        {
            "esVersion": VERSION,
            "state": "leader",
            "features": {"projections": projections, "userManagement": users, "atomPub": False},
            "authentication": {"type": "internal" if users else "insecure", "properties": {}},
        }
    ).encode()
