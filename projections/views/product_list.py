"""The catalogue, by sku."""

from typing import Any

from core.domain.product.events import (
    PriceChanged,
    ProductActivated,
    ProductDiscontinued,
    ProductRegistered,
    ProductRenamed,
)
from core.eventstore.recorded import Recorded
from core.readmodel.documents import ProductRow, to_micros
from projections.view import View

product_list: View[ProductRow] = View(
    "product_list", key=lambda e: e.data.sku, categories=("product",), own_streams=True
)


def changed(row: ProductRow | None, e: Recorded[Any], **fields: Any) -> ProductRow:
    assert row is not None, f"{e.stream} has no ProductRegistered before revision {e.revision}"
    return {**row, **fields, "updated_at": to_micros(e.data.at), "revision": e.revision}  # type: ignore[typeddict-item]


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
    return changed(row, e, name=e.data.name)


@product_list.on(PriceChanged)
def price_changed(row: ProductRow | None, e: Recorded[PriceChanged]) -> ProductRow:
    return changed(row, e, price_minor=e.data.price.amount_minor, currency=e.data.price.currency)


@product_list.on(ProductActivated)
def activated(row: ProductRow | None, e: Recorded[ProductActivated]) -> ProductRow:
    return changed(row, e, status="ACTIVE")


@product_list.on(ProductDiscontinued)
def discontinued(row: ProductRow | None, e: Recorded[ProductDiscontinued]) -> ProductRow:
    return changed(row, e, status="DISCONTINUED")
