"""A shop that runs is upgraded at any moment: what the former release had begun ends as it had begun it.

`released_logs` holds lives of an order as the first release of the processes wrote them. Each is stopped after every
event, and today's code goes on. What others did (customers, the shop's people, operators) is done again at its turn.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
import structlog
from esdbclient import NewEvent

from core.domain.checkout.state import NotStarted, Running
from server.processes.automatic_start import AutomaticStart
from server.processes.command_sender import ACTOR
from server.processes.payments.simulator import Rules
from tests.support.checkouts import TOTAL, Shop

LOGS = Path(__file__).parent / "released_logs"
NAMES = sorted(path.stem for path in LOGS.glob("*.json"))
# what the provider did, so that it goes on the same way
RULES = {
    "declined": Rules(decline=TOTAL % 100),
    "expired_without_an_answer": Rules(mute=TOTAL % 100),
    "capture_refused_and_skipped": Rules(refuse=TOTAL % 100),
}
# what today's code does besides: the rest of what is held after a capture is released when the order has ended
BESIDES = {"cancelled_with_money_drawn": {"AuthorisationLapsed", "CheckoutPaymentVoided"}}
NOT_TO_THE_END = {"capture_refused_and_skipped"}  # it waits for the money that an operator took for paid
RETRIES = {"CheckoutStepFailed"}  # how often a step is tried depends on the time at which the log was stopped


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(wrapper_class=before)


@dataclass(frozen=True)
class Stored:
    stream: str
    type: str
    event_id: str
    data: bytes
    metadata: bytes

    @property
    def by_the_process(self) -> bool:
        return bool(json.loads(self.metadata)["actor"] == ACTOR)

    @property
    def request(self) -> tuple[str, str, str]:
        """The stream and the id under which it was asked for, with the hash of what was asked."""
        reported = json.loads(self.metadata)
        return self.stream, reported["requestId"], reported["payloadHash"]


def log_of(name: str) -> list[Stored]:
    rows = json.loads((LOGS / f"{name}.json").read_text())
    return [
        Stored(x["stream"], x["type"], x["id"], json.dumps(x["data"]).encode(), json.dumps(x["metadata"]).encode())
        for x in rows
    ]


def started_at(log: Sequence[Stored]) -> int:
    return next(n for n, x in enumerate(log) if x.type == "CheckoutStarted")


class Upgraded:
    """A log that was stopped after its first events, and what others do after that."""

    def __init__(self, name: str, stop: int, *, automatic: bool = True) -> None:
        self.log = log_of(name)
        self.shop = Shop(rules=RULES.get(name))
        self._stop = stop
        self._automatic = automatic

    async def go_on(self) -> None:
        if self._automatic:
            await AutomaticStart(self.shop.store).enable()
        for event in self.log[: self._stop]:
            await self._write(event)
        if not self._automatic:
            await AutomaticStart(self.shop.store).enable()
        await self.shop.run()
        for event in self.log[self._stop :]:
            if not event.by_the_process:
                await self._write(event)
                await self.shop.run()

    async def _write(self, event: Stored) -> None:
        there = [x async for x in self.shop.store.read(event.stream)]
        new = NewEvent(type=event.type, data=event.data, metadata=event.metadata, id=UUID(event.event_id))
        await self.shop.store.append(event.stream, len(there) - 1, [new])

    @property
    def written(self) -> list[Stored]:
        return [
            Stored(x.stream_name, x.type, str(x.id), x.data, x.metadata)
            for x in self.shop.store.recorded
            if x.stream_name != "processes_started"
        ]


def kinds(events: Sequence[Stored], without: set[str]) -> Counter[str]:
    return Counter(x.type.removesuffix("V2") for x in events if x.type not in without)


@pytest.mark.parametrize("name", NAMES)
def test_a_log_that_was_stopped_after_any_event_ends_as_the_former_release_would_have_ended_it(name: str) -> None:
    complete = log_of(name)
    for stop in range(started_at(complete) + 1, len(complete) + 1):
        upgraded = Upgraded(name, stop)
        asyncio.run(upgraded.go_on())
        without = RETRIES | BESIDES.get(name, set())
        assert kinds(upgraded.written, without) == kinds(complete, without), f"stopped after {stop} events"
        process = asyncio.run(upgraded.shop.checkout())
        assert isinstance(process, Running)
        assert bool(process.outcome) is (name not in NOT_TO_THE_END)


@pytest.mark.parametrize("name", NAMES)
def test_what_it_had_begun_is_asked_for_under_the_same_ids_and_hashes(name: str) -> None:
    complete = log_of(name)
    before = {x.request for x in complete if x.by_the_process and x.type not in RETRIES}
    upgraded = Upgraded(name, started_at(complete) + 1)
    asyncio.run(upgraded.go_on())
    without = RETRIES | BESIDES.get(name, set())
    assert {x.request for x in upgraded.written if x.by_the_process and x.type not in without} == before


def test_an_order_that_was_placed_before_the_upgrade_and_had_no_process_waits_for_an_operator() -> None:
    complete = log_of("delivered_in_two_parcels")
    upgraded = Upgraded("delivered_in_two_parcels", started_at(complete), automatic=False)
    upgraded.log = complete[: started_at(complete)]
    asyncio.run(upgraded.go_on())
    assert isinstance(asyncio.run(upgraded.shop.checkout()), NotStarted)
