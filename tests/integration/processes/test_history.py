"""The history of an order that processes have seen to: from what the customer asked for to what came of it."""

from typing import Any

from core.eventstore import codec
from core.eventstore.log import EventLog
from server.queries.causation import life, tree
from tests.integration.processes.conftest import World


async def test_a_cancelled_order_reports_who_caused_what_in_its_process_and_its_stock(world: World) -> None:
    sku = await world.product_in_stock(10)
    stranger = await world.shop.placed(sku)
    order_id = await world.shop.placed(sku)
    for each in (stranger, order_id):
        await world.until(f"order-{each}", "OrderConfirmed")
    await world.shop.cancel(order_id)
    await world.until(f"checkout-{order_id}", "CheckoutEnded")

    nodes = list(tree(await life(EventLog(world.log._client), order_id)))
    shown = [
        (node.depth, node.event.stream.partition("-")[0], node.event.entry.event_type)
        for node in nodes
        if node.HasField("event")
    ]
    placed, cancelled = shown.index((1, "order", "OrderPlacedV2")), shown.index((1, "order", "OrderCancelled"))
    assert {name for _, _, name in shown[placed + 1 : cancelled]} >= {
        "CheckoutStartedV2", "StockReserved", "CheckoutStockReserved", "PaymentAuthorised", "OrderConfirmed",
    }  # fmt: skip
    assert {name for _, _, name in shown[cancelled + 1 :]} >= {
        "ReservationReleased",
        "PaymentVoided",
        "CheckoutEnded",
    }
    assert all(depth > 1 for depth, _, _ in shown[placed + 1 : cancelled] + shown[cancelled + 1 :])
    # every event of order and process is in it once, and of the stock what is this order's alone
    everything = [event for stream in ("order", "checkout") for event in await world.events(f"{stream}-{order_id}")]
    known = {str(event.id) for event in everything}
    mine = [event for event in await world.events(f"stock-{sku}") if cause_of(event) in known]
    ids = [node.event.entry.event_id for node in nodes if node.HasField("event")]
    assert sorted(ids) == sorted(str(event.id) for event in everything + mine)


def cause_of(event: Any) -> str:
    metadata = codec.decode_metadata(event.metadata)
    return "" if metadata is None else metadata.causation_id
