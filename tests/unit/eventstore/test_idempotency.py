"""Receipts: what is not at hand is found by its mark, and what never was is not."""

from hypothesis import given, settings
from hypothesis import strategies as st

from core.eventstore.idempotency import FINGERPRINT_SIZE, CommandResult, RequestIndex

REQUESTS = st.lists(st.tuples(st.uuids(), st.integers(1, 3)), unique_by=lambda pair: pair[0], max_size=40)


def noted(requests: list[tuple[str, int]], most: int) -> tuple[RequestIndex, dict[str, CommandResult]]:
    request_index, all_of_them, revision = RequestIndex(max_recent=most), {}, -1
    for request_id, events in requests:
        revision += events
        all_of_them[request_id] = CommandResult(revision, revision * 10)
        request_index.record(request_id, all_of_them[request_id], events)
    return request_index, all_of_them


def found(request_index: RequestIndex, request_id: str) -> int | None:
    """As a repository finds it; here there are no two ids with one mark."""
    recent = request_index.recent(request_id)
    return recent.revision if recent else next(request_index.candidate_revisions(request_id), None)


@settings(deadline=None)
@given(REQUESTS, st.integers(1, 10), st.integers(0, 80))
def test_every_request_is_found_whatever_is_at_hand_and_wherever_a_snapshot_was_made(
    pairs: list[tuple[object, int]], most: int, at: int
) -> None:
    requests = [(str(request_id), events) for request_id, events in pairs]
    request_index, all_of_them = noted(requests, most)
    assert {request_id: found(request_index, request_id) for request_id in all_of_them} == {
        request_id: result.revision for request_id, result in all_of_them.items()
    }
    last = max((result.revision for result in all_of_them.values()), default=-1)
    opened = RequestIndex(request_index.fingerprints(min(at, last)), most)
    for request_id, result in all_of_them.items():
        if result.revision > at:
            events = dict(requests)[request_id]
            opened.record(request_id, result, events)
    assert all(found(opened, request_id) == result.revision for request_id, result in all_of_them.items())


def test_a_request_that_never_was_has_nowhere_to_be() -> None:
    request_index, _ = noted([(f"request {n}", 2) for n in range(50)], most=5)
    assert request_index.recent("another") is None
    assert list(request_index.candidate_revisions("another")) == []


def test_a_mark_counts_only_where_one_begins() -> None:
    whole = RequestIndex(b"\x01\x02\x03\x04" * 3 + b"\x00" * FINGERPRINT_SIZE)
    whole.record("x", CommandResult(4, 0))
    across = RequestIndex(b"".join((whole.fingerprints(4)[2:], b"\x00\x00")))
    assert list(across.candidate_revisions("x")) == []


def test_an_event_noted_twice_stands_once() -> None:
    request_index, _ = noted([("a", 1), ("b", 1), ("c", 1)], most=2)
    before = request_index.fingerprints(2)
    request_index.record("a", CommandResult(0, 0))
    request_index.record_foreign(3)
    assert request_index.fingerprints(2) == before
    assert [found(request_index, x) for x in "abc"] == [0, 1, 2]


def test_those_until_a_revision_know_no_later_request_and_are_not_extended_by_one() -> None:
    request_index, _ = noted([("a", 1), ("b", 1), ("c", 1), ("d", 1)], most=2)
    some = request_index.until(2)
    request_index.record("e", CommandResult(4, 40))
    assert [found(some, x) for x in "abcde"] == [0, 1, 2, None, None]
    assert len(some.fingerprints(10)) == 3 * FINGERPRINT_SIZE
