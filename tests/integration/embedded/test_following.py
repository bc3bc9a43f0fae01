"""A subscriber of the log gets every event, also while the memory of recent ones rolls over."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import pytest

from embedded.eventstore import log as log_module
from embedded.eventstore.live_feed import Subscriber
from embedded.eventstore.log import Log
from embedded.eventstore.records import ANY, Entry, Proposed
from embedded.eventstore.writer import Outcome, Writer

KEPT, COMMITS, AT_ONCE = 500, 1_500, 50


def test_a_follower_never_skips_an_event_while_others_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "RECENT", KEPT)
    committed: SimpleQueue[tuple[Callable[..., None], tuple[object, ...]]] = SimpleQueue()
    log = Log(tmp_path, synchronous="OFF", deliver=lambda call, *arguments: committed.put((call, arguments)))
    places = threading.Semaphore(AT_ONCE)

    def write() -> None:
        def done(_: Outcome) -> None:
            places.release()

        for number in range(COMMITS):
            places.acquire()
            event = Proposed(number.to_bytes(16, "big"), "Happened", is_json=True, data=b"{}", metadata=b"")
            log.submit(partial(Writer.append, stream="s-1", expected=ANY, events=[event]), done)

    writing = threading.Thread(target=write)
    writing.start()
    position = 0
    while position <= COMMITS:
        if position >= log.head:  # what is committed can be read a moment before it is delivered
            call, arguments = committed.get(timeout=20)
            call(*arguments)
        for entry in log.all_page(position, forwards=True, count=100):
            assert entry.position == position + 1
            position = entry.position
    writing.join()
    log.close()


def entry(position: int, stream: str) -> Entry:
    return Entry(position, stream, 0, b"", "Happened", 0, b"")


def orders(looked_at: Entry) -> bool:
    return looked_at.stream.startswith("order-")


def test_a_follower_in_the_midst_of_history_does_not_jump_over_the_rest_for_an_entry_it_does_not_want() -> None:
    """It has read up to 10 of 100, is about to read on, and somebody else's event is committed."""
    subscriber = Subscriber(None, orders)
    subscriber.at = 10
    subscriber.arm()
    subscriber.offer([entry(101, "product-1")])
    assert subscriber.at == 10


async def test_a_follower_at_the_end_passes_over_what_it_does_not_want_and_wakes_for_what_it_does() -> None:
    subscriber = Subscriber(None, orders)
    subscriber.at = 100
    subscriber.arm()
    subscriber.offer([entry(101, "product-1"), entry(102, "product-1")])
    assert subscriber.at == 102
    subscriber.offer([entry(103, "product-1"), entry(104, "order-1")])
    assert subscriber.at == 103
    await subscriber.wait()
