"""Whoever follows the log meets every event, also while the memory of recent ones rolls over."""

import threading
from functools import partial
from pathlib import Path

import pytest

from embedded.eventstore import log as log_module
from embedded.eventstore.log import ANY, Log, Outcome, Proposed, _Writer

KEPT, COMMITS, AT_ONCE = 500, 1_500, 50


def test_a_follower_never_skips_an_event_while_others_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "RECENT", KEPT)
    log = Log(tmp_path, synchronous="OFF")
    places = threading.Semaphore(AT_ONCE)

    def write() -> None:
        def done(_: Outcome) -> None:
            places.release()

        for number in range(COMMITS):
            places.acquire()
            event = Proposed(number.to_bytes(16, "big"), "Happened", is_json=True, data=b"{}", metadata=b"")
            log.submit(partial(_Writer.append, stream="s-1", expected=ANY, events=[event]), done)

    writing = threading.Thread(target=write)
    writing.start()
    position = 0
    while position <= COMMITS:
        for entry in log.all_page(position, forwards=True, count=100):
            assert entry.position == position + 1
            position = entry.position
    writing.join()
    log.close()
