"""Quotas: a noisy caller is refused with a time to try again, and takes nothing from a quiet one."""

import asyncio
from contextlib import ExitStack

import pytest
from structlog.testing import capture_logs

from core.failures import CallerLimited
from core.rpc.errors import status_of
from core.security.quotas import MAX_KNOWN, OPS, READ, WRITE, Quotas

RATES = {READ: 5.0, WRITE: 2.0, OPS: 0.0}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def quotas(clock: Clock) -> Quotas:
    return Quotas(3, RATES, max_pause=60.0, clock=clock)


def call(quotas: Quotas, caller: str = "noisy", role: str = "shop.read") -> None:
    with quotas.admitted(caller, role):
        pass


def test_a_caller_has_as_many_concurrent_calls_as_it_may(quotas: Quotas) -> None:
    with ExitStack() as calls:
        for _ in range(3):
            calls.enter_context(quotas.admitted("noisy", "shop.read"))
        with pytest.raises(CallerLimited) as refused:
            call(quotas)
        assert refused.value.metadata == {"limit": "calls", "most": "3"}
        call(quotas, "quiet")
    call(quotas)


def test_a_caller_has_as_many_calls_per_second_as_it_may(quotas: Quotas, clock: Clock) -> None:
    for _ in range(5):
        call(quotas)
    with pytest.raises(CallerLimited) as refused:
        call(quotas)
    assert refused.value.retry_after == pytest.approx(0.2)
    assert any("RetryInfo" in detail.type_url for detail in status_of(refused.value).details)
    call(quotas, "quiet")
    call(quotas, role="shop.write")
    clock.now += 0.2
    call(quotas)


def test_a_refused_call_does_not_lengthen_the_wait(quotas: Quotas, clock: Clock) -> None:
    for _ in range(5):
        call(quotas)
    for _ in range(100):
        with pytest.raises(CallerLimited):
            call(quotas)
    clock.now += 0.2
    call(quotas)


def refused_call(quotas: Quotas) -> CallerLimited:
    with pytest.raises(CallerLimited) as refused:
        call(quotas, role="shop.write")
    return refused.value


@pytest.fixture
def limited(quotas: Quotas) -> CallerLimited:
    """The first refusal of a caller that has used up its two writes."""
    call(quotas, role="shop.write")
    call(quotas, role="shop.write")
    return refused_call(quotas)


async def test_a_refused_call_counts_as_concurrent_until_its_refusal_is_sent(
    quotas: Quotas, limited: CallerLimited
) -> None:
    pauses = [asyncio.create_task(quotas.pause("noisy", limited, 60.0)) for _ in range(3)]
    await asyncio.sleep(0)  # each has begun
    too_many = refused_call(quotas)
    assert too_many.metadata["limit"] == "calls"
    await quotas.pause("noisy", too_many, 60.0)  # one more is refused at once
    call(quotas, "quiet")
    for pause in pauses:
        pause.cancel()
    await asyncio.gather(*pauses, return_exceptions=True)
    call(quotas)


async def test_the_pause_leaves_time_for_the_answer(quotas: Quotas, limited: CallerLimited) -> None:
    async with asyncio.timeout(10):
        for _ in range(100):
            await quotas.pause("noisy", limited, 0.001)


async def test_refusals_are_sent_one_by_one_at_the_rate(
    quotas: Quotas, limited: CallerLimited, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("core.security.quotas.asyncio.sleep", sleep)
    for _ in range(200):
        await quotas.pause("noisy", limited, 1_000.0)
    assert slept[:3] == pytest.approx([0.5, 1.0, 1.5]), "two a second"
    assert max(slept) == 60.0


def test_the_refusals_of_a_caller_are_logged_together(quotas: Quotas, clock: Clock) -> None:
    with capture_logs() as logs, ExitStack() as calls:
        for _ in range(3):
            calls.enter_context(quotas.admitted("noisy", "shop.read"))
        for clock.now in (100.0, 100.5, 100.9, 101.0):
            with pytest.raises(CallerLimited):
                call(quotas)
    assert [(line["caller"], line["calls"]) for line in logs] == [("noisy", 1), ("noisy", 3)]


def test_a_rate_of_0_is_no_limit(quotas: Quotas) -> None:
    for _ in range(1_000):
        call(quotas, role="ops.read")


def test_callers_without_calls_are_forgotten(quotas: Quotas, clock: Clock) -> None:
    with quotas.admitted("busy", "shop.read"):
        for number in range(MAX_KNOWN):
            call(quotas, str(number))
        clock.now += 2
        call(quotas, "next")
        assert set(quotas._callers) == {"busy", "next"}
