"""The rules of discounts and shipping, one sentence each, and that what an order costs adds up."""

from typing import Any

import pytest
from hypothesis import given as whatever
from hypothesis import strategies as st

from core.domain.money import MAX_AMOUNT
from core.domain.order import ORDER
from core.domain.rejection import Reason
from tests.support import deciding
from tests.support.orders import (
    ORDER_ID,
    address_changed,
    by,
    cancel,
    cancelled,
    change_quantity,
    confirmed,
    created,
    discount,
    discount_removed,
    discounted,
    line_added,
    line_removed,
    line_repriced,
    listing,
    off,
    order_line,
    place,
    placed,
    refresh_prices,
    remove_discount,
    set_shipping,
    shipping_set,
)


def given(*history: Any) -> deciding.Given[Any, Any, Any]:
    return deciding.given(ORDER, *history)


DRAFT = (created(), line_added(), address_changed())
EDITS = [refresh_prices(), set_shipping(), discount(amount=1), remove_discount()]


class TestRefreshingPrices:
    def test_each_line_of_a_draft_takes_the_current_price_and_only_those_that_change_say_so(self) -> None:
        history = (created(), line_added("tea", 2, 350), line_added("milk", 3, 101), address_changed())
        given(*history).when(refresh_prices(listing("tea", 400), listing("milk", 101))).then(
            line_repriced("tea", 400, previous=350)
        )

    def test_two_lines_of_one_product_both_change(self) -> None:
        history = (created(), line_added("a", sku="tea"), line_added("b", sku="tea"))
        given(*history).when(refresh_prices(listing("tea", 400))).then(line_repriced("a"), line_repriced("b"))

    def test_where_no_price_moved_nothing_changes(self) -> None:
        given(*DRAFT).when(refresh_prices(listing("tea", 350))).nothing()
        given(created()).when(refresh_prices()).nothing()

    def test_afterwards_the_order_is_placed_at_the_new_prices(self) -> None:
        given(*DRAFT).when(place(listing("tea", 400))).rejected(Reason.PRICE_CHANGED, order_id=ORDER_ID, line_id="tea")
        given(*DRAFT, line_repriced("tea", 400)).when(place(listing("tea", 400))).then(
            placed(order_line("tea", 2, 400))
        )

    def test_a_discount_must_still_fit_when_the_order_is_placed(self) -> None:
        cheap = (*DRAFT, discounted(amount=700), line_repriced("tea", 100))
        given(*cheap).when(place(listing("tea", 100))).rejected(Reason.DISCOUNT_EXCEEDS_TOTAL, goods_minor=200)

    def test_a_product_that_is_not_on_sale_any_more_is_named(self) -> None:
        line = {"sku": "tea", "order_id": ORDER_ID, "line_id": "tea"}
        given(*DRAFT).when(refresh_prices(listing(sellable=False))).rejected(Reason.PRODUCT_NOT_SELLABLE, **line)
        given(*DRAFT).when(refresh_prices(listing("milk"))).rejected(Reason.PRODUCT_NOT_SELLABLE, **line)
        given(*DRAFT).when(place(listing(sellable=False))).rejected(Reason.PRODUCT_NOT_SELLABLE, **line)

    def test_a_product_in_another_currency_is_named(self) -> None:
        given(*DRAFT).when(refresh_prices(listing(currency="USD"))).rejected(
            Reason.CURRENCY_MISMATCH, sku="tea", line_id="tea", product_currency="USD"
        )


