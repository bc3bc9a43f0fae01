"""Who makes a view beside a live one lets readers go first."""

from collections.abc import Sequence

import pytest

from projections.engine.throttle import CHUNK_WHEN_ALONE, CHUNK_WHEN_SHARED, MAX_REST, REST_FACTOR, ReaderAwareThrottle

QUICK, WAITED = 0.001, 0.01  # seconds that the view store takes to answer


class Store:
    """Answers after the given times, the last of them again and again; `rests` has how long it was left alone."""

    def __init__(self, answers: Sequence[float]) -> None:
        self._answers = list(answers)
        self.now = 100.0
        self.rests: list[float] = []
        self.pace = ReaderAwareThrottle(self._ask, clock=lambda: self.now, rest=self._rest)

    async def _ask(self) -> None:
        self.now += self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    async def _rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.now += seconds

    async def work(self, chunks: int, seconds: float) -> None:
        for _ in range(chunks):
            self.now += seconds
            await self.pace.yield_to_readers()


async def test_a_store_that_answers_at_once_is_worked_on_without_a_rest() -> None:
    store = Store([QUICK])
    await store.work(chunks=100, seconds=0.01)
    assert not store.pace.is_shared
    assert store.pace.chunk == CHUNK_WHEN_ALONE
    assert store.rests == []


@pytest.mark.parametrize(("per_document", "alone", "shared"), [(0.0001, 50, 20), (0.0005, 10, 4), (0.1, 4, 4)])
async def test_a_chunk_is_what_the_store_writes_in_a_few_milliseconds(
    per_document: float, alone: int, shared: int
) -> None:
    store = Store([QUICK, QUICK, *[QUICK, QUICK, QUICK, WAITED] * 10])
    for _ in range(2):
        with store.pace.writing(documents := store.pace.chunk):
            store.now += documents * per_document
        await store.pace.yield_to_readers()
    assert store.pace.chunk == pytest.approx(alone, abs=1)
    await store.work(chunks=38, seconds=0.01)
    assert store.pace.is_shared
    assert store.pace.chunk == pytest.approx(shared, abs=1)


async def test_one_slow_answer_is_chance() -> None:
    store = Store([QUICK, WAITED, *[QUICK] * 30, WAITED, QUICK])
    await store.work(chunks=60, seconds=0.01)
    assert store.rests == []


async def test_who_waits_again_and_again_leaves_the_store_to_readers_three_quarters_of_the_time() -> None:
    store = Store([QUICK, *[QUICK, QUICK, QUICK, WAITED] * 10])
    await store.work(chunks=40, seconds=0.01)
    assert store.pace.is_shared
    assert store.pace.chunk == CHUNK_WHEN_SHARED
    assert store.rests == [pytest.approx(REST_FACTOR * 0.01)] * len(store.rests)


async def test_when_the_readers_have_gone_it_works_on_at_full_speed() -> None:
    store = Store([QUICK, WAITED, WAITED, WAITED, QUICK])
    await store.work(chunks=40, seconds=0.01)
    assert not store.pace.is_shared


async def test_a_store_that_has_become_slower_for_good_is_not_taken_for_a_crowd_for_ever() -> None:
    store = Store([QUICK, WAITED])
    await store.work(chunks=400, seconds=0.01)
    assert not store.pace.is_shared


async def test_a_rest_has_an_end_however_long_the_work_took() -> None:
    store = Store([QUICK, WAITED, WAITED, WAITED, WAITED])
    await store.work(chunks=4, seconds=60.0)
    assert max(store.rests) == MAX_REST
