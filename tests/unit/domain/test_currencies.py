"""Which currencies there are, with how many digits, and where one that has ended is still taken."""

from dataclasses import replace
from typing import Any

import pytest
from iso4217 import Currency

from client.currencies import MINOR_DIGITS
from core.domain.money import CURRENCIES, ENDED_CURRENCIES, Money
from core.domain.order import ORDER
from core.domain.product import PRODUCT
from core.domain.product.commands import ChangePrice, RegisterProduct
from core.domain.product.events import PriceChanged, ProductRegistered
from core.domain.rejection import Reason
from tests.support import deciding
from tests.support.orders import (
    NOON,
    ORDER_ID,
    address_changed,
    authorise,
    authorised,
    capture,
    captured,
    confirmed,
    create,
    created,
    discount,
    discounted,
    line_added,
    listing,
    place,
    placed,
    refund,
    refund_requested,
    refunded,
    set_shipping,
    settle,
    shipping_set,
)

# codes of the table of ISO 4217 that are no currency in circulation → why nothing is priced in them
NOT_IN_CIRCULATION = {
    **dict.fromkeys(("BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI", "UYW"), "a fund"),
    **dict.fromkeys(("XAG", "XAU", "XPD", "XPT"), "a metal"),
    **dict.fromkeys(("XBA", "XBB", "XBC", "XBD"), "a unit of the bond market"),
    **dict.fromkeys(("XAD", "XDR", "XSU", "XUA"), "a unit of account of banks"),
    "XTS": "for tests",
    "XXX": "no currency",
}
PUBLISHED = {currency.code: currency.exponent for currency in Currency}


def test_currencies_and_their_digits_are_those_of_iso_4217() -> None:
    assert set(NOT_IN_CIRCULATION) <= set(PUBLISHED)
    in_circulation = {code: digits for code, digits in PUBLISHED.items() if code not in NOT_IN_CIRCULATION}
    assert in_circulation == CURRENCIES


def test_a_currency_that_has_ended_is_in_no_table_of_today() -> None:
    assert not set(ENDED_CURRENCIES) & set(PUBLISHED)


def test_the_command_line_knows_the_digits_of_both() -> None:
    assert {**CURRENCIES, **ENDED_CURRENCIES} == MINOR_DIGITS


def leva(amount_minor: int) -> Money:
    return Money(amount_minor=amount_minor, currency="BGN")


def an_order(*history: Any) -> deciding.Given[Any, Any, Any]:
    return deciding.given(ORDER, *history)


def a_product(*history: Any) -> deciding.Given[Any, Any, Any]:
    return deciding.given(PRODUCT, *history)


DRAFT = (created(currency="BGN"), line_added(unit_price=leva(350)), address_changed())
PLACED = (*DRAFT, replace(placed(), total=leva(700)))


class TestACurrencyThatHasEnded:
    @pytest.mark.parametrize("currency", ENDED_CURRENCIES)
    def test_opens_no_order_and_prices_no_product(self, currency: str) -> None:
        an_order().when(create(currency=currency)).rejected(Reason.CURRENCY_ENDED, currency=currency)
        register = RegisterProduct(sku="tea", name="Tea", price=Money(amount_minor=1, currency=currency), at=NOON)
        a_product().when(register).rejected(Reason.CURRENCY_ENDED, currency=currency)

    def test_is_still_the_money_of_a_draft_that_was_opened_before(self) -> None:
        an_order(*DRAFT).when(set_shipping(500, currency="BGN")).then(replace(shipping_set(), price=leva(500)))
        an_order(*DRAFT).when(discount(amount=100, currency="BGN")).then(
            replace(discounted(amount=100), amount=leva(100))
        )
        placing = an_order(*DRAFT).when(place(listing(currency="BGN")))
        assert placing.rejection is None
        assert [event.total for event in placing.events or ()] == [leva(700)]

    def test_is_still_the_money_of_an_order_that_was_placed_before(self) -> None:
        paid = (
            replace(authorised("a1", 700), amount=leva(700)),
            replace(captured("c1", 700, "a1"), amount=leva(700)),
            replace(refund_requested("r1", 100), amount=leva(100)),
            replace(refunded("r1", 100), amount=leva(100)),
        )
        commands = (
            authorise("a1", 700, currency="BGN"),
            capture("c1", 700, "a1", currency="BGN"),
            refund("r1", 100, currency="BGN"),
            settle("r1"),
        )
        for number, (command, event) in enumerate(zip(commands, paid, strict=True)):
            an_order(*PLACED, confirmed(), *paid[:number]).when(command).then(event)


class TestAProductWhoseCurrencyHasEnded:
    REGISTERED = ProductRegistered(sku="tea", name="Tea", price=leva(350), at=NOON)
    IN_EUROS = PriceChanged(sku="tea", price=Money(amount_minor=179, currency="EUR"), previous=leva(350), at=NOON)

    def change(self, amount_minor: int, currency: str) -> ChangePrice:
        return ChangePrice(sku="tea", price=Money(amount_minor=amount_minor, currency=currency), at=NOON)

    def test_can_be_priced_in_another_one(self) -> None:
        a_product(self.REGISTERED).when(self.change(179, "EUR")).then(self.IN_EUROS)

    def test_keeps_that_one_from_then_on(self) -> None:
        a_product(self.REGISTERED, self.IN_EUROS).when(self.change(2, "USD")).rejected(
            Reason.PRODUCT_CURRENCY_FIXED, currency="EUR", wanted="USD"
        )

    def test_takes_no_new_price_in_its_own_and_repeats_are_nothing(self) -> None:
        a_product(self.REGISTERED).when(self.change(400, "BGN")).rejected(Reason.CURRENCY_ENDED, currency="BGN")
        a_product(self.REGISTERED).when(self.change(350, "BGN")).nothing()
        again = RegisterProduct(sku="tea", name="Tea", price=leva(350), at=NOON)
        a_product(self.REGISTERED).when(again).nothing()

    def test_does_not_fit_into_an_order_of_before_any_more(self) -> None:
        an_order(*DRAFT).when(place(listing(currency="EUR"))).rejected(
            Reason.CURRENCY_MISMATCH, sku="tea", order_id=ORDER_ID, line_id="tea", order_currency="BGN"
        )
