"""Many events that are older than the stream's age allows cost a reader next to nothing, and nobody else anything."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from core.eventstore.connection import connect
from embedded.eventstore import writer
from embedded.eventstore.log import Log
from embedded.eventstore.node import node
from embedded.eventstore.records import ANY, TICKS_PER_SECOND, Proposed, system_event, ticks
from embedded.eventstore.writer import Outcome, Writer
from tests.support.eventually import polled

EXPIRED = 50_000
AN_HOUR = 3_600
MAX_STATEMENTS = 100


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with closing(Log(tmp_path, synchronous="OFF")) as log:
        yield log


def append(log: Log, stream: str, events: list[Proposed]) -> None:
    outcomes: list[Outcome] = []

    def run(to: Writer) -> Outcome:
        return to.append(stream, ANY, events)

    log.submit(run, outcomes.append, stream)
    polled(lambda: outcomes)


def events(count: int) -> list[Proposed]:
    return [system_event("Happened", {}) for _ in range(count)]


def grow(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream with events that an hour hides, and three that it does not."""
    now = ticks()
    monkeypatch.setattr(writer, "ticks", lambda: now - 2 * AN_HOUR * TICKS_PER_SECOND)
    for _ in range(10):
        append(log, "s-1", events(EXPIRED // 10))
    monkeypatch.setattr(writer, "ticks", ticks)
    append(log, "s-1", events(3))
    append(log, "$$s-1", [system_event("$metadata", {"$maxAge": AN_HOUR})])


def test_the_first_event_that_can_be_read_is_found_by_a_few_looks(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(log, monkeypatch)
    retention, statements = log.retention("s-1"), list[str]()
    log._reader.set_trace_callback(statements.append)
    assert log.visible("s-1", retention, EXPIRED + 2)[0] == EXPIRED
    assert len(statements) < MAX_STATEMENTS


async def test_readers_of_every_kind_begin_behind_what_is_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Log(tmp_path, synchronous="OFF")) as log:
        grow(log, monkeypatch)
    fresh = [EXPIRED, EXPIRED + 1, EXPIRED + 2]
    async with node(tmp_path) as address:
        client = await connect(f"esdb://{address}?Tls=false")
        assert [e.stream_position for e in await client.get_stream("s-1")] == fresh
        assert [e.stream_position for e in await client.get_stream("s-1", limit=1)] == fresh[:1]
        assert [e.stream_position for e in await client.get_stream("s-1", backwards=True)] == fresh[::-1]
        async with await client.subscribe_to_stream("s-1") as subscription:
            assert [(await anext(subscription)).stream_position for _ in fresh] == fresh
        await client.create_subscription_to_stream("g", "s-1")
        async with await client.read_subscription_to_stream("g", "s-1") as consumer:
            assert [(await anext(consumer)).stream_position for _ in fresh] == fresh
        await client.close()


@pytest.mark.parametrize("last", [-1, 0, 2])
def test_a_short_stream_of_which_nothing_is_too_old_is_read_from_its_first_event(log: Log, last: int) -> None:
    append(log, "s-1", events(3))
    append(log, "$$s-1", [system_event("$metadata", {"$maxAge": AN_HOUR})])
    assert log.visible("s-1", log.retention("s-1"), last)[0] == 0


def test_of_a_stream_that_is_too_old_as_a_whole_nothing_is_left(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    now = ticks()
    monkeypatch.setattr(writer, "ticks", lambda: now - 2 * AN_HOUR * TICKS_PER_SECOND)
    append(log, "s-1", events(3))
    append(log, "$$s-1", [system_event("$metadata", {"$maxAge": AN_HOUR})])
    assert log.visible("s-1", log.retention("s-1"), 2)[0] == 3
