"""The data of a former release, killed with steps open, is opened by this one: every order comes to its end.

`former_releases/killed_with_open_steps.tar.xz` has the directories of both stores. They were written by the release
before ids of processes were their own and e-mail addresses rested on the log alone: by 24 orders of the demo, of which
its process service was killed at the sixth, and three seconds later everything else.
"""

import asyncio
import json
import tarfile
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from client.local.demo.rules import PAYMENTS
from client.sdk import OrderstreamClient
from protos.orders.v1.types_pb2 import ORDER_STATUS_CONFIRMED, ORDER_STATUS_PLACED, OrderSummary
from protos.processes.v1.types_pb2 import (
    PROCESS_STATUS_ENDED,
    PROCESS_STATUS_NOT_STARTED,
    PROCESS_STATUS_STUCK,
    Process,
)
from tests.support.books import Books
from tests.support.command_line import invoke
from tests.support.eventually import eventually
from tests.support.processes import Stack, stack

FORMER = Path(__file__).with_name("former_releases") / "killed_with_open_steps.tar.xz"
WITHIN = 60.0  # seconds
VIEWS = 9
FOR_SOMEBODY = {"", "SHIPMENTS"}  # what a process may wait for that no process does


@pytest.fixture
async def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stack]:
    # the killed owner of the views is on another machine, for all that is known: its leases have to run out
    monkeypatch.setenv("ORDERSTREAM_LEASE", "0.5")
    monkeypatch.setenv("ORDERSTREAM_HEARTBEAT", "0.2")
    monkeypatch.setenv("ORDERSTREAM_POLL_INTERVAL", "0.2")
    with tarfile.open(FORMER) as data:
        data.extractall(tmp_path, filter="data")
    async with stack(tmp_path, payments=PAYMENTS) as everything:
        yield everything


async def orderstream(running: Stack, *arguments: str) -> Any:
    servers = [f"--{role}={running.members[role].ready['address']}" for role in ("queries", "projections", "processes")]
    done = await asyncio.to_thread(invoke, [*servers, *arguments, "--json"])
    assert done.exit_code == 0, (arguments, done.output)
    return json.loads(done.stdout)


async def processes(shop: OrderstreamClient) -> list[Process]:
    return [x async for page in shop.processes.pages("ListProcesses", page_size=100) for x in page.processes]


async def orders(shop: OrderstreamClient) -> list[OrderSummary]:
    return [x async for page in shop.orders.pages("ListOrders", page_size=100) for x in page.orders]


async def at_rest(shop: OrderstreamClient) -> None:
    """Wait until no process has anything to do by itself."""

    async def steps() -> set[str]:
        return {x.step for x in await processes(shop) if x.status != PROCESS_STATUS_NOT_STARTED}

    await eventually(steps, lambda now: now <= FOR_SOMEBODY, within=WITHIN)


async def mismatched(shop: OrderstreamClient) -> list[str]:
    """The views that say that the log is not the one they were made of."""
    shown = (await shop.operations.ListProjections()).projections
    return [x.view for x in shown if "rebuild it" in x.last_error]


@pytest.mark.sends_unknown_positions
async def test_open_steps_end_and_nothing_is_lost(running: Stack) -> None:
    async with OrderstreamClient(running.addresses, deadline=30.0, read_your_writes=True) as shop:
        # the embedded node shows positions otherwise since then: no position that a view has kept is one of this log
        await eventually(partial(mismatched, shop), lambda now: len(now) == VIEWS, within=WITHIN)
        printed = await orderstream(running, "projections", "rebuild", "--all", "--wait", "--why", "a test", "--yes")
        assert len(printed["rebuilds"]) == VIEWS
        assert all((one["differences"], one["switched"]) == (0, True) for one in printed["rebuilds"]), printed
        await at_rest(shop)
        changed = [x.view for x in (await shop.operations.ListProjections()).projections if x.code_changed]
        assert changed == [], "they were rebuilt by this code"

        without = [x.order_id for x in await processes(shop) if x.status == PROCESS_STATUS_NOT_STARTED]
        placed = [x.order_id for x in await orders(shop) if x.status == ORDER_STATUS_PLACED]
        assert sorted(without) == sorted(placed), "older orders are begun by an operator"
        assert without
        for order_id in without:
            await orderstream(running, "processes", "start", order_id, "--yes")

        async def statuses() -> set[int]:
            return {order.status for order in await orders(shop)}

        await eventually(statuses, lambda now: ORDER_STATUS_PLACED not in now, within=WITHIN)
        await at_rest(shop)
        for order in await orders(shop):
            if order.status == ORDER_STATUS_CONFIRMED:
                parcel: Any = {"order_id": order.order_id, "shipment_id": "the last"}
                await shop.orders.CreateShipment(**parcel)
                await shop.orders.DispatchShipment(carrier="bpost", **parcel)
                await shop.orders.ConfirmDelivery(**parcel)

        async def ended() -> Counter[int]:
            return Counter(x.status for x in await processes(shop))

        reported_at_last = await eventually(ended, lambda now: set(now) <= {PROCESS_STATUS_ENDED, PROCESS_STATUS_STUCK})
        assert reported_at_last == {PROCESS_STATUS_ENDED: 24}
        verified = await orderstream(running, "verify")
        assert (verified["differences"], verified["emails"]["shared"]) == (0, 0)
        books = Books(running.eventstore_uri)
        assert await books.differences(shop) == []
        assert sum(books.open.values()) == 0
