"""Calling our services the way any client does: stubs over a channel, failures as status and reason."""

import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from uuid_utils import uuid7

from protos.common.v1.types_pb2 import Address, Money
from protos.orders.v1 import commands_pb2 as orders_pb
from protos.orders.v1 import commands_pb2_grpc as orders_grpc
from protos.products.v1 import commands_pb2 as products_pb
from protos.products.v1 import commands_pb2_grpc as products_grpc
from protos.users.v1 import commands_pb2 as users_pb
from protos.users.v1 import commands_pb2_grpc as users_grpc

HOME = Address(name="Ann", line1="1 High Street", city="Ghent", postal_code="9000", country="BE")
DEADLINE = 20.0  # seconds
POLICY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
# as every client does: on a starved machine the event store may not answer in time
RETRIES = [("grpc.service_config", json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": POLICY}]}))]


def fresh_id() -> str:
    return str(uuid7())


def fresh_email() -> str:
    return f"ann-{uuid7().hex}@example.org"


def fresh_sku() -> str:
    return f"tea-{uuid7().hex[-12:]}"


def euros(amount_minor: int) -> Money:
    return Money(amount_minor=amount_minor, currency="EUR")


def done_before(first: Any) -> Any:
    """What a repeat of the call is answered that was first answered with this."""
    assert not first.is_repeat
    again = type(first)()
    again.CopyFrom(first)
    again.is_repeat = True
    return again


@dataclass(frozen=True)
class Refusal:
    """How a call failed, as a program sees it."""

    code: grpc.StatusCode
    reason: str
    metadata: dict[str, str]
    fields: tuple[str, ...]
    retry: bool
    text: str


async def refusal(call: Awaitable[Any]) -> Refusal:
    """The call must fail; what it fails with."""
    try:
        reply = await call
    except grpc.aio.AioRpcError as error:
        return refusal_of(error)
    raise AssertionError(f"it was not refused but answered {reply}")


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), False
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        detail.Unpack(info)
        detail.Unpack(bad)
        retry = retry or detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR)
    fields = tuple(violation.field for violation in bad.field_violations)
    return Refusal(error.code(), info.reason, dict(info.metadata), fields, retry, error.details() or "")


class Shop:
    """Short words for what tests do over and over. Each call makes a new request id unless one is given."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.orders: Any = orders_grpc.OrderCommandServiceStub(channel)
        self.products: Any = products_grpc.ProductCommandServiceStub(channel)
        self.users: Any = users_grpc.UserCommandServiceStub(channel)

    async def user(self) -> str:
        request = users_pb.RegisterUserRequest(request_id=fresh_id(), name="Ann", email=fresh_email())
        return str((await self.users.RegisterUser(request, timeout=DEADLINE)).user_id)

    async def product(self, price: int = 350, sku: str | None = None) -> str:
        sku = sku or fresh_sku()
        register = products_pb.RegisterProductRequest(request_id=fresh_id(), sku=sku, name="Tea", price=euros(price))
        await self.products.RegisterProduct(register, timeout=DEADLINE)
        activate = products_pb.ActivateProductRequest(request_id=fresh_id(), sku=sku)
        await self.products.ActivateProduct(activate, timeout=DEADLINE)
        return sku

    async def price(self, sku: str, price: int) -> Any:
        request = products_pb.ChangePriceRequest(request_id=fresh_id(), sku=sku, price=euros(price))
        return await self.products.ChangePrice(request, timeout=DEADLINE)

    async def draft(self, *skus: str, quantity: int = 2, customer_id: str | None = None) -> str:
        request = orders_pb.CreateOrderRequest(
            request_id=fresh_id(),
            customer_id=customer_id or await self.user(),
            currency="EUR",
            lines=[orders_pb.NewLine(sku=sku, quantity=quantity) for sku in skus],
            shipping_address=HOME,
        )
        return str((await self.orders.CreateOrder(request, timeout=DEADLINE)).order_id)

    async def place(self, order_id: str) -> Any:
        request = orders_pb.PlaceOrderRequest(request_id=fresh_id(), order_id=order_id)
        return await self.orders.PlaceOrder(request, timeout=DEADLINE)

    async def placed(self, *skus: str, quantity: int = 2, customer_id: str | None = None) -> str:
        order_id = await self.draft(*skus or (await self.product(),), quantity=quantity, customer_id=customer_id)
        await self.place(order_id)
        return order_id

    async def confirm(self, order_id: str) -> Any:
        request = orders_pb.ConfirmOrderRequest(request_id=fresh_id(), order_id=order_id)
        return await self.orders.ConfirmOrder(request, timeout=DEADLINE)

    async def cancel(self, order_id: str) -> Any:
        request = orders_pb.CancelOrderRequest(request_id=fresh_id(), order_id=order_id, reason="changed my mind")
        return await self.orders.CancelOrder(request, timeout=DEADLINE)


@asynccontextmanager
async def shop_at(address: str) -> AsyncIterator[Shop]:
    async with grpc.aio.insecure_channel(address, options=RETRIES) as channel:
        yield Shop(channel)
