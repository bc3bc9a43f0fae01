"""The speed of this machine in this minute: an empty call and an fsync, as a reference for every figure."""

import os
import tempfile
import time

import grpc

from bench.echo import PATH, echoing
from bench.measuring import percentile
from protos.orders.v1.queries_pb2 import GetOrderRequest, GetOrderResponse

CALLS, SYNCS = 200, 20


async def minute() -> dict[str, float]:
    """Medians: an empty unary call there and back, and a page appended to a file and synced, both in µs."""
    return {"empty_call_us": await _empty_call(), "fsync_us": _fsync()}


async def _empty_call() -> float:
    with echoing(GetOrderResponse()) as address:
        async with grpc.aio.insecure_channel(address) as channel:
            call = channel.unary_unary(
                PATH,
                request_serializer=GetOrderRequest.SerializeToString,
                response_deserializer=GetOrderResponse.FromString,
            )
            taken = []
            for _ in range(CALLS):
                began = time.perf_counter()
                await call(GetOrderRequest())
                taken.append(time.perf_counter() - began)
    return round(percentile(taken, 0.5) * 1e6)


def _fsync() -> float:
    taken = []
    with tempfile.TemporaryFile() as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - began)
    return round(percentile(taken, 0.5) * 1e6)
