"""What goes wrong with an order is seen to, or waits for an operator, who can retry, skip or compensate."""

from collections import Counter

import grpc
import pytest
from esdbclient import StreamState

from core.config import Settings
from core.domain.checkout import CHECKOUT
from core.domain.checkout.state import Running
from core.domain.stock import STOCK
from core.eventstore.connection import connect
from core.eventstore.store import EventStore
from protos.orders.v1 import commands_pb2 as orders_pb
from protos.processes.v1 import commands_pb2 as pb
from tests.integration.processes.conftest import DECLINED, MUTE, REFUSED, World, world_of
from tests.support.calling import DEADLINE, euros, fresh_id, refusal
from tests.support.eventually import eventually


async def process(world: World, order_id: str) -> Running:
    state = CHECKOUT.fold(await world.decoded(f"checkout-{order_id}"))
    assert isinstance(state, Running)
    return state


async def stuck_at(world: World, order_id: str, step: str) -> None:
    """Wait until an operator is needed."""

    async def look() -> tuple[str, bool]:
        types = await world.types_in(f"checkout-{order_id}")
        failure = (await process(world, order_id)).failure if types else None
        return (failure.step, failure.retry_at is None) if failure else ("", False)

    await eventually(look, lambda seen: seen == (step, True))


async def test_a_declined_payment_rejects_the_order_and_releases_its_stock(world: World) -> None:
    sku = await world.product_in_stock(10, price=DECLINED)
    order_id = await world.shop.placed(sku, quantity=1)
    await world.until(f"checkout-{order_id}", "CheckoutEnded")
    assert (await world.types_in(f"order-{order_id}"))[-2:] == ["PaymentFailed", "OrderRejected"]
    assert STOCK.fold(await world.decoded(f"stock-{sku}")).reserved == 0


async def test_an_order_that_is_not_confirmed_in_time_expires_with_nothing_held(
    impatient: Settings, impatient_commands: str, log: EventStore
) -> None:
    async with world_of(impatient, impatient_commands, log) as world:
        sku = await world.product_in_stock(10, price=MUTE)
        order_id = await world.shop.placed(sku, quantity=1)
        await world.until(f"checkout-{order_id}", "CheckoutEnded")
        assert (await world.types_in(f"order-{order_id}"))[-1] == "OrderExpired"
        steps = await world.types_in(f"checkout-{order_id}")
        # on a starved machine the deadline can pass before the payment is asked for
        assert "CheckoutPaymentVoided" in steps or "CheckoutStepFailed" not in steps
        assert STOCK.fold(await world.decoded(f"stock-{sku}")).reserved == 0


async def test_deadlines_outlive_the_process(impatient: Settings, impatient_commands: str, log: EventStore) -> None:
    async with world_of(impatient, impatient_commands, log) as world:
        sku = await world.product_in_stock(10, price=MUTE)
        order_id = await world.shop.placed(sku, quantity=1)
        await world.until(f"checkout-{order_id}", "CheckoutStepFailed")
        await stuck_at(world, order_id, "AUTHORISE_PAYMENT")
    async with world_of(impatient, impatient_commands, log) as another:
        await another.until(f"checkout-{order_id}", "CheckoutEnded")
        assert (await another.types_in(f"order-{order_id}"))[-1] == "OrderExpired"


async def capture_by_hand(world: World, order_id: str) -> None:
    request = orders_pb.CapturePaymentRequest(
        request_id=fresh_id(),
        order_id=order_id,
        capture_id="by hand",
        authorisation_id="checkout",
        amount=euros(REFUSED),
    )
    await world.shop.orders.CapturePayment(request, timeout=DEADLINE)


async def test_a_step_that_fails_for_good_waits_for_an_operator_and_goes_on_when_it_was_seen_to_by_hand(
    world: World,
) -> None:
    sku = await world.product_in_stock(10, price=REFUSED)
    order_id = await world.shop.placed(sku, quantity=1)
    await world.until(f"order-{order_id}", "OrderConfirmed")
    await world.send(order_id, "s1", sku, 1)
    await stuck_at(world, order_id, "CAPTURE_PAYMENT")
    assert Counter(await world.types_in(f"checkout-{order_id}"))["CheckoutStepFailed"] == 3
    await capture_by_hand(world, order_id)
    await world.until(f"checkout-{order_id}", "CheckoutEnded")
    assert (await world.types_in(f"order-{order_id}"))[-1] == "OrderCompleted"


