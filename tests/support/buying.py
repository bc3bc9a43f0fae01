"""What tests buy through the Python client."""

from client.sdk import OrderstreamClient
from protos.common.v1.types_pb2 import Money
from protos.orders.v1.commands_pb2 import NewLine
from tests.support.calling import HOME, fresh_email, fresh_sku


async def user(client: OrderstreamClient) -> str:
    return str((await client.users.RegisterUser(name="Ann", email=fresh_email())).user_id)


async def product(client: OrderstreamClient) -> str:
    sku = fresh_sku()
    await client.products.RegisterProduct(sku=sku, name="Tea", price=Money(amount_minor=350, currency="EUR"))
    await client.products.ActivateProduct(sku=sku)
    return sku


async def orders(client: OrderstreamClient, number: int) -> tuple[str, list[str], str]:
    """A customer, the ids of so many placed orders in the order of their creation, and the last token."""
    customer, sku, ids, token = await user(client), await product(client), [], ""
    for _ in range(number):
        made = await client.orders.CreateOrder(
            customer_id=customer, currency="EUR", lines=[NewLine(sku=sku, quantity=2)], shipping_address=HOME
        )
        placed = await client.orders.PlaceOrder(order_id=made.order_id)
        ids.append(made.order_id)
        token = placed.consistency_token
    return customer, ids, token
