"""An operator finds what is stuck, and why, and gives it a hand from the command line."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from client.sdk import OrderstreamClient
from protos.orders.v1.types_pb2 import OrderStatus, PaymentStatus
from tests.support.buying import user
from tests.support.calling import HOME, euros, fresh_sku
from tests.support.command_line import invoke
from tests.support.eventually import eventually
from tests.support.processes import Stack, stack

REFUSED = 19  # cents; the last two digits of an amount that is never captured


async def orderstream(running: Stack, *arguments: str, code: int = 0) -> Any:
    servers = [f"--{role}={running.members[role].ready['address']}" for role in ("queries", "processes")]
    done = await asyncio.to_thread(invoke, [*servers, *arguments])
    assert done.exit_code == code, (arguments, done.output)
    return json.loads(done.stdout) if "--json" in arguments else done.output


async def confirmed(shop: OrderstreamClient, price: int) -> str:
    """An order whose process has taken it as far as it gets before anything is sent."""
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
    return str(order_id)


async def bought(shop: OrderstreamClient, price: int) -> str:
    """An order whose only parcel has arrived."""
    order_id = await confirmed(shop, price)
    await shop.orders.CreateShipment(order_id=order_id, shipment_id="s1")
    await shop.orders.DispatchShipment(order_id=order_id, shipment_id="s1", carrier="bpost")
    await shop.orders.ConfirmDelivery(order_id=order_id, shipment_id="s1")
    return order_id


async def line_of(shop: OrderstreamClient, order_id: str) -> str:
    [line] = (await shop.orders.GetOrder(order_id=order_id)).order.lines
    return str(line.line_id)


async def stuck_at(running: Stack, order_id: str, step: str) -> dict[str, Any]:
    """Wait until the process of an order needs an operator at a step; what the command line prints about it."""

    async def look() -> list[dict[str, Any]]:
        printed = await orderstream(running, "processes", "list", "--status", "stuck", "--json")
        return [one for one in printed["processes"] if (one["order_id"], one["step"]) == (order_id, step)]

    [found] = await eventually(look, bool, within=60.0)
    return found


async def ended(running: Stack, order_id: str) -> str:
    """Wait for the end of an order's process; its outcome."""

    async def outcome() -> str:
        printed = await orderstream(running, "processes", "list", "--json")  # it may not be in the view yet
        return "".join(one["outcome"] for one in printed["processes"] if one["order_id"] == order_id)

    return await eventually(outcome, bool, within=60.0)


async def capture_by_hand(shop: OrderstreamClient, order_id: str) -> None:
    await shop.orders.CapturePayment(
        order_id=order_id, capture_id="by hand", authorisation_id="checkout", amount=euros(REFUSED)
    )


