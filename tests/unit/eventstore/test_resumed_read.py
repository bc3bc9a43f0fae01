"""A read comes page by page, and goes on behind the last event after an interruption."""

from collections.abc import Sequence
from uuid import uuid4

import pytest

from core.eventstore import resumed_read
from core.eventstore.client import RecordedEvent
from core.eventstore.resumed_read import MAX_ATTEMPTS, Events, resumed
from core.failures import StoreUnavailable

EVENTS = 10
NEVER = 1_000


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumed_read, "FIRST_PAUSE", 0.0)


def event(number: int) -> RecordedEvent:
    return RecordedEvent(
        type="Happened",
        data=b"",
        metadata=b"",
        content_type="",
        id=uuid4(),
        stream_name="a-1",
        stream_position=number,
        commit_position=number,
        prepare_position=number,
    )


class Numbers:
    """The events 1 to 10 after a place, read with the event at the place, as the log of all is."""

    overlap = 1

    def __init__(self, *, cut_after: Sequence[int] = (), place: int = 0) -> None:
        self.place = place
        self.pages: list[int | None] = []
        self._cuts = list(cut_after)

    async def page(self, limit: int | None) -> Events:
        self.pages.append(limit)
        cut_after = self._cuts.pop(0) if self._cuts else NEVER
        last = EVENTS if limit is None else min(EVENTS, self.place + limit - 1)
        for count, number in enumerate(range(self.place, last + 1)):
            if count == cut_after:
                raise StoreUnavailable("event")
            yield event(number)
        if cut_after < NEVER:
            raise StoreUnavailable("event")

    def accepts(self, event: RecordedEvent) -> bool:
        is_new = event.stream_position > self.place
        self.place = max(self.place, event.stream_position)
        return is_new


async def read(source: Numbers, size: int | None = None, most: int | None = None) -> list[int]:
    return [event.stream_position async for event in resumed(source, size, most)]


@pytest.mark.parametrize("size", [None, 2, 3, EVENTS, EVENTS + 1, EVENTS + 2])
async def test_every_event_comes_once_whatever_the_size_of_a_page(size: int | None) -> None:
    assert await read(Numbers(), size) == list(range(1, EVENTS + 1))


@pytest.mark.parametrize("most", [0, 1, 3, EVENTS, EVENTS + 5])
async def test_no_more_events_are_read_than_are_wanted(most: int) -> None:
    source = Numbers()
    assert await read(source, 5, most) == list(range(1, min(most, EVENTS) + 1))
    assert sum(page or 0 for page in source.pages) <= most + len(source.pages) * source.overlap


@pytest.mark.parametrize("size", [None, 4])
async def test_an_interrupted_read_goes_on_behind_its_last_event(size: int | None) -> None:
    assert await read(Numbers(cut_after=[3, 2, 0, 0, 2]), size) == list(range(1, EVENTS + 1))


async def test_a_read_that_had_received_nothing_is_not_resumed() -> None:
    source = Numbers(cut_after=[1])  # only the event at its place
    with pytest.raises(StoreUnavailable):
        await read(source)
    assert len(source.pages) == 1


async def test_a_read_that_cannot_go_on_says_so_after_a_few_attempts() -> None:
    source = Numbers(cut_after=[3, *[0] * NEVER])
    with pytest.raises(StoreUnavailable):
        await read(source)
    assert (source.place, len(source.pages)) == (2, 1 + MAX_ATTEMPTS)


async def test_attempts_are_counted_since_the_last_new_event() -> None:
    failures = [0] * (MAX_ATTEMPTS - 1)
    assert await read(Numbers(cut_after=[3, *failures, 2, *failures])) == list(range(1, EVENTS + 1))
