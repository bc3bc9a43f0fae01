"""Positions in `$all` look like byte offsets: they rise with irregular gaps, and name their record without an index."""

from hypothesis import given
from hypothesis import strategies as st

from embedded.eventstore.positions import MIN_GAP, STEP, last_number, number_of, offset

LARGEST = 2**63 - 1
numbers = st.integers(0, 2**51)


@given(numbers)
def test_they_rise_by_hundreds_or_thousands(number: int) -> None:
    assert MIN_GAP <= offset(number + 1) - offset(number) < 2 * STEP
    assert offset(number + 1) < LARGEST


@given(numbers)
def test_each_names_its_record(number: int) -> None:
    assert number_of(offset(number)) == number == last_number(offset(number))


@given(numbers, st.data())
def test_between_two_there_is_no_record(number: int, data: st.DataObject) -> None:
    between = data.draw(st.integers(offset(number) + 1, offset(number + 1) - 1))
    assert number_of(between) is None
    assert last_number(between) == number


def test_gaps_are_irregular() -> None:
    gaps = [offset(number + 1) - offset(number) for number in range(1_000)]
    assert len(set(gaps)) > 500


def test_the_beginning_is_0() -> None:
    assert (offset(0), number_of(0)) == (0, 0)
    assert offset(1) > 1


def test_the_end_of_the_log_is_no_record() -> None:
    assert number_of(2**64 - 1) is None
    assert number_of(LARGEST) is None
