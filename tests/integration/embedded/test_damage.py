"""Flipped bits, wiped pages, cut ends: named, or undone to an earlier whole state; never served."""

import random
import shutil
import sqlite3
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedded.eventstore import stream_index
from embedded.eventstore.errors import DamagedRecordError, LogError
from embedded.eventstore.log import Log
from embedded.eventstore.records import ANY, Entry, Proposed, system_event
from embedded.eventstore.writer import Outcome, Writer, Written

STREAMS = [f"order-{n}" for n in range(20)]
METADATA = "$$order-1"
PAGE = 4096
SEED = 1  # its position
Damage = Callable[[random.Random, bytearray], bytearray]


@dataclass(frozen=True)
class Contents:
    """All that a log answers with; its first event is its own, and new if all others are undone."""

    everything: list[Entry]
    streams: dict[str, list[Entry]]
    newest: dict[str, Entry | None]


def a_bit(chance: random.Random, content: bytearray) -> bytearray:
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return content


def a_byte(chance: random.Random, content: bytearray) -> bytearray:
    at = chance.randrange(len(content))
    content[at] = (content[at] + chance.randrange(1, 256)) % 256
    return content


def a_page(chance: random.Random, content: bytearray) -> bytearray:
    start = chance.randrange(len(content)) // PAGE * PAGE
    content[start : start + PAGE] = bytes(len(content[start : start + PAGE]))
    return content


def the_end(chance: random.Random, content: bytearray) -> bytearray:
    return content[: chance.randrange(1, len(content))]


@pytest.fixture(autouse=True)
def half_of_the_names_are_indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_index, "INDEXED_TOGETHER", 3 * len(STREAMS) // 4)


KINDS: dict[Damage, int] = {a_bit: 3, a_byte: 1, a_page: 1, the_end: 1}  # and how often


def write(log: Log, run: Callable[[Writer], Outcome]) -> None:
    done = threading.Event()
    outcomes: list[Outcome] = []

    def answered(outcome: Outcome) -> None:
        outcomes.append(outcome)
        done.set()

    log.submit(run, answered)
    assert done.wait(30)
    assert isinstance(outcomes[0], Written)


def fill(log: Log, chance: random.Random) -> None:
    for _ in range(4):
        for stream in STREAMS:
            events = [
                Proposed(
                    uuid.uuid4().bytes, f"E{n}", is_json=True, data=b"%d" % chance.getrandbits(800), metadata=b"{}"
                )
                for n in range(3)
            ]
            write(log, lambda writer, s=stream, e=events: writer.append(s, ANY, e))  # type: ignore[misc]  # bound here
    limited = system_event("$metadata", {"$maxCount": 3})
    write(log, lambda writer: writer.append(METADATA, ANY, [limited]))


def all_of(log: Log) -> Contents:
    everything: list[Entry] = []
    while page := log.all_page(everything[-1].position if everything else SEED, forwards=True, count=500):
        everything += page
    streams = {name: log.stream_page(name, 0, forwards=True, count=500) for name in (*STREAMS, METADATA)}
    assert log.state("persistent") == {}
    return Contents(everything, streams, {name: log.last_of(name) for name in streams})


def up_to(whole: Contents, count: int) -> Contents:
    """The same as it was after so many events."""
    everything = whole.everything[:count]
    streams = {name: [e for e in everything if e.stream == name] for name in whole.streams}
    return Contents(everything, streams, {name: found[-1] if found else None for name, found in streams.items()})


def damage(directory: Path, file: str, chances: range, tmp_path: Path, whole: Contents) -> Counter[str]:
    """What became of the log after each of many damages to one of its files."""
    found: Counter[str] = Counter()
    for seed in chances:
        chance = random.Random(seed)
        copy = tmp_path / f"damaged-{seed}"
        shutil.copytree(directory, copy)
        [kind] = chance.choices(list(KINDS), list(KINDS.values()))
        (copy / file).write_bytes(kind(chance, bytearray((copy / file).read_bytes())))
        try:
            with closing(Log(copy)) as log:
                answered = all_of(log)
        except LogError:
            found["refused at the start"] += 1
        except DamagedRecordError:
            found["named when read"] += 1
        else:
            count = len(answered.everything)
            assert answered == up_to(whole, count), f"{kind.__name__} with seed {seed} was served"
            found["harmless" if count == len(whole.everything) else "undone to an earlier state"] += 1
            if file == "events.db":
                assert count == len(whole.everything), f"{kind.__name__} with seed {seed}: events are missing"
        shutil.rmtree(copy)
    return found


def of_the_file(tmp_path: Path, chances: range) -> Counter[str]:
    chance = random.Random(0)
    with closing(Log(tmp_path / "log")) as log:
        fill(log, chance)
        whole = all_of(log)
    return damage(tmp_path / "log", "events.db", chances, tmp_path, whole)


def of_the_log_beside_it(tmp_path: Path, chances: range) -> Counter[str]:
    chance = random.Random(0)
    with closing(Log(tmp_path / "log")) as log:
        fill(log, chance)
        whole = all_of(log)
        shutil.copytree(tmp_path / "log", tmp_path / "killed")  # as a kill would leave it
    return damage(tmp_path / "killed", "events.db-wal", chances, tmp_path, whole)


FORMS = [range(30), pytest.param(range(500), marks=pytest.mark.long)]


@pytest.mark.parametrize("chances", FORMS, ids=len)
def test_damage_to_the_file_is_never_served(tmp_path: Path, chances: range) -> None:
    found = of_the_file(tmp_path, chances)
    assert found["named when read"], found
    assert found["refused at the start"], found


@pytest.mark.parametrize("chances", FORMS, ids=len)
def test_damage_to_the_log_beside_it_is_reported_or_undoes_the_newest_commits(tmp_path: Path, chances: range) -> None:
    found = of_the_log_beside_it(tmp_path, chances)
    assert found["refused at the start"], found
    assert found["undone to an earlier state"], found


def lose_a_stream(file: Path) -> None:
    """Change its name in the index alone, so that it is not found although all of it is there."""
    content = file.read_bytes()
    name, at = STREAMS[7].encode(), -1
    while (at := content.find(name, at + 1)) >= 0:
        file.write_bytes(content[:at] + b"x" + content[at + 1 :])
        with closing(sqlite3.connect(file)) as connection:
            if connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                return
    raise AssertionError("the name is in no index")


def test_a_stream_that_an_index_has_lost_is_not_taken_for_one_that_never_was(tmp_path: Path) -> None:
    with closing(Log(tmp_path)) as log:
        fill(log, random.Random(0))
    lose_a_stream(tmp_path / "events.db")
    with pytest.raises(LogError, match="damaged"):
        Log(tmp_path)


def look_for(log: Log, seconds: float) -> None:
    """Ask for a stream that is well, again and again."""
    deadline = time.monotonic() + seconds
    with closing(log):
        while time.monotonic() < deadline:
            log.last_of(STREAMS[0])


def test_damage_that_is_found_while_the_log_is_used_ends_its_use(tmp_path: Path) -> None:
    with closing(Log(tmp_path)) as log:
        fill(log, random.Random(0))
    lose_a_stream(tmp_path / "events.db")
    with pytest.raises((DamagedRecordError, LogError), match="damaged"):
        look_for(Log(tmp_path, check_within=0), seconds=20)
