"""The rules of a product, one sentence each."""

from typing import Any

import pytest

from core.domain.money import MAX_AMOUNT, Money
from core.domain.product import PRODUCT
from core.domain.product.commands import (
    ActivateProduct,
    ChangePrice,
    DiscontinueProduct,
    RegisterProduct,
    RenameProduct,
)
from core.domain.product.events import (
    PriceChanged,
    ProductActivated,
    ProductDiscontinued,
    ProductRegistered,
    ProductRenamed,
)
from core.domain.rejection import Reason
from tests.support import deciding
from tests.support.orders import NOON, euros


def given(*history: Any) -> deciding.Given[Any, Any, Any]:
    return deciding.given(PRODUCT, *history)


def register(price: Money | None = None, name: str = "Tea") -> RegisterProduct:
    return RegisterProduct(sku="tea", name=name, price=price or euros(350), at=NOON)


def change_price(price: Money | None = None) -> ChangePrice:
    return ChangePrice(sku="tea", price=price or euros(400), at=NOON)


RENAME = RenameProduct(sku="tea", name="Green tea", at=NOON)
RENAMED = ProductRenamed(sku="tea", name="Green tea", at=NOON)
ACTIVATE = ActivateProduct(sku="tea", at=NOON)
DISCONTINUE = DiscontinueProduct(sku="tea", at=NOON)
REGISTERED = ProductRegistered(sku="tea", name="Tea", price=euros(350), at=NOON)
ACTIVATED = ProductActivated(sku="tea", at=NOON)
DISCONTINUED = ProductDiscontinued(sku="tea", at=NOON)


def test_a_product_is_registered_once() -> None:
    given().when(register()).then(REGISTERED)
    given(REGISTERED).when(register()).nothing()
    given(REGISTERED).when(register(name="Coffee")).rejected(Reason.PRODUCT_EXISTS, sku="tea")


@pytest.mark.parametrize("amount", [-1, MAX_AMOUNT + 1])
def test_a_price_is_not_negative_and_exact_in_every_reader(amount: int) -> None:
    given().when(register(euros(amount))).rejected(Reason.AMOUNT_INVALID, amount_minor=amount)
    given(REGISTERED).when(change_price(euros(amount))).rejected(Reason.AMOUNT_INVALID, amount_minor=amount)


def test_a_price_may_be_zero() -> None:
    free = PriceChanged(sku="tea", price=euros(0), previous=euros(350), at=NOON)
    given(REGISTERED).when(change_price(euros(0))).then(free)


def test_a_currency_must_exist() -> None:
    given().when(register(Money(amount_minor=1, currency="XYZ"))).rejected(Reason.CURRENCY_UNKNOWN, currency="XYZ")


def test_a_price_can_change_but_not_its_currency() -> None:
    given(REGISTERED).when(change_price()).then(PriceChanged(sku="tea", price=euros(400), previous=euros(350), at=NOON))
    given(REGISTERED).when(change_price(Money(amount_minor=400, currency="USD"))).rejected(
        Reason.PRODUCT_CURRENCY_FIXED, currency="EUR", wanted="USD"
    )


def test_the_same_price_again_changes_nothing() -> None:
    given(REGISTERED).when(change_price(euros(350))).nothing()


def test_a_product_can_be_renamed_while_it_is_not_discontinued() -> None:
    given(REGISTERED).when(RENAME).then(RENAMED)
    given(REGISTERED, RENAMED).when(RENAME).nothing()
    given(REGISTERED, RENAMED).when(register()).rejected(Reason.PRODUCT_EXISTS)
    given(REGISTERED, DISCONTINUED).when(RENAME).rejected(Reason.PRODUCT_DISCONTINUED)


def test_a_product_goes_on_sale_once() -> None:
    given(REGISTERED).when(ACTIVATE).then(ACTIVATED)
    given(REGISTERED, ACTIVATED).when(ACTIVATE).nothing()


def test_a_product_goes_off_sale_for_good() -> None:
    given(REGISTERED, ACTIVATED).when(DISCONTINUE).then(DISCONTINUED)
    given(REGISTERED, DISCONTINUED).when(DISCONTINUE).nothing()
    given(REGISTERED, DISCONTINUED).when(ACTIVATE).rejected(Reason.PRODUCT_DISCONTINUED)
    given(REGISTERED, DISCONTINUED).when(change_price()).rejected(Reason.PRODUCT_DISCONTINUED)
    given(REGISTERED, DISCONTINUED).when(register()).rejected(Reason.PRODUCT_EXISTS)


@pytest.mark.parametrize("command", [RENAME, change_price(), ACTIVATE, DISCONTINUE])
def test_what_was_never_registered_is_not_found(command: Any) -> None:
    given().when(command).rejected(Reason.PRODUCT_NOT_FOUND, sku="tea")
