"""A store that takes half a minute to start keeps nobody from starting before it."""

import asyncio
from pathlib import Path

import pytest

from client.sdk import OrderstreamClient
from tests.support import buying
from tests.support.processes import Running, free_port, stack

LATE = 30.0  # seconds; real servers took 25 to 33 with a database on disk


@pytest.mark.long
async def test_everything_starts_before_its_event_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("ORDERSTREAM_EVENTSTORE_URI", f"esdb://127.0.0.1:{port}?Tls=false")

    async def late() -> Running:
        await asyncio.sleep(LATE)
        return await asyncio.to_thread(Running, "embedded", "eventstore", "--port", str(port), "--memory")

    starting = asyncio.create_task(late())
    try:
        async with stack(tmp_path) as running, OrderstreamClient(running.addresses, deadline=30.0) as shop:
            _, [order], token = await buying.orders(shop, 1)
            assert (await shop.orders.GetOrder(order_id=order, consistency_token=token)).order.order_id == order
    finally:
        (await starting).close()
