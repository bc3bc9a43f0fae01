"""Orders are brought to their end by the processes, over a real subscription group and real timers."""

import json
from typing import Any

from core.config import Settings
from core.domain.order import ORDER
from core.domain.order.events import PaymentCaptured
from core.domain.order.state import Completed
from core.domain.stock import STOCK
from core.eventstore.store import EventStore
from protos.orders.v1 import commands_pb2 as orders_pb
from protos.orders.v1.types_pb2 import RETURN_CONDITION_DAMAGED as DAMAGED
from protos.orders.v1.types_pb2 import RETURN_CONDITION_RESALEABLE as RESALEABLE
from protos.orders.v1.types_pb2 import ReceivedQuantity
from protos.processes.v1 import commands_pb2 as pb
from server.processes.command_sender import ACTOR
from tests.integration.processes.conftest import World, world_of
from tests.support.calling import DEADLINE, fresh_id, refusal, shop_at


async def test_a_placed_order_is_reserved_authorised_and_confirmed(world: World) -> None:
    sku = await world.product_in_stock(10)
    order_id = await world.shop.placed(sku, quantity=2)
    types = await world.until(f"order-{order_id}", "OrderConfirmed")
    assert types[-2:] == ["PaymentAuthorised", "OrderConfirmed"]
    assert await world.types_in(f"checkout-{order_id}") == ["CheckoutStartedV2", "CheckoutStockReserved"]
    stock = STOCK.fold(await world.decoded(f"stock-{sku}"))
    assert (stock.on_hand, stock.reserved) == (10, 2)


async def test_what_cannot_be_reserved_is_rejected_with_the_reason_and_nothing_is_left_reserved(world: World) -> None:
    plenty, short = await world.product_in_stock(10), await world.product_in_stock(1)
    order_id = await world.shop.placed(plenty, short, quantity=2)
    await world.until(f"checkout-{order_id}", "CheckoutEnded")
    rejected = (await world.decoded(f"order-{order_id}"))[-1]
    assert rejected.reason.startswith("OUT_OF_STOCK")
    for sku in (plenty, short):
        assert STOCK.fold(await world.decoded(f"stock-{sku}")).reserved == 0


async def test_an_order_cancelled_after_its_confirmation_gives_stock_and_money_back(world: World) -> None:
    sku = await world.product_in_stock(10)
    order_id = await world.shop.placed(sku)
    await world.until(f"order-{order_id}", "OrderConfirmed")
    await world.shop.cancel(order_id)
    await world.until(f"checkout-{order_id}", "CheckoutEnded")
    assert (await world.types_in(f"order-{order_id}"))[-1] == "PaymentVoided"
    assert STOCK.fold(await world.decoded(f"stock-{sku}")).available == 10


async def test_what_is_sent_leaves_the_stock_and_is_paid_for_and_what_has_arrived_is_complete(world: World) -> None:
    sku = await world.product_in_stock(10)
    order_id = await world.shop.placed(sku, quantity=5)
    await world.until(f"order-{order_id}", "OrderConfirmed")
    for shipment_id, units in (("s1", 2), ("s2", 3)):
        await world.send(order_id, shipment_id, sku, units)
    await world.until(f"checkout-{order_id}", "CheckoutEnded")
    types = await world.types_in(f"order-{order_id}")
    assert (types.count("PaymentCaptured"), types[-1]) == (2, "OrderCompleted")
    stock = STOCK.fold(await world.decoded(f"stock-{sku}"))
    assert (stock.on_hand, stock.reserved) == (5, 0)


async def test_what_comes_back_is_in_stock_again_and_paid_back(world: World) -> None:
    sku = await world.product_in_stock(10)
    order_id = await world.shop.placed(sku, quantity=5)
    await world.until(f"order-{order_id}", "OrderConfirmed")
    await world.send(order_id, "s1", sku, 5)
    await world.until(f"checkout-{order_id}", "CheckoutEnded")
    await world.take_back(order_id, "r1", (sku, 2, RESALEABLE), (sku, 1, DAMAGED))
    await world.until(f"order-{order_id}", "PaymentRefunded")
    refunded = (await world.decoded(f"order-{order_id}"))[-1]
    assert refunded.amount.amount_minor == 3 * 350
    stock = STOCK.fold(await world.decoded(f"stock-{sku}"))
    assert (stock.on_hand, stock.reserved) == (7, 0)


async def test_a_lost_parcel_is_sent_again_and_paid_once(world: World) -> None:
    sku = await world.product_in_stock(10)
    order_id = await world.shop.placed(sku, quantity=3)
    await world.until(f"order-{order_id}", "OrderConfirmed")
    await world.hand_over(order_id, "s1")
    await world.until(f"order-{order_id}", "PaymentCaptured")
    await world.lose(order_id, "s1")
    await world.until(f"checkout-{order_id}", "CheckoutStockReservedAgain")
    stock = STOCK.fold(await world.decoded(f"stock-{sku}"))
    assert (stock.on_hand, stock.reserved) == (7, 3)
    await world.send(order_id, "s2", sku, 3)
    await world.until(f"checkout-{order_id}", "CheckoutEnded")
    types = await world.types_in(f"order-{order_id}")
    assert (types.count("PaymentCaptured"), types[-1]) == (1, "OrderCompleted")
    stock = STOCK.fold(await world.decoded(f"stock-{sku}"))
    assert (stock.on_hand, stock.reserved) == (4, 0)


