"""Whoever follows the log meets every event, also while the memory of recent ones rolls over."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import pytest

from embedded.eventstore import log as log_module
from embedded.eventstore.log import Log
from embedded.eventstore.records import ANY, Proposed
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
        if position >= log.head:  # what is committed can be read a moment before it is told
            call, arguments = committed.get(timeout=20)
            call(*arguments)
        for entry in log.all_page(position, forwards=True, count=100):
            assert entry.position == position + 1
            position = entry.position
    writing.join()
    log.close()
