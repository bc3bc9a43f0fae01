"""The client: every RPC as a method, with request ids, deadlines and retries taken care of.

async with OrderstreamClient(Addresses()) as shop:
    reply = await shop.orders.CreateOrder(customer_id=ann, currency="EUR")
    await shop.orders.GetOrder(order_id=reply.order_id, consistency_token=reply.consistency_token)

With `read_your_writes=True` a query that is given no token takes that of the last command answered.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from uuid_utils import uuid7

from client.errors import OrderstreamError, Unavailable, from_rpc_error
from protos.operations.v1 import projections_pb2
from protos.orders.v1 import commands_pb2 as orders_commands
from protos.orders.v1 import queries_pb2 as orders_queries
from protos.products.v1 import commands_pb2 as products_commands
from protos.products.v1 import queries_pb2 as products_queries
from protos.users.v1 import commands_pb2 as users_commands
from protos.users.v1 import queries_pb2 as users_queries

DEFAULT_DEADLINE = 10.0  # seconds, over all tries
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds between tries
WORTH_A_RETRY = {grpc.StatusCode.UNAVAILABLE}
REASONS_WORTH_A_RETRY = {"CONTENTION"}
OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the three servers listen, as `host:port`."""

    commands: str = "127.0.0.1:50051"
    queries: str = "127.0.0.1:50052"
    projections: str = "127.0.0.1:50053"


class OrderstreamClient:
    """`orders`, `products`, `users` have the commands and queries of their context, `operations` the projections'."""

    def __init__(
        self,
        addresses: Addresses,
        *,
        actor: str = "",
        deadline: float = DEFAULT_DEADLINE,
        read_your_writes: bool = False,
    ) -> None:
        self._channels = {
            role: grpc.aio.insecure_channel(getattr(addresses, role), options=OPTIONS)
            for role in ("commands", "queries", "projections")
        }
        headers = {"x-orderstream-actor": actor} if actor else {}
        session = Session() if read_your_writes else None

        def context(**files: Any) -> Context:
            services = [
                (self._channels[role], service)
                for role, file in files.items()
                for service in file.DESCRIPTOR.services_by_name.values()
            ]
            return Context(services, headers, deadline, session)

        self.orders = context(commands=orders_commands, queries=orders_queries)
        self.products = context(commands=products_commands, queries=products_queries)
        self.users = context(commands=users_commands, queries=users_queries)
        self.operations = context(projections=projections_pb2)

    async def __aenter__(self) -> "OrderstreamClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        for channel in self._channels.values():
            await channel.close()


@dataclass(slots=True)
class Session:
    """What the last command answered, kept for the queries after it."""

    consistency_token: str = ""


class Context:
    """The RPCs of one context, by their names: fields as keywords, the reply's message as result."""

    def __init__(
        self,
        services: list[tuple[grpc.aio.Channel, ServiceDescriptor]],
        headers: Mapping[str, str],
        deadline: float,
        session: Session | None = None,
    ) -> None:
        self._methods = {
            method.name: _Method(channel, method, headers, deadline, session)
            for channel, service in services
            for method in service.methods
        }

    def __getattr__(self, name: str) -> "_Method":
        try:
            return self._methods[name]
        except KeyError:
            raise AttributeError(f"there is no RPC {name}; there are {', '.join(sorted(self._methods))}") from None

    async def pages(self, name: str, **fields: Any) -> AsyncIterator[Any]:
        """Every page of a list, one reply at a time."""
        while True:
            reply = await self._methods[name](**fields)
            yield reply
            if not reply.next_page_token:
                return
            fields["page_token"] = reply.next_page_token


class _Method:
    """One RPC. A command gets a request id unless one is given, and keeps it over all tries."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        method: MethodDescriptor,
        headers: Mapping[str, str],
        deadline: float,
        session: Session | None,
    ) -> None:
        self._session = session
        self._takes_token = "consistency_token" in method.input_type.fields_by_name
        self._request: Any = GetMessageClass(method.input_type)
        self._is_command = "request_id" in method.input_type.fields_by_name
        self._headers = tuple(headers.items())
        self._deadline = deadline
        path = f"/{method.containing_service.full_name}/{method.name}"
        make = channel.unary_stream if method.server_streaming else channel.unary_unary
        self._call: Any = make(
            path,
            request_serializer=self._request.SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )

    async def __call__(self, *, deadline: float | None = None, **fields: Any) -> Any:
        """The reply; raises a leaf of `OrderstreamError`. `deadline` is in seconds, over all tries."""
        request = self._build(fields)
        until = time.monotonic() + (self._deadline if deadline is None else deadline)
        pause = FIRST_PAUSE
        while True:
            try:
                reply = await self._call(request, timeout=max(0.001, until - time.monotonic()), metadata=self._headers)
            except grpc.aio.AioRpcError as error:
                failure = from_rpc_error(error)
                again = failure.code in WORTH_A_RETRY or failure.reason in REASONS_WORTH_A_RETRY
                if not again or time.monotonic() + pause >= until:
                    raise failure from error
            else:
                if self._session is not None and self._is_command:
                    self._session.consistency_token = reply.consistency_token
                return reply
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  # jitter
            pause = min(pause * 2, LONGEST_PAUSE)

    async def stream(self, *, deadline: float | None = None, **fields: Any) -> AsyncIterator[Any]:
        """The messages of a streaming RPC, as they come."""
        try:
            async for message in self._call(self._build(fields), timeout=deadline, metadata=self._headers):
                yield message
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    def _build(self, fields: dict[str, Any]) -> Any:
        if self._is_command and not fields.get("request_id"):
            fields = {**fields, "request_id": str(uuid7())}
        if self._session is not None and self._takes_token and not fields.get("consistency_token"):
            fields = {**fields, "consistency_token": self._session.consistency_token}
        return self._request(**fields)


__all__ = ["Addresses", "OrderstreamClient", "OrderstreamError", "Unavailable"]
