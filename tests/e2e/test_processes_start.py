"""A shop that ran by hand takes processes into use: older orders are listed, and started with a plan."""

import asyncio
import json
from pathlib import Path
from typing import Any

from client.sdk import OrderstreamClient
from tests.support.buying import user
from tests.support.calling import HOME, euros, fresh_sku
from tests.support.command_line import invoke
from tests.support.eventually import eventually
from tests.support.processes import Stack, running, stack


async def orderstream(running_: Stack, processes: str, *arguments: str, code: int = 0) -> Any:
    servers = [f"--{role}={running_.members[role].ready['address']}" for role in ("queries", "projections")]
    typed = [*servers, f"--processes={processes}", *arguments]
    done = await asyncio.to_thread(invoke, typed)
    assert done.exit_code == code, (arguments, done.output)
    return json.loads(done.stdout) if "--json" in arguments else done.output


async def placed(shop: OrderstreamClient, sku: str) -> str:
    created = await shop.orders.CreateOrder(
        customer_id=await user(shop), currency="EUR", lines=[{"sku": sku, "quantity": 2}], shipping_address=HOME
    )
    await shop.orders.PlaceOrder(order_id=created.order_id)
    return str(created.order_id)


async def sold_by_hand(shop: OrderstreamClient, sku: str) -> str:
    """Confirmed and sent; the stock was drawn under a reservation of the shop's own."""
    order_id = await placed(shop, sku)
    await shop.orders.ConfirmOrder(order_id=order_id)
    await shop.orders.CreateShipment(order_id=order_id, shipment_id="p1")
    await shop.orders.DispatchShipment(order_id=order_id, shipment_id="p1", carrier="bpost")
    reservation = "0198c0de-0000-7000-8000-0000000000bb"
    await shop.products.ReserveStock(sku=sku, reservation_id=reservation, quantity=2)
    await shop.products.CommitReservation(sku=sku, reservation_id=reservation)
    return order_id


async def test_orders_of_a_shop_that_ran_by_hand_are_started_by_an_operator_only(tmp_path: Path) -> None:
    async with stack(tmp_path, processes=False) as shops, OrderstreamClient(shops.addresses) as shop:
        sku = fresh_sku()
        await shop.products.RegisterProduct(sku=sku, name="Tea", price=euros(350))
        await shop.products.ActivateProduct(sku=sku)
        await shop.products.ReceiveStock(sku=sku, quantity=10)
        older = await sold_by_hand(shop, sku)
        uris = {
            "ORDERSTREAM_EVENTSTORE_URI": shops.eventstore_uri,
            "ORDERSTREAM_MONGO_URI": shops.members["mongo"].ready["uri"],
        }
        with running("server", "processes", "--port", "0", environment=uris) as service:
            address = service.ready["address"]
            newer = await placed(shop, sku)

            async def status(order_id: str) -> str:
                printed = await orderstream(shops, address, "processes", "get", order_id, "--json")
                return str(printed["process"]["status"])

            async def shown() -> set[str]:
                listed = await orderstream(shops, address, "processes", "list", "--json")
                return {row["order_id"] for row in listed["processes"]}

            await eventually(shown, lambda now: {newer, older} <= now, within=30)
            await eventually(lambda: status(newer), lambda now: now == "PROCESS_STATUS_RUNNING", within=30)
            assert await status(older) == "PROCESS_STATUS_NOT_STARTED"
            listed = await orderstream(shops, address, "processes", "list", "--status", "not-started", "--json")
            assert [row["order_id"] for row in listed["processes"]] == [older]

            start = ("processes", "start", older, "--drawn", f"{sku}:2")
            plan = await orderstream(shops, address, *start, "--dry-run", "--json")
            assert [step["step"] for step in plan["steps"]] == [
                "START", "RESERVE_STOCK", "AUTHORISE_PAYMENT", "COMMIT_STOCK", "CAPTURE_PAYMENT",
            ]  # fmt: skip
            assert plan["steps"][1]["lines"] == [], "nothing is reserved: all was drawn by hand"
            await orderstream(shops, address, *start, "--yes")
            await shop.orders.ConfirmDelivery(order_id=older, shipment_id="p1")
            await eventually(lambda: status(older), lambda now: now == "PROCESS_STATUS_ENDED", within=30)
            sold = (await shop.orders.GetOrder(order_id=older)).order
            assert sold.payments.captured.amount_minor == 700
            left = (await shop.products.GetStock(sku=sku)).stock
            assert (left.on_hand, left.reserved) == (8, 2), "what was drawn by hand was not drawn again"