async def test_a_skipped_step_counts_as_done_and_what_rests_on_it_is_the_next_to_wait(world: World) -> None:
    sku = await world.product_in_stock(10, price=REFUSED)
    order_id = await world.shop.placed(sku, quantity=1)
    await world.until(f"order-{order_id}", "OrderConfirmed")
    await world.send(order_id, "s1", sku, 1)
    await stuck_at(world, order_id, "CAPTURE_PAYMENT")
    await world.skip(order_id, "CAPTURE_PAYMENT")
    await stuck_at(world, order_id, "COMPLETE_ORDER")
    await capture_by_hand(world, order_id)
    await world.retry(order_id)
    await world.until(f"checkout-{order_id}", "CheckoutEnded")


async def test_a_retry_counts_again(world: World) -> None:
    sku = await world.product_in_stock(10, price=REFUSED)
    order_id = await world.shop.placed(sku, quantity=1)
    await world.until(f"order-{order_id}", "OrderConfirmed")
    await world.send(order_id, "s1", sku, 1)
    await stuck_at(world, order_id, "CAPTURE_PAYMENT")
    await world.retry(order_id)
    await world.until(f"checkout-{order_id}", "CheckoutRetried")
    await stuck_at(world, order_id, "CAPTURE_PAYMENT")
    assert Counter(await world.types_in(f"checkout-{order_id}"))["CheckoutStepFailed"] == 6


async def test_what_has_not_been_sent_can_be_undone_by_hand(world: World) -> None:
    sku = await world.product_in_stock(10)
    order_id = await world.shop.placed(sku)
    await world.until(f"order-{order_id}", "OrderConfirmed")
    await world.compensate(order_id)
    await world.until(f"checkout-{order_id}", "CheckoutEnded")
    assert (await world.types_in(f"order-{order_id}"))[-2:] == ["OrderCancelled", "PaymentVoided"]
    assert STOCK.fold(await world.decoded(f"stock-{sku}")).available == 10


async def test_what_was_sent_can_not_be_undone(world: World) -> None:
    sku = await world.product_in_stock(10)
    order_id = await world.shop.placed(sku, quantity=2)
    await world.until(f"order-{order_id}", "OrderConfirmed")
    await world.send(order_id, "s1", sku, 1)
    request = pb.CompensateProcessRequest(request_id=fresh_id(), order_id=order_id, reason="too late")
    refused = await refusal(world.processes.CompensateProcess(request, timeout=DEADLINE))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PROCESS_HAS_SHIPPED")


@pytest.mark.parametrize("step", ["CAPTURE_PAYMENT", "RESERVE_STOCK"])
async def test_only_a_step_that_has_failed_is_skipped(world: World, step: str) -> None:
    sku = await world.product_in_stock(10)
    order_id = await world.shop.placed(sku)
    await world.until(f"order-{order_id}", "OrderConfirmed")
    request = pb.SkipStepRequest(request_id=fresh_id(), order_id=order_id, step=step, reason="no need")
    refused = await refusal(world.processes.SkipStep(request, timeout=DEADLINE))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PROCESS_STEP_NOT_FAILED")


async def test_an_order_that_was_never_placed_has_no_process(world: World) -> None:
    request = pb.RetryProcessRequest(request_id=fresh_id(), order_id=fresh_id())
    refused = await refusal(world.processes.RetryProcess(request, timeout=DEADLINE))
    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "PROCESS_NOT_FOUND")


async def test_a_step_that_there_is_not_is_a_bad_request(world: World) -> None:
    request = pb.SkipStepRequest(request_id=fresh_id(), order_id=fresh_id(), step="DANCE", reason="why not")
    refused = await refusal(world.processes.SkipStep(request, timeout=DEADLINE))
    assert (refused.code, refused.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("step",))


async def test_an_order_whose_product_has_lost_its_stock_waits_for_an_operator(
    world: World, eventstore_uri: str
) -> None:
    """Somebody deleted the stream of the stock in the event store: that is no end of the order."""
    sku = await world.product_in_stock(10)
    client = await connect(eventstore_uri)
    try:
        await client.tombstone_stream(f"stock-{sku}", current_version=StreamState.ANY)
    finally:
        await client.close()
    order_id = await world.shop.placed(sku, quantity=1)

    async def reason() -> str:
        types = await world.types_in(f"checkout-{order_id}")
        failure = (await process(world, order_id)).failure if types else None
        return failure.reason if failure else ""

    assert "STREAM_DELETED" in await eventually(reason, bool)