async def test_a_refused_parcel_that_is_back_is_in_stock_again_also_after_the_order_was_cancelled(world: World) -> None:
    sku = await world.product_in_stock(10)
    order_id = await world.shop.placed(sku, quantity=3)
    await world.until(f"order-{order_id}", "OrderConfirmed")
    await world.hand_over(order_id, "s1")
    named: Any = {"order_id": order_id, "shipment_id": "s1"}
    refused = orders_pb.RecordDeliveryRefusalRequest(request_id=fresh_id(), reason="nobody of that name", **named)
    await world.shop.orders.RecordDeliveryRefusal(refused, timeout=DEADLINE)
    await world.lose(order_id, "s1")
    await world.shop.cancel(order_id)
    await world.until(f"checkout-{order_id}", "CheckoutEnded")
    assert (await world.decoded(f"order-{order_id}"))[-1].amount.amount_minor == 3 * 350, "refunded"
    back = [ReceivedQuantity(line_id=sku, quantity=2, condition=RESALEABLE)]
    received = orders_pb.ReceiveReturnedShipmentRequest(request_id=fresh_id(), lines=back, **named)
    await world.shop.orders.ReceiveReturnedShipment(received, timeout=DEADLINE)
    await world.until(f"checkout-{order_id}", "CheckoutShipmentRestocked")
    stock = STOCK.fold(await world.decoded(f"stock-{sku}"))
    assert (stock.on_hand, stock.reserved) == (9, 0)


async def test_units_that_are_cancelled_are_not_reserved_any_more_and_not_paid_for(world: World) -> None:
    sku = await world.product_in_stock(10)
    order_id = await world.shop.placed(sku, quantity=5)
    await world.until(f"order-{order_id}", "OrderConfirmed")
    off = orders_pb.CancelLineQuantityRequest(
        request_id=fresh_id(), order_id=order_id, cancellation_id="c1", line_id=sku, quantity=2, reason="too many"
    )
    await world.shop.orders.CancelLineQuantity(off, timeout=DEADLINE)
    await world.until(f"checkout-{order_id}", "CheckoutStockTrimmed")
    assert STOCK.fold(await world.decoded(f"stock-{sku}")).reserved == 3
    await world.send(order_id, "s1", sku, 3)
    await world.until(f"checkout-{order_id}", "CheckoutEnded")
    [captured] = [x for x in await world.decoded(f"order-{order_id}") if isinstance(x, PaymentCaptured)]
    assert captured.amount.amount_minor == 3 * 350
    stock = STOCK.fold(await world.decoded(f"stock-{sku}"))
    assert (stock.on_hand, stock.reserved) == (7, 0)


async def test_a_step_reports_which_event_it_answers_and_in_which_conversation(world: World) -> None:
    sku = await world.product_in_stock(10)
    order_id = await world.shop.placed(sku)
    await world.until(f"order-{order_id}", "OrderConfirmed")
    by_type = {event.type: event for event in await world.events(f"order-{order_id}")}
    confirmed = json.loads(by_type["OrderConfirmed"].metadata)
    [placed] = [event for name, event in by_type.items() if name.startswith("OrderPlaced")]
    assert confirmed["$causationId"] == str(placed.id)
    assert confirmed["$correlationId"] == json.loads(placed.metadata)["$correlationId"]
    assert confirmed["actor"] == ACTOR


async def test_several_processes_share_the_orders_and_what_one_leaves_the_others_finish(
    settings: Settings, commands: str, log: EventStore
) -> None:
    async with world_of(settings, commands, log) as world:
        sku = await world.product_in_stock(40)
        async with world_of(settings, commands, log), world_of(settings, commands, log):
            orders = [await world.shop.placed(sku, quantity=1) for _ in range(12)]
        for order_id in orders:
            types = await world.until(f"order-{order_id}", "OrderConfirmed")
            assert (types.count("PaymentAuthorised"), types.count("OrderConfirmed")) == (1, 1)
        stock = STOCK.fold(await world.decoded(f"stock-{sku}"))
        assert (stock.on_hand, stock.reserved) == (40, 12)


async def test_an_order_confirmed_by_hand_before_its_process_began_is_served(
    settings: Settings, commands: str, log: EventStore
) -> None:
    async with world_of(settings, commands, log) as world:  # so that the log has the marker
        sku = await world.product_in_stock(5)
    async with shop_at(commands) as shop:
        order_id = await shop.placed(sku, quantity=2)
        await shop.confirm(order_id)
    async with world_of(settings, commands, log) as world:
        await world.send(order_id, "p1", sku, 2)
        await world.until(f"checkout-{order_id}", "CheckoutEnded")
        stock = STOCK.fold(await world.decoded(f"stock-{sku}"))
        order = ORDER.fold(await world.decoded(f"order-{order_id}"))
    assert (stock.on_hand, stock.reserved) == (3, 0)
    assert isinstance(order, Completed)
    assert order.payments.captured == 700


async def test_a_draft_has_no_process_to_be_started(world: World) -> None:
    sku = await world.product_in_stock(1)
    draft = await world.shop.draft(sku, quantity=1)
    request = pb.StartProcessRequest(request_id=fresh_id(), order_id=draft, plan_id="0123456789abcdef")
    refused = await refusal(world.processes.StartProcess(request, timeout=DEADLINE))
    assert refused.reason == "PROCESS_NOT_FOUND"
