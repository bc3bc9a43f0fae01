"""An operator finds what is stuck, and why, and gives it a hand from the command line."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from client.cli.main import app
from client.sdk import OrderstreamClient
from client.stack import Stack, stack
from protos.orders.v1.types_pb2 import OrderStatus
from tests.support.buying import user
from tests.support.calling import HOME, euros, fresh_sku
from tests.support.eventually import eventually

REFUSED = 19  # cents; the last two digits of an amount that is never captured


async def orderstream(running: Stack, *arguments: str) -> Any:
    servers = [f"--{role}={running.members[role].ready['address']}" for role in ("queries", "processes")]
    done = await asyncio.to_thread(CliRunner().invoke, app, [*servers, *arguments])
    assert done.exit_code == 0, (arguments, done.output)
    return json.loads(done.stdout) if "--json" in arguments else done.output


async def bought(shop: OrderstreamClient, price: int) -> str:
    """An order whose process has taken it as far as it gets by itself; its only parcel has arrived."""
    sku, customer = fresh_sku(), await user(shop)
    await shop.products.RegisterProduct(sku=sku, name="Tea", price=euros(price))
    await shop.products.ActivateProduct(sku=sku)
    await shop.products.ReceiveStock(sku=sku, quantity=1)
    order_id = (
        await shop.orders.CreateOrder(
            customer_id=customer, currency="EUR", lines=[{"sku": sku, "quantity": 1}], shipping_address=HOME
        )
    ).order_id
    await shop.orders.PlaceOrder(order_id=order_id)
    await status(shop, order_id, "ORDER_STATUS_CONFIRMED")
    await shop.orders.CreateShipment(order_id=order_id, shipment_id="s1")
    await shop.orders.DispatchShipment(order_id=order_id, shipment_id="s1", carrier="bpost")
    await shop.orders.ConfirmDelivery(order_id=order_id, shipment_id="s1")
    return order_id


async def status(shop: OrderstreamClient, order_id: str, wanted: str) -> None:
    async def look() -> str:
        return OrderStatus.Name((await shop.orders.GetOrder(order_id=order_id)).order.status)

    await eventually(look, lambda now: now == wanted, within=60.0)


async def test_what_is_stuck_is_listed_with_its_step_and_goes_on_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERSTREAM_STEP_ATTEMPTS", "2")
    monkeypatch.setenv("ORDERSTREAM_FIRST_RETRY", "0.05")
    async with (
        stack(tmp_path, payments=f"simulator?refuse={REFUSED}") as running,
        OrderstreamClient(running.addresses, deadline=60.0, read_your_writes=True) as shop,
    ):
        order_id = await bought(shop, REFUSED)

        async def stuck() -> list[dict[str, Any]]:
            told = await orderstream(running, "processes", "list", "--status", "stuck", "--json")
            return list(told["processes"])

        [found] = await eventually(stuck, bool, within=60.0)
        assert (found["order_id"], found["step"], found["subject"]) == (order_id, "CAPTURE_PAYMENT", "s1")
        assert "refuses" in found["reason"]
        assert order_id[:12] in await orderstream(running, "processes", "list")  # a narrow terminal folds it

        await orderstream(running, "processes", "retry", order_id)
        await eventually(stuck, bool, within=60.0)
        await shop.orders.CapturePayment(
            order_id=order_id, capture_id="by hand", authorisation_id="checkout", amount=euros(REFUSED)
        )
        await status(shop, order_id, "ORDER_STATUS_COMPLETED")

        async def outcome() -> str:
            told = await orderstream(running, "processes", "get", order_id, "--json")
            return str(told["process"]["outcome"])

        assert await eventually(outcome, bool, within=60.0) == "COMPLETED"
        assert await stuck() == []
