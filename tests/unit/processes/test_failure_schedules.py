"""Whatever goes wrong, and wherever: every order ends confirmed, complete, or with stock released and money let go.
If money cannot be paid back, it is stuck with a reason that says how much.

Bounded and exhaustive: each place where a command is sent or the provider is called may be refused, fail, time out,
answer late, be done twice, or take the process down before or after it; up to two such faults in one life of an order.
`pytest -s` prints how many schedules were run.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import structlog

from core.domain.checkout.state import Running
from core.domain.order import owed
from core.domain.order.ledger import RefundStage
from core.domain.order.state import Cancelled, Completed, Confirmed, Expired, Rejected, cancelled_quantities
from server.processes.payments.simulator import Rules
from tests.support.checkouts import LINES, TOTAL, Fault, Schedule, Shop

PLACES = 14  # no life without a fault has more


@dataclass(frozen=True)
class Scenario:
    """What happens beside the faults. `confirmed` if the order may end so."""

    name: str
    world: dict[str, Any] = field(default_factory=dict)
    ends: tuple[Any, ...] = (Confirmed, Rejected)
    stuck: str = ""  # what the reason says, if it may be stuck
    every: int = 1  # so many places from one fault to the next: of long lives a sample is run
    first: int = 0  # the place of the first fault

    @property
    def statuses(self) -> set[str]:
        return {end.status for end in self.ends}


PLAIN = Scenario("all is there")
SHORT = Scenario("one line is out of stock", {"on_hand": {"milk": 1}}, (Rejected,))
UNKNOWN = Scenario("one line was never in stock", {"on_hand": {"milk": 0}}, (Rejected,))
DECLINED = Scenario("the payment is declined", {"rules": Rules(decline=TOTAL % 100)}, (Rejected,))
CANCELLED = [
    Scenario(f"the customer cancels at place {n}", {"customer_cancels_at": n}, (Confirmed, Rejected, Cancelled))
    for n in range(PLACES)
]
LAPSED = [
    Scenario(f"the deadline comes at place {n}", {"lapses_at": n}, (Confirmed, Rejected, Expired))
    for n in range(PLACES)
]
BLOCKED = [
    Scenario("the user is blocked when the process begins", {"blocked_at": 0}, (Rejected,)),
    *(Scenario(f"the user is blocked at place {n}", {"blocked_at": n}, (Confirmed, Rejected)) for n in (7, 8, 9)),
]
OVERPAID = Scenario("all is paid before a part is cancelled", {"overpaid": True})
SOLD_ENDS = (Completed, Confirmed, Rejected)
MONEY = [
    Scenario("no refund succeeds", {"overpaid": True, "rules": Rules(refund_fails=100)}, stuck="202 EUR", every=9),
    *(
        Scenario(
            f"some refunds fail, drawn by {n}",
            {"overpaid": True, "rules": Rules(refund_fails=60, seed=n)},
            stuck="202 EUR",
            every=7,
        )
        for n in range(2)
    ),
    *(Scenario(f"what is held is withdrawn at place {n}", {"withdrawn_at": n}, every=4) for n in (7, 9)),
    *(
        Scenario(
            f"what is held is withdrawn, and the customer cancels at place {n}",
            {"withdrawn_at": 7, "customer_cancels_at": n},
            (Confirmed, Cancelled, Rejected),
            every=4,
        )
        for n in (8, 10, 11)
    ),
    Scenario("sold", {"sold": True}, SOLD_ENDS, every=7),
    *(
        Scenario(
            f"sold, and what is held is withdrawn at place {n}", {"sold": True, "withdrawn_at": n}, SOLD_ENDS, every=11
        )
        for n in (8, 14, 17)
    ),
    Scenario(
        "sold, and the return cannot be refunded",
        {"sold": True, "rules": Rules(refund_fails=100)},
        SOLD_ENDS,
        stuck="350 EUR",
        every=13,
    ),
]
SCENARIOS = [PLAIN, SHORT, UNKNOWN, DECLINED, OVERPAID, *BLOCKED, *CANCELLED, *LAPSED, *MONEY]
MANY_ALIKE = [*CANCELLED, *LAPSED]
THINNED = [replace(one, every=6, first=n % 6) for n, one in enumerate(MANY_ALIKE)]
SAMPLED = [*(replace(one, every=max(2, one.every)) for one in SCENARIOS if one not in MANY_ALIKE), *THINNED]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(wrapper_class=before)


async def live(scenario: Scenario, schedule: Schedule) -> Shop:
    shop = Shop(schedule, **scenario.world)
    await shop.open()
    await shop.run()
    return shop


async def every_schedule(scenario: Scenario, faults: int, so_far: Schedule) -> AsyncIterator[tuple[Schedule, Shop]]:
    """Those that begin with `so_far`, with at most so many faults more; each with the life that was led under it."""
    shop = await live(scenario, so_far)
    yield so_far, shop
    if faults == 0:
        return
    for place in range(max(so_far, default=scenario.first - 1) + 1, len(shop.places.seen), scenario.every):
        for fault in Fault:
            async for found in every_schedule(scenario, faults - 1, {**so_far, place: fault}):
                yield found


async def ended_well(scenario: Scenario, schedule: Schedule, shop: Shop) -> str:
    """The status it ended in."""
    order, checkout = await shop.order(), await shop.checkout()
    said = f"{scenario.name}, {schedule}: {shop.places.seen}"
    assert isinstance(order, Confirmed | Completed | Rejected | Expired | Cancelled), said
    assert type(order) in scenario.ends, said
    begun = isinstance(checkout, Running)
    assert begun or isinstance(order, Cancelled), said
    stuck = begun and checkout.failure is not None and checkout.failure.retry_at is None
    assert not stuck or (scenario.stuck and scenario.stuck in checkout.failure.reason), f"it is stuck: {said}"
    for sku, (units, _) in LINES.items():
        stock = await shop.stock(sku)
        assert stock.available >= 0, said
        assert stock.reserved == units - gone_of(order, sku), f"{sku} {said}"
    books, ledger = shop.provider.books, order.payments
    assert ledger.refunded == sum(x.amount_minor for x in books.refunded.values()), said
    assert not any(x.stage == RefundStage.REQUESTED for x in ledger.refunds), said
    owing = owed.in_all(order) if isinstance(order, Confirmed | Completed) else owed.refundable(ledger)
    assert bool(owing) == stuck, f"{owing} is owed: {said}"
    if not isinstance(order, Confirmed):
        assert stuck or not begun or checkout.outcome == order.status, said
        assert books.held == sum(map(ledger.held_of, ledger.authorisations)) == 0, said
    if isinstance(order, Completed):
        back = sum(part.amount.amount_minor for x in order.returns for part in x.received)
        assert ledger.captured == TOTAL == sum(x.amount_minor for x in books.captured.values()), said
        assert ledger.refunded + owing == back, said
    if isinstance(order, Confirmed):
        assert ledger.authorised == TOTAL, said
        assert books.held == TOTAL or "withdrawn_at" in scenario.world, "a lost report is learnt from the capture"
        assert (ledger.captured == 0 and not cancelled_quantities(order)) or (
            ledger.captured - ledger.refunded - owing == order.total.amount_minor
        ), f"more is kept than it costs: {said}"
    before = len(shop.store.recorded)
    await shop.deliver_all_again()
    assert len(shop.store.recorded) == before, f"a second delivery changed something: {said}"
    return order.status


def gone_of(order: Any, sku: str) -> int:
    """The units of a line that need not be reserved any more."""
    return cancelled_quantities(order)[sku] if isinstance(order, Confirmed) else LINES[sku][0]


async def run_all(scenarios: list[Scenario], faults: int) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    for scenario in scenarios:
        async for schedule, shop in every_schedule(scenario, faults, {}):
            outcomes[await ended_well(scenario, schedule, shop)] += 1
    return outcomes


def report(outcomes: Counter[str]) -> None:
    reported = ", ".join(f"{count:,} {status.lower()}" for status, count in sorted(outcomes.items()))
    print(f"\n{sum(outcomes.values()):,} failure schedules: {reported}")  # noqa: T201  # the number is asked for


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("scenarios", "faults", "at_least"),
    [
        pytest.param(SAMPLED, 1, 400, id="one fault, in every scenario"),
        pytest.param([replace(PLAIN, every=3)], 2, 200, id="two faults, where all is there"),
        pytest.param([PLAIN], 2, 1_000, id="two faults at all places, where all is there", marks=pytest.mark.long),
        pytest.param(SCENARIOS, 2, 50_000, id="two faults, in every scenario", marks=pytest.mark.long),
    ],
)
def test_every_life_of_an_order_ends_well(scenarios: list[Scenario], faults: int, at_least: int) -> None:
    outcomes = asyncio.run(run_all(scenarios, faults))
    report(outcomes)
    assert sum(outcomes.values()) >= at_least
    assert set(outcomes) == {status for scenario in scenarios for status in scenario.statuses}


def test_a_deadline_that_comes_while_a_late_answer_is_refused_still_wakes_the_process() -> None:
    scenario, schedule = LAPSED[6], {4: Fault.LATE, 6: Fault.REFUSED}

    async def lived() -> str:
        return await ended_well(scenario, schedule, await live(scenario, schedule))

    assert asyncio.run(lived()) == Expired.status