class TestShippingMethod:
    def test_a_draft_says_how_it_is_sent_and_what_that_costs(self) -> None:
        given(*DRAFT).when(set_shipping(500)).then(shipping_set(500))
        given(*DRAFT).when(set_shipping(0, "pick up")).then(shipping_set(0, "pick up"))

    def test_the_same_again_changes_nothing_and_another_replaces_it(self) -> None:
        given(*DRAFT, shipping_set()).when(set_shipping()).nothing()
        given(*DRAFT, shipping_set(500)).when(set_shipping(600)).then(shipping_set(600))

    def test_its_price_is_0_or_more_in_the_currency_of_the_order(self) -> None:
        given(*DRAFT).when(set_shipping(-1)).rejected(Reason.AMOUNT_INVALID, field="price")
        given(*DRAFT).when(set_shipping(currency="USD")).rejected(Reason.CURRENCY_MISMATCH, order_currency="EUR")

    @pytest.mark.parametrize("command", EDITS, ids=lambda x: type(x).__name__)
    @pytest.mark.parametrize("more", [(placed(),), (placed(), confirmed()), (cancelled(),)])
    def test_only_a_draft_can_be_priced_again(self, more: tuple[Any, ...], command: Any) -> None:
        given(*DRAFT, *more).when(command).rejected(Reason.ORDER_NOT_EDITABLE)


class TestDiscounts:
    def test_an_amount_or_a_share_can_be_taken_off(self) -> None:
        given(*DRAFT).when(discount(amount=700)).then(discounted(amount=700))
        given(*DRAFT).when(discount(basis_points=10_000)).then(discounted(basis_points=10_000))

    def test_the_same_again_changes_nothing(self) -> None:
        given(*DRAFT, discounted(amount=700)).when(discount(amount=700)).nothing()

    def test_a_discount_id_cannot_stand_for_two(self) -> None:
        given(*DRAFT, discounted(amount=700)).when(discount(amount=1)).rejected(
            Reason.DISCOUNT_EXISTS, discount_id="d1"
        )

    def test_no_more_can_be_taken_off_than_the_goods_cost(self) -> None:
        given(*DRAFT, shipping_set()).when(discount(amount=701)).rejected(
            Reason.DISCOUNT_EXCEEDS_TOTAL, discount_id="d1", amount_minor=701, goods_minor=700
        )
        given(*DRAFT, discounted("d1", amount=500)).when(discount("d2", amount=201)).rejected(
            Reason.DISCOUNT_EXCEEDS_TOTAL, discount_id="d2"
        )

    def test_lines_that_go_after_it_was_given_make_it_too_large_to_place(self) -> None:
        history = (*DRAFT, line_added("milk", 1, 100), discounted(amount=701), line_removed("milk"))
        given(*history).when(place()).rejected(Reason.DISCOUNT_EXCEEDS_TOTAL, amount_minor=701, goods_minor=700)
        given(*history, discount_removed()).when(place()).then(placed())

    @pytest.mark.parametrize(
        "value",
        [
            discount(),
            discount(amount=1, basis_points=1),
            discount(basis_points=-1),
            discount(basis_points=10_001),
        ],
    )
    def test_it_is_an_amount_or_a_share_and_never_more_than_all(self, value: Any) -> None:
        given(*DRAFT).when(value).rejected(Reason.DISCOUNT_INVALID)

    @pytest.mark.parametrize("amount", [0, -1, MAX_AMOUNT + 1])
    def test_an_amount_is_at_least_1_and_exact(self, amount: int) -> None:
        given(*DRAFT).when(discount(amount=amount)).rejected(Reason.AMOUNT_INVALID, field="amount")

    def test_an_amount_is_in_the_currency_of_the_order(self) -> None:
        given(*DRAFT).when(discount(amount=1, currency="USD")).rejected(Reason.CURRENCY_MISMATCH)

    def test_the_21st_is_one_too_many(self) -> None:
        twenty = [discounted(f"d{n}", amount=1) for n in range(20)]
        given(*DRAFT, *twenty).when(discount("d20", amount=1)).rejected(
            Reason.TOO_MANY_ENTRIES, what="discounts", most=20
        )
        given(*DRAFT, *twenty).when(discount("d19", amount=1)).nothing()

    def test_it_can_be_taken_back(self) -> None:
        given(*DRAFT, discounted(amount=1)).when(remove_discount()).then(discount_removed())
        given(*DRAFT).when(remove_discount()).nothing()


