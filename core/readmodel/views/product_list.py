"""The catalogue, by sku."""

from typing import Any, TypedDict

from core.domain.product.events import (
    PriceChanged,
    ProductActivated,
    ProductDiscontinued,
    ProductRegistered,
    ProductRenamed,
)
from core.eventstore.recorded import Recorded
from core.readmodel.documents import to_micros
from core.readmodel.view import View


class ProductRow(TypedDict):
    name: str
    price_minor: int
    currency: str
    status: str
    updated_at: int
    revision: int


product_list: View[ProductRow] = View(
    "product_list",
    key=lambda e: e.data.sku,
    categories=("product",),
    answers=("products.v1.ProductQueryService/GetProduct", "products.v1.ProductQueryService/ListProducts"),
    indexes=((("status", 1), ("_id", 1)),),
    own_streams=True,
)


def updated(row: ProductRow | None, e: Recorded[Any]) -> ProductRow:
    assert row is not None, f"{e.stream} has no ProductRegistered before revision {e.revision}"
    return {**row, "updated_at": to_micros(e.data.at), "revision": e.revision}


@product_list.on(ProductRegistered)
def registered(_: ProductRow | None, e: Recorded[ProductRegistered]) -> ProductRow:
    return {
        "name": e.data.name,
        "price_minor": e.data.price.amount_minor,
        "currency": e.data.price.currency,
        "status": "INACTIVE",
        "updated_at": to_micros(e.data.at),
        "revision": e.revision,
    }


@product_list.on(ProductRenamed)
def renamed(row: ProductRow | None, e: Recorded[ProductRenamed]) -> ProductRow:
    return {**updated(row, e), "name": e.data.name}


@product_list.on(PriceChanged)
def price_changed(row: ProductRow | None, e: Recorded[PriceChanged]) -> ProductRow:
    return {**updated(row, e), "price_minor": e.data.price.amount_minor, "currency": e.data.price.currency}


@product_list.on(ProductActivated)
def activated(row: ProductRow | None, e: Recorded[ProductActivated]) -> ProductRow:
    return {**updated(row, e), "status": "ACTIVE"}


@product_list.on(ProductDiscontinued)
def discontinued(row: ProductRow | None, e: Recorded[ProductDiscontinued]) -> ProductRow:
    return {**updated(row, e), "status": "DISCONTINUED"}
