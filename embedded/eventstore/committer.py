"""The committer: one thread that writes, and one fsync for everything that waits.

Records are numbered inside the commit, by the one writer, so they become visible in order and without a gap. An append
is acknowledged after its commit has returned, and SQLite (WAL, synchronous=FULL) returns after the fsync.
"""

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from embedded.eventstore.records import Entry
from embedded.eventstore.writer import Outcome, Writer

log = logging.getLogger(__name__)

MAX_IN_ONE_COMMIT = 512
GATHER_FROM = 16  # requests in a commit from which on the next one waits for more requests
GATHER_STEP = 0.001  # seconds
GATHER_LEAST = 4  # requests; a step that brings fewer was the last
GATHER_STEPS = 6


class Job(NamedTuple):
    run: Callable[[Writer], Outcome]
    done: Callable[[Outcome], None]
    stream: str | None


class NotWrittenError(Exception):
    """The disk did not take it. Nothing of the request is in the log, unless the text says that this is unknown."""


class Committer:
    """`deliver` receives the entries of each commit, its jobs and their outcomes. `damage` says why the log cannot be
    used any more, if it was damaged meanwhile.
    """

    def __init__(
        self,
        writer: Writer,
        deliver: Callable[[list[Entry], Sequence[Job], Sequence[Outcome]], object],
        *,
        damage: Callable[[], str | None],
    ) -> None:
        self._writer = writer
        self._deliver = deliver
        self._damage = damage
        self._broken: NotWrittenError | None = None  # until a restart
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._commit_forever, name="committer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is queued."""
        self._jobs.put(None)
        self._thread.join()

    def submit(
        self, run: Callable[[Writer], Outcome], done: Callable[[Outcome], None], stream: str | None = None
    ) -> None:
        """Queue a write. `done` is called by way of `deliver`, after the commit, or with what prevented it.

        `stream` is the one it is about: those of a complete batch are looked up at once.
        `run` decides on the committer's thread. It may be called more than once, and only its last call counts.
        """
        self._jobs.put(Job(run, done, stream))

    def _commit_forever(self) -> None:
        together = 0  # requests in the last commit
        while (first := self._jobs.get()) is not None:
            if together >= GATHER_FROM:
                self._wait_for_group_commit()
            jobs = [first]
            stopping = False
            while len(jobs) < MAX_IN_ONE_COMMIT:
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if job is None:
                    stopping = True
                    break
                jobs.append(job)
            entries, outcomes = self._commit(jobs)
            together = len(jobs)
            try:
                self._deliver(entries, jobs, outcomes)
            except RuntimeError:  # the loop that waits for the answers has ended: no caller waits for them
                log.warning("%d requests were written while the node stopped", len(jobs))
            if stopping:
                return

    def _wait_for_group_commit(self) -> None:
        """Let more requests arrive before a commit, while there are many.

        A commit costs an fsync and the interpreter's lock several times over, however many requests are in it. Few
        callers at once never wait here, and those that wait for their answers are not kept waiting by silence.
        """
        before = self._jobs.qsize()
        for _ in range(GATHER_STEPS):
            time.sleep(GATHER_STEP)
            there = self._jobs.qsize()
            if there - before < GATHER_LEAST or there >= MAX_IN_ONE_COMMIT:
                return
            before = there

    def _commit(self, jobs: Sequence[Job]) -> tuple[list[Entry], list[Outcome]]:
        damage = self._damage()
        refusal = self._broken if damage is None else NotWrittenError(damage)
        if refusal is not None:
            return [], [refusal] * len(jobs)
        refused: dict[int, Outcome] = {}
        for _ in range(len(jobs) + 1):  # each round refuses one job more
            outcomes: list[Outcome] = []
            try:
                self._writer.begin()
                self._writer.look_up({job.stream for job in jobs if job.stream is not None})
                for index, job in enumerate(jobs):
                    outcomes.append(refused[index] if index in refused else job.run(self._writer))
                return self._writer.commit(), outcomes
            except sqlite3.Error as error:
                return [], [self._failed(error, len(jobs))] * len(jobs)
            except Exception as error:  # a request that cannot be carried out must not hurt the others
                log.error("a request cannot be carried out", exc_info=error)
                self._writer.roll_back()
                refused[len(outcomes)] = error
        raise AssertionError("a job that was refused cannot fail again")

    def _failed(self, error: sqlite3.Error, requests: int) -> NotWrittenError:
        log.error("nothing of %d requests was written: %s", requests, error)
        try:
            self._writer.roll_back()
        except sqlite3.Error as again:
            self._broken = NotWrittenError(f"the log cannot be written until the node is restarted: {again}")
        full = "full" in str(error)
        if not full and isinstance(error, sqlite3.OperationalError):
            # after a failed fsync the content of the disk is unknown: only reading it again, at a start, shows it
            self._broken = NotWrittenError(
                f"the disk failed ({error}); the log takes no more writes until the node is restarted, "
                "and whether this one was written is unknown until then"
            )
        return self._broken or NotWrittenError(f"the log cannot be written: {error}; free some space and try again")
