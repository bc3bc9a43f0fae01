"""The client: every RPC as a method, with request ids, deadlines and retries.

async with OrderstreamClient(Addresses()) as shop:
    reply = await shop.orders.CreateOrder(customer_id=ann, currency="EUR")
    await shop.orders.GetOrder(order_id=reply.order_id, consistency_token=reply.consistency_token)

With `read_your_writes=True` a query without a token uses that of the last command.
"""

import json
from dataclasses import dataclass

from client.sdk.calls import Caller, Session
from client.sdk.contexts import Exclusions, Operations, Orders, Policy, Processes, Products, Subscriptions, Users
from client.sdk.credentials import Tls, Token, TokenProvider, channel_to
from client.sdk.errors import OrderstreamError, Unavailable

DEFAULT_DEADLINE = 10.0  # seconds, for all attempts
SERVICE_CONFIG = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})  # over all addresses of a name
OPTIONS = (
    ("grpc.service_config", SERVICE_CONFIG),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """The addresses of the servers: `host:port` or any other target of gRPC. Calls use all addresses of a name in turn.

    Several servers without a name are `ipv4:10.0.0.1:50051,10.0.0.2:50051`.
    """

    commands: str = "127.0.0.1:50051"
    queries: str = "127.0.0.1:50052"
    projections: str = "127.0.0.1:50053"
    processes: str = "127.0.0.1:50054"


class OrderstreamClient:
    """`orders`, `products`, `users`, `processes` have the commands and queries of their context.

    `operations` has operators' actions on views, `subscriptions` those on subscription groups,
    and `exclusions` those on unreadable events. `policy` says who may call what.

    `token` is an API key, or a function that gives a token (it may be a coroutine). The function is called again once
    after a server has refused the token.
    """

    def __init__(
        self,
        addresses: Addresses,
        *,
        actor: str = "",
        deadline: float = DEFAULT_DEADLINE,
        read_your_writes: bool = False,
        tls: Tls | None = None,
        token: TokenProvider | str | None = None,
    ) -> None:
        self._channels = {
            role: channel_to(getattr(addresses, role), tls, OPTIONS)
            for role in ("commands", "queries", "projections", "processes")
        }
        caller = Caller(
            channels=self._channels,
            addresses={role: getattr(addresses, role) for role in self._channels},
            headers={"x-orderstream-actor": actor} if actor else {},
            deadline=deadline,
            token=None if token is None else Token(token),
            session=Session() if read_your_writes else None,
        )
        self.orders = Orders(caller)
        self.products = Products(caller)
        self.users = Users(caller)
        self.processes = Processes(caller)
        self.operations = Operations(caller)
        self.subscriptions = Subscriptions(caller)
        self.exclusions = Exclusions(caller)
        self.policy = Policy(caller)

    async def __aenter__(self) -> "OrderstreamClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        for channel in self._channels.values():
            await channel.close()


__all__ = ["Addresses", "OrderstreamClient", "OrderstreamError", "Tls", "Unavailable"]
