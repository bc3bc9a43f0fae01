"""Something between a client and the event store that passes calls on, and can lose one half of them.

As balancers of gRPC do: the call looks open to the client, while nothing comes over it any more.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc

from core.eventstore.client import is_cancelling


class Gateway(grpc.GenericRpcHandler):
    """Passes calls on as bytes. A call that is lost stays open for the client."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._open: dict[Any, str] = {}
        self._lost: set[Any] = set()
        self.address = ""

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        method = details.method

        async def passed_on(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            call: Any = self._channel.stream_stream(method)(
                cast("Any", requests), metadata=context.invocation_metadata()
            )
            self._open[call] = method
            try:
                async for reply in call:
                    if call not in self._lost:
                        yield reply
            except asyncio.CancelledError:
                if is_cancelling():
                    raise
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()))
            finally:
                del self._open[call]
                call.cancel()
            if call in self._lost:
                await asyncio.Event().wait()  # until the client has had enough

        return grpc.stream_stream_rpc_method_handler(passed_on)

    def lose(self, method: str, *, hung_up: bool) -> None:
        """Nothing arrives any more over the open calls of a method. `hung_up`: the store gets their end."""
        for call in [call for call, name in self._open.items() if name.endswith(f"/{method}")]:
            self._lost.add(call)
            if hung_up:
                call.cancel()


@asynccontextmanager
async def gateway(to: str) -> AsyncIterator[Gateway]:
    """On a port of its own, before the store at an address."""
    async with grpc.aio.insecure_channel(to) as channel:
        between = Gateway(channel)
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((between,))
        between.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        try:
            yield between
        finally:
            await server.stop(None)
