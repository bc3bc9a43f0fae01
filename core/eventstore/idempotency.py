"""Idempotency: the index of the request ids of a stream, with the result of each command.

A repeated request must be recognised for as long as its stream exists, and a stream may be long. Only the results of
the newest requests are kept in memory. For every older event the index has a fingerprint of 4 bytes of its request id.
The fingerprints either exclude a request or give the revisions at which its events may be; one event is read to decide.
"""

import zlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

FINGERPRINT_SIZE = 4  # bytes
NO_FINGERPRINT = bytes(FINGERPRINT_SIZE)  # of an event that no request of ours has written
MAX_RECENT = 1_000  # complete results in memory, per stream


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The result of a command: the revision and the commit position of its last event.

    `unchanged`: the command wrote nothing; revision and position are those of the aggregate at that time.
    `is_repeat`: the command had been executed before.
    """

    revision: int
    position: int
    payload_hash: str = ""
    unchanged: bool = False
    is_repeat: bool = False


class RequestIndex:
    """Entries are only appended, so all states of an aggregate can share one index.

    In a new session of the store an aggregate gets its own copy (`until`), since the log may have been replaced.
    """

    __slots__ = ("_fingerprints", "_max_recent", "_older_until", "_recent")

    def __init__(self, fingerprints: bytes = b"", max_recent: int = MAX_RECENT) -> None:
        self._fingerprints = bytearray(fingerprints)
        self._older_until = len(fingerprints) // FINGERPRINT_SIZE  # earlier revisions have a fingerprint only
        self._recent: OrderedDict[str, CommandResult] = OrderedDict()
        self._max_recent = max_recent

    def record(self, request_id: str, result: CommandResult, events: int = 1) -> None:
        """This request wrote the last `events` events up to the revision of the result."""
        self._write(result.revision + 1 - events, fingerprint(request_id) * events)
        self._recent[request_id] = result
        if len(self._recent) > self._max_recent:
            _, oldest = self._recent.popitem(last=False)
            self._older_until = max(self._older_until, oldest.revision + 1)

    def record_foreign(self, revision: int) -> None:
        """Record an event that was not written by a request of ours."""
        self._write(revision, NO_FINGERPRINT)

    def recent(self, request_id: str) -> CommandResult | None:
        return self._recent.get(request_id)

    def candidate_revisions(self, request_id: str) -> Iterator[int]:
        """The revisions at which an older request may have events, newest first."""
        wanted, end = fingerprint(request_id), self._older_until * FINGERPRINT_SIZE
        while (found := self._fingerprints.rfind(wanted, 0, end)) >= 0:
            if found % FINGERPRINT_SIZE == 0:
                yield found // FINGERPRINT_SIZE
            end = found + FINGERPRINT_SIZE - 1

    def fingerprints(self, revision: int) -> bytes:
        """The fingerprints of all events up to a revision."""
        return bytes(self._fingerprints[: (revision + 1) * FINGERPRINT_SIZE])

    def until(self, revision: int) -> "RequestIndex":
        """An independent copy that ends at a revision."""
        some = RequestIndex(self.fingerprints(revision), self._max_recent)
        some._older_until = min(self._older_until, revision + 1)
        some._recent = OrderedDict((key, one) for key, one in self._recent.items() if one.revision <= revision)
        return some

    def _write(self, revision: int, fingerprints: bytes) -> None:
        start = revision * FINGERPRINT_SIZE
        assert start <= len(self._fingerprints), "events are recorded in their order"
        self._fingerprints[start : start + len(fingerprints)] = fingerprints


def fingerprint(request_id: str) -> bytes:
    return zlib.crc32(request_id.encode()).to_bytes(FINGERPRINT_SIZE, "big")
