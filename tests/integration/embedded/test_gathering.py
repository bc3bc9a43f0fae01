"""Commits that wait for more requests to share them: nobody is forgotten, and nobody waits for silence."""

import queue
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from embedded.eventstore.committer import GATHER_FROM, GATHER_LEAST
from embedded.eventstore.log import Log
from embedded.eventstore.records import NO_STREAM, Entry, Proposed
from embedded.eventstore.writer import Outcome, Writer, Written

PATIENCE = 20  # seconds


class Hold:
    """A commit that stands still until it is released."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.release = threading.Event()


class Crowd:
    """Appends to a log by several at once, and what became of them."""

    def __init__(self, directory: Path) -> None:
        self.answered: queue.Queue[tuple[str, Outcome]] = queue.Queue()
        self.commits: list[int] = []  # how many requests were in each
        self.log = Log(directory, deliver=self._deliver)

    def _deliver(self, publish: Callable[..., None], entries: Sequence[Entry], *rest: object) -> None:
        self.commits.append(len(entries))
        publish(entries, *rest)

    def append(self, stream: str, hold: "Hold | None" = None) -> None:
        event = Proposed(uuid.uuid4().bytes, "Happened", is_json=True, data=b"{}", metadata=b"")

        def run(writer: Writer) -> Outcome:
            if hold is not None:
                hold.reached.set()
                assert hold.release.wait(PATIENCE)
            return writer.append(stream, NO_STREAM, [event])

        self.log.submit(run, lambda outcome: self.answered.put((stream, outcome)), stream)

    def answers(self, count: int) -> list[str]:
        """The streams that were written, as they were answered."""
        found = [self.answered.get(timeout=PATIENCE) for _ in range(count)]
        assert all(isinstance(outcome, Written) for _, outcome in found)
        return [stream for stream, _ in found]


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    """The last commit had many requests in it, so the next one gathers."""
    crowd = Crowd(tmp_path)
    names = [f"crowd-{number}" for number in range(3 * GATHER_FROM)]
    assert at_once(crowd, names) == names
    assert crowd.commits[-1] == len(names)
    yield crowd
    crowd.log.close()


def at_once(crowd: Crowd, streams: Sequence[str]) -> list[str]:
    """Append to these streams while a commit stands still; returns them as they were answered."""
    hold = Hold()
    crowd.append(f"held-{uuid.uuid4()}", hold)
    assert hold.reached.wait(PATIENCE)
    for stream in streams:
        crowd.append(stream)
    hold.release.set()
    return crowd.answers(len(streams) + 1)[1:]


def test_one_that_comes_alone_after_a_crowd_is_answered(crowd: Crowd) -> None:
    crowd.append("alone")
    assert crowd.answers(1) == ["alone"]


def test_what_comes_after_a_crowd_shares_a_commit(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedded.eventstore.committer.GATHER_STEP", 0.5)  # long against the time that submitting takes
    names = [f"next-{number}" for number in range(GATHER_LEAST * 5)]
    for name in names:
        crowd.append(name)
    assert crowd.answers(len(names)) == names
    assert crowd.commits[-1] == len(names)


def test_few_at_once_do_not_wait_for_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedded.eventstore.committer.GATHER_STEP", 10 * PATIENCE)
    crowd = Crowd(tmp_path)
    few = [f"few-{number}" for number in range(GATHER_FROM - 1)]
    assert at_once(crowd, few) == few
    assert at_once(crowd, ["next"]) == ["next"]
    crowd.log.close()


def test_a_log_that_is_closed_while_it_gathers_writes_what_is_queued(crowd: Crowd, tmp_path: Path) -> None:
    names = [f"last-{number}" for number in range(50)]
    for name in names:
        crowd.append(name)
    crowd.log.close()
    assert crowd.answers(len(names)) == names
    crowd.log = Log(tmp_path)
    assert all(crowd.log.at(name, 0) for name in names)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 127, 129, 200])
def test_any_number_of_rows_is_written_whole_in_one_commit(count: int, tmp_path: Path) -> None:
    crowd = Crowd(tmp_path)
    names = [f"s-{number}" for number in range(count)]
    assert at_once(crowd, names) == names
    assert crowd.commits == [1, count]
    assert [crowd.log.at(name, 0) is not None for name in names] == [True] * count
    crowd.log.close()
