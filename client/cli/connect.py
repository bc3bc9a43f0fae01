"""The addresses of the servers, from options and environment."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from client.cli.output import err, run
from client.sdk import Addresses, OrderstreamClient
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


TARGET = Target()


def call(work: Callable[[OrderstreamClient], Awaitable[T]]) -> T:
    """Run it with a connected client; a failure is one line and an exit code."""

    async def connected() -> T:
        async with OrderstreamClient(TARGET.addresses, actor=TARGET.actor, deadline=TARGET.deadline) as shop:
            return await work(shop)

    reply = run(connected())
    freshness = getattr(reply, "freshness", None)
    if freshness is not None and freshness.log_mismatch:
        err.print("the view is of another log: this may never have happened, until it is rebuilt", soft_wrap=True)
    return reply


async def health_of(address: str, service: str, role: str = "") -> int:
    """The health of one service of a process (`grpc.health.v1`). Raises `OrderstreamError`."""
    async with grpc.aio.insecure_channel(address) as channel:
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
