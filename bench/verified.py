"""What it costs that a process asks who calls: the guard of all calls, with an API key and with a token, and open.

The goal is the CPU that the guard takes longer, to that of a command in the service, round by round. The guard runs by
itself for that, on the requests of a command and without gRPC: it takes less than what two rounds of commands differ
by. Commands from end to end, over an open port and over closed ones, are shown beside it; their clients and services
are in this process.
"""

import json
import secrets
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from uuid_utils import uuid7

from bench.measuring import Operation, Result, Side, Size, at_most, interleaved, median, rate, ratios
from bench.running import fresh_stack
from client.api_keys import new_key, toml_entry
from client.local.processor_time import cpu_seconds
from core.config import Settings
from core.process import configure_logging
from core.rpc.call_guard import CallGuard, CallLimits
from core.security.ports import Ports, ports_of
from protos.common.v1.types_pb2 import Money
from protos.products.v1 import commands_pb2 as pb
from protos.products.v1.commands_pb2_grpc import ProductCommandServiceStub
from server.app import serving

ISSUER, AUDIENCE, ROLE = "https://issuer.example", "bench", "shop.catalogue"
AT_ONCE = 16
MAX_SHARE = 0.05  # of the CPU of a command
CALLS = 5_000  # through the guard, in a round
SERVICE = "products.v1.ProductCommandService"
METHOD = f"/{SERVICE}/RegisterProduct"
DEADLINE = 30.0  # seconds
LIMITS = CallLimits(default_deadline=DEADLINE, max_deadline=DEADLINE, max_calls=1_000, max_request_size=2**18)
MANY = 1e6  # calls a second that a caller may have: none is refused
WHAT = "CPU of the guard by which it asks who calls, with {}, to that of a command in the service"
VALID_FOR = 3_600  # seconds


async def run(size: Size) -> Result:
    configure_logging("ERROR")  # the services run in this process, and standard output has the result
    with tempfile.TemporaryDirectory() as directory:
        async with fresh_stack() as running, AsyncExitStack() as stack:
            ways = _ways(Path(directory), running.eventstore_uri)
            service = running.members["commands"]
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(service.ready["address"]))
            sides = {"command": _command(register_product(channel, ""), service.pid, size.operations)}
            for name, (settings, credential) in ways.items():
                sides[name] = _guarded(await _handler(ports_of(settings)), credential)
            cpu = await interleaved(sides, size.rounds)
            ends: dict[str, Side] = {}
            for name, (settings, credential) in ways.items():
                address = await stack.enter_async_context(serving("commands", settings, 0))
                channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
                ends[name] = _end_to_end(register_product(channel, credential), size.operations)
            end_to_end = await interleaved(ends, size.rounds)
    return Result(
        [at_most("S1", WHAT.format(name), _shares(cpu, name), MAX_SHARE) for name in ("api key", "token")],
        {
            "cpu_us": {name: median(values, 1) for name, values in cpu.items()},
            "end_to_end_cpu_us": {name: median(values, 1) for name, values in end_to_end.items()},
            "end_to_end": {
                name: _spread(ratios(end_to_end[name], end_to_end["open"])) for name in ("api key", "token")
            },
        },
    )


def _shares(cpu: Mapping[str, Sequence[float]], name: str) -> list[float]:
    """Of the CPU of a command, by round."""
    rounds = zip(cpu[name], cpu["open"], cpu["command"], strict=True)
    return [(asking - open_) / command for asking, open_, command in rounds]


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": median(values, 3), "low": round(min(values), 3), "high": round(max(values), 3)}


class _Call:
    """The part of a call that the guard looks at."""

    def __init__(self, credential: str) -> None:
        shown = (("authorization", f"Bearer {credential}"),) if credential else ()
        self._metadata = (("user-agent", "grpc-python"), *shown)

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    def time_remaining(self) -> float:
        return DEADLINE


async def _handler(ports: Ports) -> Any:
    """What gRPC would call for a command: the guard, with a command that does nothing."""
    guard = CallGuard(frozenset({SERVICE}), LIMITS, authenticator=ports.authenticator, quotas=ports.quotas)

    async def nothing(_request: Any, _context: Any) -> pb.RegisterProductResponse:
        return pb.RegisterProductResponse()

    async def found(_details: Any) -> Any:
        parse: Any = pb.RegisterProductRequest.FromString
        return grpc.unary_unary_rpc_method_handler(nothing, request_deserializer=parse)

    details: Any = SimpleNamespace(method=METHOD)
    return await guard.intercept_service(found, details)


def _guarded(handler: Any, credential: str) -> Side:
    """CPU of the guard for a call, in microseconds."""
    call, raw = _Call(credential), a_product().SerializeToString()

    async def cpu_us() -> float:
        began = time.process_time()
        for _ in range(CALLS):
            await handler.unary_unary(handler.request_deserializer(raw), call)
        return (time.process_time() - began) * 1e6 / CALLS

    return cpu_us


def _command(register: Operation, pid: int, operations: int) -> Side:
    """CPU of the service for a command, in microseconds."""

    async def cpu_us() -> float:
        began = cpu_seconds(pid)
        await rate(register, operations, AT_ONCE)
        return (cpu_seconds(pid) - began) * 1e6 / operations

    return cpu_us


def _ways(directory: Path, uri: str) -> Mapping[str, tuple[Settings, str]]:
    """By name: the settings of a service, and what its callers show."""
    key, private = new_key(), ec.generate_private_key(ec.SECP256R1())
    (directory / "keys.toml").write_text(toml_entry(key, "bench", [ROLE]))
    public = ECAlgorithm(ECAlgorithm.SHA256).to_jwk(private.public_key(), as_dict=True)
    (directory / "jwks.json").write_text(json.dumps({"keys": [{**public, "kid": "bench"}]}))
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "bench", "iat": now, "exp": now + VALID_FOR, "roles": [ROLE]}
    token = jwt.encode(claims, private, algorithm="ES256", headers={"kid": "bench"})
    base: dict[str, Any] = {"eventstore_uri": uri, "drain_delay": 0.0, "grace": 1.0, "max_writes_per_caller": MANY}
    jwks: dict[str, Any] = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_jwks_file": directory / "jwks.json"}
    return {
        "open": (Settings(**base), ""),
        "api key": (Settings(**base, api_keys_file=directory / "keys.toml"), key),
        "token": (Settings(**base, **jwks), token),
    }


def a_product() -> pb.RegisterProductRequest:
    return pb.RegisterProductRequest(
        request_id=str(uuid7()),
        sku=f"bench-{secrets.token_hex(8)}",
        name="Tea",
        price=Money(amount_minor=350, currency="EUR"),
    )


def register_product(channel: grpc.aio.Channel, credential: str) -> Operation:
    """A command; without a credential, of a caller that is not known."""
    stub: Any = ProductCommandServiceStub(channel)
    metadata = (("authorization", f"Bearer {credential}"),) if credential else ()

    async def register() -> None:
        await stub.RegisterProduct(a_product(), metadata=metadata, timeout=DEADLINE)

    return register


def _end_to_end(register: Operation, operations: int) -> Side:
    """CPU of a command with its client, in microseconds."""

    async def cpu_us() -> float:
        began = time.process_time()
        await rate(register, operations, AT_ONCE)
        return (time.process_time() - began) * 1e6 / operations

    return cpu_us
