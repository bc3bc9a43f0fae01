"""Money that is split adds up, whatever it is split by."""

from itertools import pairwise

from hypothesis import assume, given
from hypothesis import strategies as st

from core.domain.money import MAX_AMOUNT, prorate, split

amounts = st.one_of(st.integers(0, 1000), st.integers(0, MAX_AMOUNT))
weights = st.lists(st.one_of(st.integers(0, 1000), st.integers(0, MAX_AMOUNT)), min_size=1, max_size=200)


@given(amounts, weights)
def test_the_parts_add_up_and_none_is_a_whole_unit_off(amount: int, by: list[int]) -> None:
    whole = sum(by)
    assume(whole > 0)
    parts = split(amount, by)
    assert sum(parts) == amount
    for part, weight in zip(parts, by, strict=True):
        assert abs(part * whole - amount * weight) < whole
        assert weight > 0 or part == 0


@given(weights, st.data())
def test_no_part_is_larger_than_its_weight_unless_the_amount_is_larger_than_all(
    by: list[int], data: st.DataObject
) -> None:
    amount = data.draw(st.integers(0, sum(by)))
    assert all(part <= weight for part, weight in zip(split(amount, by), by, strict=True))


def test_the_largest_remainders_are_rounded_up_and_the_first_of_equals_first() -> None:
    assert split(100, [1, 1, 1]) == [34, 33, 33]
    assert split(10, [6, 6, 1]) == [5, 4, 1]
    assert split(5, [1, 3]) == [1, 4]
    assert split(0, [0, 0]) == [0, 0]


@given(amounts, st.integers(1, 9_999), st.data())
def test_units_bought_together_are_worth_the_whole_however_they_are_taken_apart(
    amount: int, units: int, data: st.DataObject
) -> None:
    cuts = sorted({0, units, *data.draw(st.lists(st.integers(0, units), max_size=10))})
    parts = [prorate(amount, units, a, b - a) for a, b in pairwise(cuts)]
    assert sum(parts) == amount
    assert prorate(amount, units, 0, 1) - prorate(amount, units, units - 1, 1) in (0, 1)
