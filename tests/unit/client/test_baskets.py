"""Rows of the data set as orders: every cent counts, and what is left out is counted."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from client.demo.baskets import Line, Row, baskets_of

NINE = datetime(2017, 1, 1, 9, 0, tzinfo=UTC)


def row(basket: int = 1, product: int = 7, quantity: int = 2, value: int = 700, minutes: int = 0) -> Row:
    return Row(basket, 900, product, quantity, value, NINE + timedelta(minutes=minutes))


def lines_of(*rows: Row) -> tuple[Line, ...]:
    [basket] = baskets_of(rows, 10, Counter())
    return basket.lines


def test_the_price_of_a_unit_is_the_value_divided_by_the_quantity() -> None:
    assert lines_of(row(quantity=2, value=700)) == (Line("7", 7, 2, 350),)


def test_a_value_that_does_not_divide_is_sold_as_a_pack() -> None:
    assert lines_of(row(quantity=3, value=100)) == (Line("7-x3", 7, 1, 100),)


def test_what_cannot_be_a_line_is_left_out_by_reason() -> None:
    left_out: Counter[str] = Counter()
    rows = [row(basket=1, quantity=0), row(basket=2, quantity=10_000), row(basket=2), row(basket=3, quantity=9_999)]
    baskets = baskets_of(rows, 10, left_out)
    assert [basket.basket for basket in baskets] == [2, 3]
    assert left_out == {"quantity_zero": 1, "quantity_over_9999": 1, "basket_empty": 1}


def test_baskets_come_in_time_order_and_no_more_than_wanted() -> None:
    rows = [row(basket=1, minutes=9), row(basket=2, minutes=3), row(basket=3, minutes=6)]
    assert [basket.basket for basket in baskets_of(rows, 2, Counter())] == [2, 3]


@given(st.lists(st.tuples(st.integers(1, 9_999), st.integers(0, 10**7)), min_size=1, max_size=20))
def test_not_a_cent_is_lost(sold: list[tuple[int, int]]) -> None:
    rows = [row(product=n, quantity=quantity, value=value) for n, (quantity, value) in enumerate(sold)]
    [basket] = baskets_of(rows, 1, Counter())
    assert basket.total == sum(value for _, value in sold)
