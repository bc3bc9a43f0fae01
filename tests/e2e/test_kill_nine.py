"""Any process may be killed at any time: nothing acknowledged is lost, nothing is applied twice."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from client.local.demo.baskets import baskets_of
from client.local.demo.rules import PAYMENTS
from client.local.demo.run import Demo
from client.sdk import OrderstreamClient
from tests.support.baskets import rows
from tests.support.processes import stack

LATEST = 60.0  # seconds
LONG = pytest.mark.long


class Milestones:
    """An event for each number of orders to be done."""

    def __init__(self, *numbers: int) -> None:
        self.reached = {number: asyncio.Event() for number in numbers}

    def __call__(self, what: str, done: int, _: int) -> None:
        for number, event in self.reached.items():
            if what == "orders" and done >= number:
                event.set()


EACH_ONCE = [("projections", "queries", "commands"), ("processes", "eventstore", "mongo")]
OFTEN = [pytest.param(260, (one,) * 4, marks=[LONG, pytest.mark.timeout(600)]) for part in EACH_ONCE for one in part]


@pytest.mark.parametrize(("orders", "victims"), [*((8, part) for part in EACH_ONCE), *OFTEN], ids=str)
async def test_killed_under_load_and_started_again_nothing_is_missing(
    orders: int, victims: tuple[str, ...], tmp_path: Path
) -> None:
    """One after the other, at equal distances on the way."""
    baskets = baskets_of(rows(orders), orders, Counter())
    milestones = Milestones(*(orders * n // (len(victims) + 1) for n in range(1, len(victims) + 1)))
    async with (
        stack(tmp_path, payments=PAYMENTS) as running,
        OrderstreamClient(running.addresses) as shop,
        asyncio.TaskGroup() as group,
    ):
        demo = group.create_task(Demo(shop, {}, milestones).run(baskets))
        for victim, milestone in zip(victims, milestones.reached.values(), strict=True):
            await asyncio.wait_for(milestone.wait(), LATEST)
            assert not demo.done(), "it was to be killed under load"
            await running.members[victim].kill()
            await running.members[victim].start()
    outcome = demo.result()
    assert outcome.differences == []
    assert outcome.orders == outcome.processes["started"] == orders
