"""The minimal gRPC service: it answers with a constant. The other side of the query goal, in its own process."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc

from protos.orders.v1.queries_pb2 import GetOrderRequest, GetOrderResponse

SERVICE, METHOD = "bench.Echo", "Get"
PATH = f"/{SERVICE}/{METHOD}"


@contextlib.contextmanager
def echoing(reply: GetOrderResponse) -> Iterator[str]:
    """A server that answers every call with this; yields its address."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.echo", reply.SerializeToString().hex()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().decode().strip()
        process.stdin.close()
        process.wait()


async def _serve(raw: str) -> None:
    reply = GetOrderResponse.FromString(bytes.fromhex(raw))

    async def get(_: Any, __: Any) -> GetOrderResponse:
        return reply

    handler: Any = grpc.unary_unary_rpc_method_handler(
        get,
        request_deserializer=GetOrderRequest.FromString,
        response_serializer=GetOrderResponse.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
