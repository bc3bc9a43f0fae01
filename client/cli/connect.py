"""The addresses of the servers, from options and environment."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from client.cli.output import err, fail, run
from client.sdk import Addresses, OrderstreamClient
from client.sdk.credentials import Tls, TokenProvider, channel_to
from client.sdk.errors import from_rpc_error

T = TypeVar("T")
HEALTH_WITHIN = 3.0  # seconds


@dataclass(slots=True)
class Target:
    """Set once from the options of `orderstream` itself."""

    addresses: Addresses = field(default_factory=Addresses)
    actor: str = ""
    deadline: float = 10.0
    wait: bool = False
    tls: Tls | None = None
    token: TokenProvider | str | None = None

    def client(self, *, actor: str = "", deadline: float | None = None) -> OrderstreamClient:
        """A client of these servers; the command ends if its files cannot be used."""
        return OrderstreamClient(
            self.addresses,
            actor=self.actor or actor,
            deadline=self.deadline if deadline is None else deadline,
            tls=self.tls,
            token=self.token,
        )


TARGET = Target()


def tls_of(ca: Path | None, certificate: Path | None, key: Path | None) -> Tls | None:
    """None without any of them; the command ends if they cannot be used."""
    if ca is None and certificate is None and key is None:
        return None
    tls = Tls(ca=ca, certificate=certificate, key=key)
    try:
        tls.credentials()
    except OSError as error:
        fail(f"cannot read {error.filename}: {error.strerror}", 2)
    except ValueError as error:
        fail(f"--tls-certificate and --tls-key: {error}", 2)
    return tls


def token_of(file: Path | None) -> TokenProvider | str | None:
    """Out of a file, else out of ORDERSTREAM_TOKEN; None without both."""
    if file is None:
        return os.environ.get("ORDERSTREAM_TOKEN") or None

    def read() -> str:
        try:
            return file.read_text().strip()
        except OSError as error:
            fail(f"cannot read {file}: {error.strerror}", 2)

    return read


def call(work: Callable[[OrderstreamClient], Awaitable[T]]) -> T:
    """Run it with a connected client; a failure is one line and an exit code."""

    async def connected() -> T:
        async with TARGET.client() as shop:
            return await work(shop)

    reply = run(connected())
    freshness = getattr(reply, "freshness", None)
    if freshness is not None and freshness.log_mismatch:
        err.print("the view is of another log: this may never have happened, until it is rebuilt", soft_wrap=True)
    return reply


async def health_of(address: str, service: str, role: str = "") -> int:
    """The health of one service of a process (`grpc.health.v1`). Raises `OrderstreamError`."""
    async with channel_to(address, TARGET.tls) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            reply = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=HEALTH_WITHIN)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, role, address) from error
    return int(reply.status)


RequestId = Annotated[
    str,
    typer.Option(help="A UUID; a repeat has no further effect. For another order, SKU or user it is another request."),
]
Expected = Annotated[int | None, typer.Option("--expected-revision", help="Refuse if it is at another revision.")]
Token = Annotated[str, typer.Option(help="A consistency token: wait until the answer reflects it.")]


def expecting(revision: int | None) -> dict[str, Any]:
    return {} if revision is None else {"expected_revision": revision}
