"""What a service needs done in the event store is attempted until the event store answers."""

import asyncio

import pytest

from core.eventstore import ensured as module
from core.eventstore.ensured import ensured, until_done
from core.failures import StoreFailure, StorePermissionDenied, StoreUnavailable
from tests.support.eventually import eventually

UNAVAILABLE = StoreUnavailable("event")
REFUSED = StorePermissionDenied("event", "read", "a", "")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.0)


class Work:
    """Fails in these ways, one attempt after the other, and then succeeds."""

    def __init__(self, *failures: StoreFailure) -> None:
        self._failures = list(failures)
        self.attempts = 0
        self.done = 0

    async def attempt(self) -> None:
        self.attempts += 1
        if self._failures:
            raise self._failures.pop(0)
        self.done += 1

    async def done_so_far(self) -> int:
        return self.done


async def test_the_block_starts_after_the_first_attempt() -> None:
    work = Work()
    async with ensured(work.attempt, "trouble"):
        assert (work.attempts, work.done) == (1, 1)


async def test_while_the_block_is_open_it_is_attempted_until_it_succeeds() -> None:
    work = Work(UNAVAILABLE, REFUSED)
    async with ensured(work.attempt, "trouble"):
        assert work.done == 0
        await eventually(work.done_so_far, lambda done: done == 1)
    assert work.attempts == 3


async def test_a_refusal_of_the_first_attempt_is_raised() -> None:
    work = Work(REFUSED)
    with pytest.raises(StorePermissionDenied):
        async with ensured(work.attempt, "trouble"):
            pass
    assert work.attempts == 1


async def test_it_is_attempted_again_whenever_that_is_wanted() -> None:
    work, again = Work(), asyncio.Event()
    async with ensured(work.attempt, "trouble", again=again):
        again.set()
        await eventually(work.done_so_far, lambda done: done == 2)
        again.set()
        await eventually(work.done_so_far, lambda done: done == 3)


async def test_work_that_fails_at_first_is_done_once() -> None:
    work = Work(UNAVAILABLE, UNAVAILABLE)
    await until_done(work.attempt, "trouble")
    assert (work.attempts, work.done) == (3, 1)
