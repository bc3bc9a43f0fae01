"""Pages by time are cut into pieces: together they are the whole, whatever was learnt before."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.readmodel.time_windows import NEWEST_FIRST, OLDEST_FIRST, TimeWindow

times = st.integers(min_value=0, max_value=10_000)
ways = st.sampled_from([NEWEST_FIRST, OLDEST_FIRST])


def inside(piece: tuple[int | None, int | None], at: int) -> bool:
    low, high = piece
    return (low is None or at >= low) and (high is None or at < high)


def test_where_nothing_is_known_all_is_read_at_once() -> None:
    assert TimeWindow(NEWEST_FIRST).pieces(None, 100) == [(None, 100)]


@pytest.mark.parametrize(
    ("way", "bounds", "expected"),
    [
        (NEWEST_FIRST, (None, 1000), [(980, 1000), (680, 980), (None, 680)]),
        (NEWEST_FIRST, (700, 1000), [(980, 1000), (700, 980)]),
        (OLDEST_FIRST, (1000, None), [(1000, 1020), (1020, 1320), (1320, None)]),
        (OLDEST_FIRST, (1000, 1010), [(1000, 1010)]),
    ],
)
def test_a_page_is_asked_of_the_span_that_held_the_last_one_and_then_of_wider_ones(
    way: int, bounds: tuple[int | None, int | None], expected: list[tuple[int | None, int | None]]
) -> None:
    window = TimeWindow(way)
    window.held([500, 500 + way * 9], from_the_end=False)
    assert window.pieces(*bounds) == expected


def test_the_first_page_begins_at_the_end_that_was_seen_and_takes_what_is_newer_too() -> None:
    window = TimeWindow(NEWEST_FIRST)
    window.held([500, 491], from_the_end=True)
    assert window.pieces(None, None)[0] == (480, None)


@given(way=ways, held=st.lists(times, min_size=1), end=st.booleans(), low=times | st.none(), high=times | st.none())
def test_every_time_is_in_exactly_one_piece(
    way: int, held: list[int], low: int | None, high: int | None, *, end: bool
) -> None:
    window = TimeWindow(way)
    window.held(sorted(held, reverse=way == NEWEST_FIRST), from_the_end=end)
    pieces = window.pieces(low, high)
    for at in {0, 1, 5_000, 10_000, *held, *(x for piece in pieces for x in piece if x is not None)}:
        assert sum(inside(piece, at) for piece in pieces) == inside((low, high), at)


@given(way=ways, held=st.lists(times, min_size=1), at=times)
def test_the_pieces_come_in_the_order_of_reading(way: int, held: list[int], at: int) -> None:
    window = TimeWindow(way)
    window.held(sorted(held, reverse=way == NEWEST_FIRST), from_the_end=True)
    pieces = window.pieces(None, at) if way == NEWEST_FIRST else window.pieces(at, None)
    for earlier, later in itertools.pairwise(pieces):
        if way == NEWEST_FIRST:
            assert earlier[0] == later[1]
        else:
            assert earlier[1] == later[0]
