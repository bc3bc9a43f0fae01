"""Receipts: what is not at hand is found by its mark, and what never was is not."""

from hypothesis import given, settings
from hypothesis import strategies as st

from core.eventstore.idempotency import MARK, Receipt, Receipts

REQUESTS = st.lists(st.tuples(st.uuids(), st.integers(1, 3)), unique_by=lambda pair: pair[0], max_size=40)


def noted(requests: list[tuple[str, int]], most: int) -> tuple[Receipts, dict[str, Receipt]]:
    receipts, all_of_them, revision = Receipts(most=most), {}, -1
    for request_id, events in requests:
        revision += events
        all_of_them[request_id] = Receipt(revision, revision * 10)
        receipts.note(request_id, all_of_them[request_id], events)
    return receipts, all_of_them


def found(receipts: Receipts, request_id: str) -> int | None:
    """As a repository finds it; here there are no two ids with one mark."""
    at_hand = receipts.at_hand(request_id)
    return at_hand.revision if at_hand else next(receipts.may_be_at(request_id), None)


@settings(deadline=None)
@given(REQUESTS, st.integers(1, 10), st.integers(0, 80))
def test_every_request_is_found_whatever_is_at_hand_and_wherever_a_snapshot_was_made(
    pairs: list[tuple[object, int]], most: int, at: int
) -> None:
    requests = [(str(request_id), events) for request_id, events in pairs]
    receipts, all_of_them = noted(requests, most)
    assert {request_id: found(receipts, request_id) for request_id in all_of_them} == {
        request_id: receipt.revision for request_id, receipt in all_of_them.items()
    }
    last = max((receipt.revision for receipt in all_of_them.values()), default=-1)
    opened = Receipts(receipts.marks(min(at, last)), most)
    for request_id, receipt in all_of_them.items():
        if receipt.revision > at:
            events = dict(requests)[request_id]
            opened.note(request_id, receipt, events)
    assert all(found(opened, request_id) == receipt.revision for request_id, receipt in all_of_them.items())


def test_a_request_that_never_was_has_nowhere_to_be() -> None:
    receipts, _ = noted([(f"request {n}", 2) for n in range(50)], most=5)
    assert receipts.at_hand("another") is None
    assert list(receipts.may_be_at("another")) == []


def test_a_mark_counts_only_where_one_begins() -> None:
    whole = Receipts(b"\x01\x02\x03\x04" * 3 + b"\x00" * MARK)
    whole.note("x", Receipt(4, 0))
    across = Receipts(b"".join((whole.marks(4)[2:], b"\x00\x00")))
    assert list(across.may_be_at("x")) == []


def test_an_event_noted_twice_stands_once() -> None:
    receipts, _ = noted([("a", 1), ("b", 1), ("c", 1)], most=2)
    before = receipts.marks(2)
    receipts.note("a", Receipt(0, 0))
    receipts.note_foreign(3)
    assert receipts.marks(2) == before
    assert [found(receipts, x) for x in "abc"] == [0, 1, 2]


def test_those_until_a_revision_know_no_later_request_and_are_not_extended_by_one() -> None:
    receipts, _ = noted([("a", 1), ("b", 1), ("c", 1), ("d", 1)], most=2)
    some = receipts.until(2)
    receipts.note("e", Receipt(4, 40))
    assert [found(some, x) for x in "abcde"] == [0, 1, 2, None, None]
    assert len(some.marks(10)) == 3 * MARK
