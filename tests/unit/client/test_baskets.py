"""Rows become baskets: whole cents only, and whatever cannot be sold is counted."""

from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from client.local.demo.baskets import Basket, Line, Row, baskets_of
from client.local.demo.survey import survey

NOON = datetime(2017, 1, 1, 12, tzinfo=UTC)


def row(product: int = 7, quantity: int = 1, value: int = 100, basket: int = 1) -> Row:
    return Row(basket, 900, product, quantity, value, NOON)


def prepared(*rows: Row, most: int = 1_000) -> tuple[list[Basket], dict[str, int]]:
    left_out: Counter[str] = Counter()
    return baskets_of(rows, most, left_out), dict(left_out)


def test_the_price_is_the_value_of_one_unit() -> None:
    (basket,), left_out = prepared(row(quantity=3, value=297))
    assert basket.lines == (Line("7", 7, 3, 99),)
    assert left_out == {}


def test_what_does_not_divide_is_sold_as_a_pack() -> None:
    (basket,), left_out = prepared(row(quantity=3, value=100))
    assert basket.lines == (Line("7-x3", 7, 1, 100),)
    assert left_out == {}


def test_a_gift_has_a_price_of_nothing() -> None:
    (basket,), _ = prepared(row(quantity=2, value=0))
    assert basket.lines == (Line("7", 7, 2, 0),)


def test_what_cannot_be_sold_is_counted_by_its_reason() -> None:
    rows = (row(1), row(2, quantity=0), row(3, quantity=10_000), row(4, value=-5))
    (basket,), left_out = prepared(*rows)
    assert [line.product for line in basket.lines] == [1]
    assert left_out == {"quantity_zero": 1, "quantity_over_9999": 1, "value_negative": 1}


def test_a_basket_with_nothing_left_is_counted_and_another_takes_its_place() -> None:
    baskets, left_out = prepared(row(quantity=0, basket=1), row(basket=2), row(basket=3), most=1)
    assert [basket.basket for basket in baskets] == [2]
    assert left_out == {"quantity_zero": 1, "basket_empty": 1}


def test_a_survey_counts_every_row_once_by_what_becomes_of_it_with_its_value() -> None:
    found = survey(
        [row(1, value=100), row(2, quantity=3, value=100), row(3, quantity=0, value=7), row(quantity=0, basket=2)]
    )
    assert found == {
        "baskets": 2,
        "baskets_left_out": 1,
        "rows": {
            "quantity_zero": {"rows": 2, "cents": 7 + row(quantity=0).value},
            "sold": {"rows": 2, "cents": 200},
            "sold_as_pack": {"rows": 1, "cents": 100},
        },
    }


def test_no_more_rows_are_taken_than_needed() -> None:
    rows = iter([row(basket=1), row(basket=2), row(basket=3), row(basket=4)])
    baskets_of(rows, 2, Counter())
    assert [left.basket for left in rows] == [4]


ROWS = st.builds(
    row,
    product=st.integers(1, 20),
    quantity=st.one_of(st.integers(0, 12), st.integers(9_990, 10_010)),
    value=st.integers(-50, 100_000),
    basket=st.just(1),
)


@given(st.lists(st.lists(ROWS, min_size=1, max_size=6), max_size=8))
def test_every_cent_and_every_row_is_either_sold_or_counted(groups: list[list[Row]]) -> None:
    rows = [Row(number, x.household, x.product, x.quantity, x.value, x.at) for number, group in enumerate(groups)
            for x in group]  # fmt: skip
    baskets, left_out = prepared(*rows)
    sellable = [x for x in rows if 0 < x.quantity <= 9_999 and x.value >= 0]
    assert sum(basket.total for basket in baskets) == sum(x.value for x in sellable)
    empty = left_out.pop("basket_empty", 0)
    assert sum(len(basket.lines) for basket in baskets) + sum(left_out.values()) == len(rows)
    assert len(baskets) + empty == len(groups)
