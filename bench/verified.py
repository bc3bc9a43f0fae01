"""What it costs that a process asks who calls: CPU of a command over an open port, with an API key and with a token.

Three command services in this process on one event store, and their clients. What asking takes is also measured by
itself, since it is less than what two rounds of commands differ by.
"""

import json
import secrets
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from uuid_utils import uuid7

from bench.measuring import Operation, Result, Side, Size, at_most, interleaved, rate
from bench.running import fresh_stack
from client.api_keys import new_key, toml_entry
from core.config import Settings
from core.process import configure_logging
from core.security.access import Access, require_access
from core.security.ports import Ports, ports_of
from protos.common.v1.types_pb2 import Money
from protos.products.v1 import commands_pb2 as pb
from protos.products.v1.commands_pb2_grpc import ProductCommandServiceStub
from server.app import serving

ISSUER, AUDIENCE, ROLE = "https://issuer.example", "bench", "shop.catalogue"
AT_ONCE = 16
MAX_SHARE = 0.05  # of the CPU of a command
CALLS = 20_000
METHOD = "/products.v1.ProductCommandService/RegisterProduct"
VALID_FOR = 3_600  # seconds


async def run(size: Size) -> Result:
    configure_logging("ERROR")  # the services run in this process, and standard output has the result
    with tempfile.TemporaryDirectory() as directory:
        async with fresh_stack() as running, AsyncExitStack() as stack:
            sides: dict[str, Side] = {}
            ways = _ways(Path(directory), running.eventstore_uri)
            for name, (settings, credential) in ways.items():
                address = await stack.enter_async_context(serving("commands", settings, 0))
                channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
                sides[name] = _side(register_product(channel, credential), size.operations)
            cpu = await interleaved(sides, size.rounds)
        asking = {name: await _asking(ports_of(settings), credential) for name, (settings, credential) in ways.items()}
    command = statistics.median(cpu["open"])
    what = "CPU of asking who calls, by {}, to that of a command"
    goals = [at_most("S1", what.format(name), [asking[name] / command], MAX_SHARE) for name in ("api key", "token")]
    median = {name: round(statistics.median(values), 1) for name, values in cpu.items()}
    return Result(goals, {"cpu_us": median, "asking_us": {name: round(us, 1) for name, us in asking.items()}})


class _Call:
    """The part of a call that the guard looks at."""

    def __init__(self, credential: str) -> None:
        self._metadata = (("user-agent", "grpc-python"), ("authorization", f"Bearer {credential}"))

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata


async def _asking(ports: Ports, credential: str) -> float:
    """Microseconds of CPU that a call takes longer, since the guard finds out who calls and counts its calls."""
    if ports.authenticator is None or ports.quotas is None:
        return 0.0
    call: Any = _Call(credential)
    access = Access(ROLE)
    began = time.process_time()
    for _ in range(CALLS):
        principal = await ports.authenticator.principal_of(call)
        require_access(access, principal, METHOD)
        with ports.quotas.admitted(principal.name, access.role):
            pass
    return (time.process_time() - began) * 1e6 / CALLS


def _ways(directory: Path, uri: str) -> Mapping[str, tuple[Settings, str]]:
    """By name: the settings of a service, and what its callers show."""
    key, private = new_key(), ec.generate_private_key(ec.SECP256R1())
    (directory / "keys.toml").write_text(toml_entry(key, "bench", [ROLE]))
    public = ECAlgorithm(ECAlgorithm.SHA256).to_jwk(private.public_key(), as_dict=True)
    (directory / "jwks.json").write_text(json.dumps({"keys": [{**public, "kid": "bench"}]}))
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "bench", "iat": now, "exp": now + VALID_FOR, "roles": [ROLE]}
    token = jwt.encode(claims, private, algorithm="ES256", headers={"kid": "bench"})
    base: dict[str, Any] = {"eventstore_uri": uri, "drain_delay": 0.0, "grace": 1.0, "max_writes_per_caller": 0.0}
    jwks: dict[str, Any] = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_jwks_file": directory / "jwks.json"}
    return {
        "open": (Settings(**base), ""),
        "api key": (Settings(**base, api_keys_file=directory / "keys.toml"), key),
        "token": (Settings(**base, **jwks), token),
    }


def register_product(channel: grpc.aio.Channel, credential: str) -> Operation:
    """A command; without a credential, of a caller that is not known."""
    stub: Any = ProductCommandServiceStub(channel)
    metadata = (("authorization", f"Bearer {credential}"),) if credential else ()

    async def register() -> None:
        request = pb.RegisterProductRequest(
            request_id=str(uuid7()),
            sku=f"bench-{secrets.token_hex(8)}",
            name="Tea",
            price=Money(amount_minor=350, currency="EUR"),
        )
        await stub.RegisterProduct(request, metadata=metadata, timeout=30)

    return register


def _side(register: Operation, operations: int) -> Side:
    async def cpu_us() -> float:
        began = time.process_time()
        await rate(register, operations, AT_ONCE)
        return (time.process_time() - began) * 1e6 / operations

    return cpu_us