async def status(shop: OrderstreamClient, order_id: str, wanted: str) -> None:
    async def look() -> str:
        return OrderStatus.Name((await shop.orders.GetOrder(order_id=order_id)).order.status)

    await eventually(look, lambda now: now == wanted, within=60.0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """One for all tests: each has an order of its own."""
    with pytest.MonkeyPatch.context() as settings:
        settings.setenv("ORDERSTREAM_STEP_ATTEMPTS", "2")
        settings.setenv("ORDERSTREAM_FIRST_RETRY", "0.05")
        data, payments = tmp_path_factory.mktemp("stuck"), f"simulator?refuse={REFUSED}&refund_fails=100"
        async with stack(data, payments=payments) as everything:
            yield everything


@pytest_asyncio.fixture(loop_scope="module")
async def shop(running: Stack) -> AsyncIterator[OrderstreamClient]:
    async with OrderstreamClient(running.addresses, deadline=60.0, read_your_writes=True) as client:
        yield client


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_stuck_is_listed_with_its_step_and_goes_on_by_hand(
    running: Stack, shop: OrderstreamClient
) -> None:
    order_id = await bought(shop, REFUSED)
    found = await stuck_at(running, order_id, "CAPTURE_PAYMENT")
    assert found["subject"] == "s1"
    assert "refuses" in found["reason"]
    assert order_id[:12] in await orderstream(running, "processes", "list")  # a narrow terminal folds it

    await orderstream(running, "processes", "retry", order_id)
    await stuck_at(running, order_id, "CAPTURE_PAYMENT")
    await capture_by_hand(shop, order_id)
    await status(shop, order_id, "ORDER_STATUS_COMPLETED")
    assert await ended(running, order_id) == "COMPLETED"
    printed = await orderstream(running, "processes", "list", "--status", "stuck", "--json")
    assert order_id not in {process["order_id"] for process in printed["processes"]}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_step_that_was_seen_to_by_hand_is_skipped(running: Stack, shop: OrderstreamClient) -> None:
    order_id = await bought(shop, REFUSED)
    await stuck_at(running, order_id, "CAPTURE_PAYMENT")
    skip = ("processes", "skip", order_id)
    assert "--why" in await orderstream(running, *skip, "CAPTURE_PAYMENT", code=2)
    refused = await orderstream(running, *skip, "RESERVE_STOCK", "--why", "no need", code=3)
    assert "PROCESS_STEP_NOT_FAILED" in refused

    said = await orderstream(running, *skip, "CAPTURE_PAYMENT", "--why", "paid in cash")
    assert "done: at revision" in said
    await stuck_at(running, order_id, "COMPLETE_ORDER")  # the order still needs to record the money
    await capture_by_hand(shop, order_id)
    await orderstream(running, "processes", "retry", order_id)
    assert await ended(running, order_id) == "COMPLETED"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_refund_that_cannot_be_paid_is_stuck_with_its_amount_and_skipped(
    running: Stack, shop: OrderstreamClient
) -> None:
    order_id = await bought(shop, 350)
    await status(shop, order_id, "ORDER_STATUS_COMPLETED")
    await shop.orders.RequestReturn(order_id=order_id, return_id="r1", reason="broken")
    await shop.orders.ApproveReturn(order_id=order_id, return_id="r1")
    back = {"line_id": await line_of(shop, order_id), "quantity": 1, "condition": "RETURN_CONDITION_DAMAGED"}
    await shop.orders.ReceiveReturn(order_id=order_id, return_id="r1", lines=[back])
    found = await stuck_at(running, order_id, "REFUND_PAYMENT")
    assert (found["subject"], int(found["attempt"])) == ("r1~5", 5)
    assert "350 EUR (minor units) not refunded, 5 of 5 tries have failed" in found["reason"]

    await orderstream(running, "processes", "retry", order_id)

    async def tries() -> int:
        return len((await shop.orders.GetOrder(order_id=order_id)).order.payments.refunds)

    await eventually(tries, lambda now: now == 6, within=60.0)
    assert (await stuck_at(running, order_id, "REFUND_PAYMENT"))["subject"] == "r1~6"
    await orderstream(running, "processes", "skip", order_id, "REFUND_PAYMENT", "--why", "paid back in cash")

    async def payment() -> str:
        return PaymentStatus.Name((await shop.orders.GetOrder(order_id=order_id)).order.payment)

    await eventually(payment, lambda now: now == "PAYMENT_STATUS_REFUNDED", within=60.0)


@pytest.mark.asyncio(loop_scope="module")
async def test_an_order_of_which_nothing_was_sent_is_compensated(running: Stack, shop: OrderstreamClient) -> None:
    order_id = await confirmed(shop, 350)
    done = await orderstream(running, "processes", "compensate", order_id, "--why", "fraud", "--json")
    assert done["consistency_token"]
    assert await ended(running, order_id) == "CANCELLED"
    await status(shop, order_id, "ORDER_STATUS_CANCELLED")

    packed = await confirmed(shop, 350)
    await shop.orders.CreateShipment(order_id=packed, shipment_id="s1")
    refused = await orderstream(running, "processes", "compensate", packed, "--why", "too late", code=3)
    assert "PROCESS_HAS_SHIPPED" in refused
