"""The rulebook of a product: (state, command) → events."""

from collections.abc import Sequence

from core.domain.money import CURRENCIES, require_price
from core.domain.product.commands import (
    ActivateProduct,
    ChangePrice,
    DiscontinueProduct,
    ProductCommand,
    RegisterProduct,
    RenameProduct,
)
from core.domain.product.events import (
    PriceChanged,
    ProductActivated,
    ProductDiscontinued,
    ProductEvent,
    ProductRegistered,
    ProductRenamed,
)
from core.domain.product.state import Discontinued, NoProduct, Product, ProductState
from core.domain.rejection import CommandRejected, Reason


def decide(state: ProductState, command: ProductCommand) -> Sequence[ProductEvent]:
    match state, command:
        case NoProduct(), RegisterProduct():
            require_price(command.price)
            return [ProductRegistered(sku=command.sku, name=command.name, price=command.price, at=command.at)]
        case Product(), RegisterProduct() if (state.name, state.price) == (command.name, command.price):
            return []
        case _, RegisterProduct():
            raise CommandRejected(Reason.PRODUCT_EXISTS, sku=command.sku)
        case NoProduct(), _:
            raise CommandRejected(Reason.PRODUCT_NOT_FOUND, sku=command.sku)

        case Product(), RenameProduct():
            same = state.name == command.name
            return [] if same else [ProductRenamed(sku=state.sku, name=command.name, at=command.at)]
        case Product(), ChangePrice():
            return _change_price(state, command)
        case Product(), ActivateProduct():
            return [] if state.active else [ProductActivated(sku=state.sku, at=command.at)]
        case Product(), DiscontinueProduct():
            return [ProductDiscontinued(sku=state.sku, at=command.at)]

        case Discontinued(), DiscontinueProduct():
            return []
        case _:
            raise CommandRejected(Reason.PRODUCT_DISCONTINUED, sku=command.sku)


def _change_price(product: Product, command: ChangePrice) -> Sequence[ProductEvent]:
    if command.price == product.price:
        return []
    require_price(command.price)
    # where the currency has ended, a price in another one is the only way to go on selling
    if command.price.currency != product.price.currency and product.price.currency in CURRENCIES:
        raise CommandRejected(
            Reason.PRODUCT_CURRENCY_FIXED,
            sku=product.sku,
            currency=product.price.currency,
            wanted=command.price.currency,
        )
    return [PriceChanged(sku=product.sku, price=command.price, previous=product.price, at=command.at)]
