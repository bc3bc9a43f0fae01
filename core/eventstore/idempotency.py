"""Which requests the events of a stream came from, and what each of them came to.

A repeat has to be known for as long as the stream exists, and a stream may be long. So the outcome itself is kept in
memory for the newest requests only. Of every older event there is a mark of 4 bytes, made of its request's id: it says
that a request is surely not among them, or at which revisions it may be; then one event is read to know.
"""

import zlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

MARK = 4  # bytes
NO_MARK = bytes(MARK)  # of an event that no request of ours has written
AT_HAND = 1_000  # receipts kept whole, per stream


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a command came to: the revision of its last event and that event's commit position.

    `unchanged`: it had nothing to write, so they are those of the aggregate then. `is_repeat`: it was done before.
    """

    revision: int
    position: int
    payload_hash: str = ""
    unchanged: bool = False
    is_repeat: bool = False


class Receipts:
    """It only ever grows by what the log says, so successive states of one aggregate share it.

    Those of another session of the store have one of their own (`until`), since the log may be another one.
    """

    __slots__ = ("_at_hand", "_marked_until", "_marks", "_most")

    def __init__(self, marks: bytes = b"", most: int = AT_HAND) -> None:
        self._marks = bytearray(marks)
        self._marked_until = len(marks) // MARK  # before this revision there are marks only
        self._at_hand: OrderedDict[str, Receipt] = OrderedDict()
        self._most = most

    def note(self, request_id: str, receipt: Receipt, events: int = 1) -> None:
        """The last so many events up to the receipt's revision came from this request."""
        self._mark(receipt.revision + 1 - events, mark(request_id) * events)
        self._at_hand[request_id] = receipt
        if len(self._at_hand) > self._most:
            _, oldest = self._at_hand.popitem(last=False)
            self._marked_until = max(self._marked_until, oldest.revision + 1)

    def note_foreign(self, revision: int) -> None:
        """An event without a request of ours."""
        self._mark(revision, NO_MARK)

    def at_hand(self, request_id: str) -> Receipt | None:
        return self._at_hand.get(request_id)

    def may_be_at(self, request_id: str) -> Iterator[int]:
        """Revisions at which an event of a request that is not at hand may stand, newest first."""
        wanted, end = mark(request_id), self._marked_until * MARK
        while (found := self._marks.rfind(wanted, 0, end)) >= 0:
            if found % MARK == 0:
                yield found // MARK
            end = found + MARK - 1

    def marks(self, revision: int) -> bytes:
        """The marks of all events up to a revision."""
        return bytes(self._marks[: (revision + 1) * MARK])

    def until(self, revision: int) -> "Receipts":
        """Those of the events up to a revision, by themselves."""
        some = Receipts(self.marks(revision), self._most)
        some._marked_until = min(self._marked_until, revision + 1)
        some._at_hand = OrderedDict((key, one) for key, one in self._at_hand.items() if one.revision <= revision)
        return some

    def _mark(self, revision: int, marks: bytes) -> None:
        start = revision * MARK
        assert start <= len(self._marks), "events are noted in their order"
        self._marks[start : start + len(marks)] = marks


def mark(request_id: str) -> bytes:
    return zlib.crc32(request_id.encode()).to_bytes(MARK, "big")