class TestTotals:
    def test_placing_fixes_what_is_taken_off_and_each_line_s_share(self) -> None:
        history = (
            created(),
            line_added("tea", 2, 350),
            line_added("milk", 3, 101),
            address_changed(),
            shipping_set(500),
            discounted("d1", amount=100),
            discounted("d2", basis_points=1_000),
        )
        # 1003 - 100 = 903, a tenth of which is 90.3; of 190 in all the tea has 700/1003, the milk 303/1003
        given(*history).when(place(listing("tea", 350), listing("milk", 101))).then(
            placed(
                order_line("tea", 2, 350, discount=133),
                order_line("milk", 3, 101, discount=57),
                discounts=(off("d1", 100), off("d2", 90)),
                shipping=by("express", 500),
            )
        )

    def test_half_a_minor_unit_is_rounded_up(self) -> None:
        history = (created(), line_added(quantity=1, price=5), address_changed(), discounted(basis_points=1_000))
        given(*history).when(place(listing(price=5))).then(
            placed(order_line(quantity=1, price=5, discount=1), discounts=(off("d1", 1),))
        )

    def test_cancelling_undoes_the_whole_total(self) -> None:
        history = (*DRAFT, placed(order_line(discount=100), discounts=(off(amount=100),), shipping=by(price=500)))
        given(*history).when(cancel()).then(cancelled(total=history[-1].total))
        draft = (*DRAFT, discounted(amount=100), shipping_set(500))
        given(*draft).when(cancel()).then(cancelled(total=history[-1].total, placed_at=None))

    def test_a_total_with_shipping_must_be_exact_in_every_reader(self) -> None:
        history = (created(), line_added(quantity=1, price=MAX_AMOUNT), address_changed(), shipping_set(1))
        given(*history).when(place(listing(price=MAX_AMOUNT))).rejected(Reason.TOTAL_TOO_LARGE)

    @whatever(
        st.lists(st.tuples(st.integers(1, 50), st.integers(0, 10_000)), min_size=1, max_size=20),
        st.lists(st.one_of(st.builds(lambda n: {"basis_points": n}, st.integers(1, 10_000)),
                           st.builds(lambda n: {"amount": n}, st.integers(1, 5_000))), max_size=6),
        st.one_of(st.none(), st.integers(0, 2_000)),
    )  # fmt: skip
    def test_whatever_is_taken_off_lines_and_discounts_add_up_to_the_total(
        self, lines: list[tuple[int, int]], values: list[dict[str, Any]], shipping: int | None
    ) -> None:
        history: list[Any] = [created(), address_changed()]
        history += [line_added(f"sku{n}", quantity, price) for n, (quantity, price) in enumerate(lines)]
        history += [] if shipping is None else [shipping_set(shipping)]
        for n, value in enumerate(values):
            decided = given(*history).when(discount(f"d{n}", **value))
            history += decided.events or []
        listings = [listing(f"sku{n}", price) for n, (_, price) in enumerate(lines)]
        [event] = given(*history).when(place(*listings)).events or []
        goods = sum(quantity * price for quantity, price in lines)
        taken = sum(x.amount.amount_minor for x in event.discounts)
        assert event.goods_total.amount_minor == goods
        assert event.discount_total.amount_minor == taken == sum(x.discount.amount_minor for x in event.lines)
        assert event.total.amount_minor == goods - taken + (shipping or 0)
        assert all(0 <= x.discount.amount_minor <= x.line_total.amount_minor for x in event.lines)
        assert all(x.line_total.amount_minor == x.quantity * x.unit_price.amount_minor for x in event.lines)


def test_changing_a_quantity_moves_a_share_with_it() -> None:
    history = (*DRAFT, discounted(basis_points=5_000))
    [event] = (
        given(*history, *(given(*history).when(change_quantity(quantity=4)).events or ())).when(place()).events or []
    )
    assert event.discount_total.amount_minor == 700
