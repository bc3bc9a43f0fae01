"""A view is rebuilt while it is read and written, by one command; who does it may be killed at any time."""

import asyncio
import json
import random
import sys
from functools import partial
from operator import le
from pathlib import Path
from typing import Any

import pytest

from client.sdk import OrderstreamClient
from protos.operations.v1 import projections_pb2 as pb
from tests.support import buying
from tests.support.eventually import eventually
from tests.support.processes import Stack, stack
from tests.support.readers import under_load

ORDERSTREAM = str(Path(sys.executable).with_name("orderstream"))
WITHIN = 150.0  # seconds
LONG = pytest.mark.long


async def orderstream(running: Stack, *arguments: str, code: int = 0) -> dict[str, Any]:
    """What a program reads that calls the command."""
    servers = [f"--{role}={running.members[role].ready['address']}" for role in ("commands", "queries", "projections")]
    process = await asyncio.create_subprocess_exec(
        ORDERSTREAM,
        *servers,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, errors = await asyncio.wait_for(process.communicate(), WITHIN)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == code, (arguments, said, errors.decode())
    assert b"Traceback" not in errors
    printed: dict[str, Any] = json.loads(said)
    return printed


def rebuild(view: str) -> tuple[str, ...]:
    return ("projections", "rebuild", view, "--wait", "--why", "a test", "--json")


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("orders", "reads"), [(4, 20), pytest.param(40, 10_000, marks=LONG)])
async def test_readers_never_notice_a_rebuild_nor_a_rollback(
    orders: int, reads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERSTREAM_DROP_DELAY", "1")  # so that removing old generations is under load too
    async with stack(tmp_path, processes=False) as running, OrderstreamClient(running.addresses, deadline=30.0) as shop:
        await buying.orders(shop, orders)
        async with under_load(shop) as seen:
            live = 1
            while seen.reads < reads or live < 2:
                printed = await orderstream(running, *rebuild("order_list"))
                assert (printed["view"], printed["from_generation"]) == ("order_list", live), printed
                assert (printed["verified"], printed["differences"], printed["switched"]) == (True, 0, True), printed
                assert printed["documents"] > orders
                assert printed["events"] > 3 * printed["documents"] - 10
                live = printed["to_generation"]
            back = await orderstream(
                running, "projections", "rollback", "order_list", "--why", "a test", "--yes", "--json"
            )
            assert back["projection"]["generation"] == printed["from_generation"]
            assert back["projection"]["kept_generation"] == live
            await eventually(seen.so_far, partial(le, seen.reads + 50))
        assert seen.wrong == ([], 0, 0, 0)
        assert seen.reads >= reads
        assert seen.writes > 0
        verdict = await orderstream(running, "verify", "--view", "order_list", "--json")
        assert verdict["differences"] == 0
    print(f"{seen.reads} reads and {seen.writes} writes during the rebuilds")  # noqa: T201  # for a run by name


async def share_done(shop: OrderstreamClient, view: str, live: int) -> float:
    """Of the rebuild: 1.0 while it is verified; 2.0 once it has ended, and -1.0 before it begins."""
    found = (await shop.operations.GetProjection(view=view)).projection
    if not found.HasField("rebuild"):
        return 2.0 if found.generation != live else -1.0
    filling = found.rebuild.phase == pb.REBUILD_PHASE_FILLING
    return float(min(0.99, found.rebuild.events / found.rebuild.total)) if filling else 1.0


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("orders", "kills"), [(40, 1), pytest.param(120, 20, marks=LONG)])
async def test_killed_at_any_time_a_rebuild_goes_on_and_ends_the_same(
    orders: int, kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERSTREAM_BATCH_SIZE_REBUILD", str(orders // 2))
    monkeypatch.setenv("ORDERSTREAM_DROP_DELAY", "0")
    async with stack(tmp_path, processes=False) as running, OrderstreamClient(running.addresses, deadline=30.0) as shop:
        _, _, token = await buying.orders(shop, orders)
        await shop.orders.GetSalesDaily(consistency_token=token)
        projections = running.members["projections"]
        live = {"order_list": 1, "sales_daily": 1}
        for kill in range(kills):
            view = ("order_list", "sales_daily")[kill % 2]
            rebuilding = asyncio.create_task(orderstream(running, *rebuild(view)))
            moment = random.uniform(0.0, 1.0)  # from just begun to being verified, or a little too late

            async def share(view: str = view, rebuilding: asyncio.Task[dict[str, Any]] = rebuilding) -> float:
                if rebuilding.done():
                    rebuilding.result()  # a refusal is reported at once
                return await share_done(shop, view, live[view])

            await eventually(share, partial(le, moment), within=WITHIN)
            await projections.kill()
            await projections.start()
            printed = await rebuilding
            assert (printed["verified"], printed["differences"], printed["switched"]) == (True, 0, True), printed
            assert printed["events"] == orders * 4, "each event was applied once"
            live[view] = printed["to_generation"]
        verdict = await orderstream(running, "verify", "--json")
        assert verdict["differences"] == 0
