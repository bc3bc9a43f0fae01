"""The state of a product."""

from dataclasses import dataclass, replace
from typing import assert_never

from core.domain.money import Money
from core.domain.product.events import (
    PriceChanged,
    ProductActivated,
    ProductDiscontinued,
    ProductEvent,
    ProductRegistered,
    ProductRenamed,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoProduct:
    """Before the first event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    sku: str
    name: str
    price: Money
    active: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Discontinued:
    sku: str
    name: str
    price: Money


ProductState = NoProduct | Product | Discontinued


def evolve(state: ProductState, event: ProductEvent) -> ProductState:
    match state, event:
        case NoProduct(), ProductRegistered():
            return Product(sku=event.sku, name=event.name, price=event.price)
        case Product(), ProductRenamed():
            return replace(state, name=event.name)
        case Product(), PriceChanged():
            return replace(state, price=event.price)
        case Product(), ProductActivated():
            return replace(state, active=True)
        case Product(), ProductDiscontinued():
            return Discontinued(sku=state.sku, name=state.name, price=state.price)
        case _, (ProductRegistered() | ProductRenamed() | PriceChanged() | ProductActivated() | ProductDiscontinued()):
            return state  # a step that decide never takes; history is true, so it changes nothing
        case _:
            assert_never(event)
