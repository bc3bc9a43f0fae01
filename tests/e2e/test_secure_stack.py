"""A closed stack: no caller gets in without a key, by any port, and each secret is in its own file only."""

import asyncio
import ssl
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import bson
import pytest

from client.local.secure import Secure
from client.local.stack import Stack, stack
from client.sdk import OrderstreamClient
from client.sdk.credentials import Tls
from client.sdk.errors import Denied, Unavailable
from tests.support.calling import fresh_email
from tests.support.forked import launched
from tests.support.secure_node import calling

ROLES = ("commands", "queries", "projections", "processes")


async def call_each(running: Stack, **how: Any) -> None:
    async with OrderstreamClient(running.addresses, deadline=10.0, **how) as shop:
        user = await shop.users.RegisterUser(name="Ann", email=fresh_email())
        await shop.users.GetUser(user_id=user.user_id, consistency_token=user.consistency_token)
        listed = await shop.operations.ListProjections()
        assert listed.projections
        await shop.processes.ListProcesses()


async def reasons_of(running: Stack, **how: Any) -> list[str]:
    """Of one call to each process."""
    async with OrderstreamClient(running.addresses, deadline=1.0, **how) as shop:
        found = []
        for call in (
            shop.orders.PlaceOrder(order_id="x"),
            shop.orders.ListOrders(),
            shop.operations.ListProjections(),
            shop.processes.RetryProcess(order_id="x"),
        ):
            with pytest.raises((Denied, Unavailable)) as refused:
                await call
            found.append(refused.value.reason)
        return found


async def test_no_caller_gets_in_without_a_key(tmp_path: Path) -> None:
    closed = Secure.at(tmp_path)
    assert Secure.at(tmp_path).token == closed.token
    async with stack(tmp_path, secure=closed, launch=launched) as running:
        await call_each(running, tls=closed.tls, token=closed.token)
        assert await reasons_of(running, tls=closed.tls) == ["UNAUTHENTICATED"] * len(ROLES)
        assert await reasons_of(running, tls=closed.tls, token="osk_unknown") == ["UNAUTHENTICATED"] * len(ROLES)
        assert await reasons_of(running) == [""] * len(ROLES)  # over plain text no server of ours answers
        assert await reasons_of(running, tls=Tls(), token=closed.token) == [""] * len(ROLES)
        await the_stores_are_closed(running, closed)
    no_secret_is_written_down(tmp_path, closed)


async def the_stores_are_closed(running: Stack, closed: Secure) -> None:
    address = running.members["eventstore"].ready["address"]
    async with calling(address, closed.tls.credentials()) as nobody:
        assert (await nobody.read("order-1")).code in ("PERMISSION_DENIED", "UNAUTHENTICATED")
        assert (await nobody.as_user("admin", "changeit").read("order-1")).code == "UNAUTHENTICATED"
    async with calling(address) as nobody:
        assert (await nobody.read("order-1")).code == "UNAVAILABLE"
    mongo = running.members["mongo"].ready["address"]
    assert await answers_hello(mongo, ssl_of(closed, with_certificate=True))
    assert not await answers_hello(mongo, ssl_of(closed, with_certificate=False))
    assert not await answers_hello(mongo, None)


def ssl_of(closed: Secure, *, with_certificate: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(closed.tls.ca))
    if with_certificate:
        context.load_cert_chain(closed.directory / "client.pem")
    return context


async def answers_hello(address: str, context: ssl.SSLContext | None) -> bool:
    """Whether a MongoDB answers the first message of a client."""
    body = bytes(5) + bson.encode({"hello": 1, "$db": "admin"})
    host, port = address.split(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    except OSError:
        return False
    try:
        writer.write(struct.pack("<iiii", 16 + len(body), 1, 0, 2013) + body)
        return bool(await reader.read(1))
    except OSError:
        return False
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def no_secret_is_written_down(data: Path, closed: Secure) -> None:
    own = {"operator.key": closed.token, "eventstore.password": (closed.directory / "eventstore.password").read_text()}
    written = "".join(log.read_text() for log in (data / "logs").glob("*.log"))
    for file, secret in own.items():
        assert secret not in written
        holders = [path.name for path in closed.directory.iterdir() if secret in path.read_text()]
        assert holders == [file]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in closed.directory.iterdir()}
    assert modes == {0o600}
