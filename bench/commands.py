"""Commands through the service against raw appends of esdbclient: the same node, the same events, the same rounds.

G1 at 128 in flight; G2 latencies, one at a time and at 128. Both sides write one event of about the same size to a
stream of its own, durably. The command goes through one hop more, the service.
"""

from typing import Any

import grpc
from esdbclient import NewEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from uuid_utils import uuid7

from bench.measuring import (
    Operation,
    Result,
    Size,
    at_least,
    at_most,
    interleaved,
    latencies,
    latency_summary,
    median,
    open_loop,
    percentile,
    rate,
    ratios,
    schedule,
)
from bench.processes import Meter
from bench.running import fresh_stack, pids
from client.local.stack import Stack
from protos.common.v1.types_pb2 import Money
from protos.products.v1.commands_pb2 import RegisterProductRequest
from protos.products.v1.commands_pb2_grpc import ProductCommandServiceStub

AT_ONCE = 128
DEADLINE = 60.0  # seconds
DATA = (
    b'{"sku":"0198c0de-0000-7000-8000-000000000001","name":"Tea","price":{"amount_minor":350,"currency":"EUR"},'
    b'"at":"2026-03-01T12:00:00Z"}'
)
METADATA = b'{"requestId":"0198c0de-0000-7000-8000-000000000001","payloadHash":"%s","schemaVersion":1}' % (b"0" * 300)


async def run(size: Size) -> Result:
    async with fresh_stack() as running:
        await running.members["projections"].stop()  # the write side alone
        return await measure(running, size)


async def measure(running: Stack, size: Size) -> Result:
    members = running.members
    raw = AsyncEventStoreDBClient(members["eventstore"].ready["uri"])
    await raw.connect()
    async with grpc.aio.insecure_channel(members["commands"].ready["address"]) as channel:
        command, append = register_product(channel), raw_append(raw)
        meters = {
            "command": Meter(pids(running, "commands", "eventstore")),
            "append": Meter(pids(running, "eventstore")),
        }

        async def throughput(name: str, operation: Operation) -> float:
            meters[name].start()
            done = await rate(operation, size.operations, AT_ONCE)
            meters[name].stop(size.operations)
            return done

        async def alone(operation: Operation) -> float:
            return percentile(await latencies(operation, max(20, size.operations // 8)), 0.5)

        async def crowded(operation: Operation) -> float:
            return percentile(await latencies(operation, size.operations, AT_ONCE), 0.99)

        rates = await interleaved(
            {"command": lambda: throughput("command", command), "append": lambda: throughput("append", append)},
            size.rounds,
        )
        p50 = await interleaved({"command": lambda: alone(command), "append": lambda: alone(append)}, size.rounds)
        p99 = await interleaved({"command": lambda: crowded(command), "append": lambda: crowded(append)}, size.rounds)
        half = median(rates["command"]) / 2
        open_load = latency_summary(await open_loop(command, schedule(half, size.seconds)))
    await raw.close()
    what = "commands/s over raw appends/s at 128 at once"
    figures: dict[str, Any] = {
        "commands_per_second": median(rates["command"]),
        "appends_per_second": median(rates["append"]),
        "command_p50_ms": median([s * 1000 for s in p50["command"]], 3),
        "append_p50_ms": median([s * 1000 for s in p50["append"]], 3),
        "command_p99_at_128_ms": median([s * 1000 for s in p99["command"]], 1),
        "append_p99_at_128_ms": median([s * 1000 for s in p99["append"]], 1),
        "open_load": {"per_second": round(half), **open_load},
        "cpu_us_per_command": meters["command"].per_operation(),
        "cpu_us_per_append": meters["append"].per_operation(),
    }
    return Result(
        [
            at_least("G1", what, ratios(rates["command"], rates["append"]), 0.70),
            at_most("G2", "command p50 over append p50, alone", ratios(p50["command"], p50["append"]), 1.0),
            at_most("G2", "command p99 over append p99 at 128 at once", ratios(p99["command"], p99["append"]), 0.9),
        ],
        figures,
    )


def register_product(channel: grpc.aio.Channel) -> Operation:
    """One command that opens a stream with one append, as the other side does, through the generated stub."""
    service: Any = ProductCommandServiceStub(channel)

    async def command() -> None:
        price = Money(amount_minor=350, currency="EUR")
        request = RegisterProductRequest(request_id=str(uuid7()), sku=str(uuid7()), name="Tea", price=price)
        await service.RegisterProduct(request, timeout=DEADLINE)

    return command


def raw_append(client: AsyncEventStoreDBClient) -> Operation:
    """One event to a stream of its own, as esdbclient does it."""

    async def append() -> None:
        event = NewEvent(type="ProductRegistered", data=DATA, metadata=METADATA)
        await client.append_to_stream(f"raw-{uuid7()}", current_version=StreamState.NO_STREAM, events=[event])

    return append
