"""The rules of listings: which products can be sold now, and at which price."""

from collections.abc import Iterable

from core.domain.money import Money
from core.domain.order.commands import Listing, unlisted
from core.domain.order.state import Draft
from core.domain.rejection import CommandRejected, Reason


def price_in(currency: str, listing: Listing, **line: str) -> Money:
    """The price of a unit now, in an order of this currency. `line` names the line if the order has it already."""
    if listing.price is None or not listing.sellable:
        raise CommandRejected(Reason.PRODUCT_NOT_SELLABLE, sku=listing.sku, **line)
    if listing.price.currency != currency:
        raise CommandRejected(
            Reason.CURRENCY_MISMATCH,
            sku=listing.sku,
            order_currency=currency,
            product_currency=listing.price.currency,
            **line,
        )
    return listing.price


def current_prices(draft: Draft, listings: Iterable[Listing]) -> dict[str, Money]:
    """line_id → the present price of a unit of each line."""
    by_sku = {listing.sku: listing for listing in listings}
    return {
        line.line_id: price_in(
            draft.currency,
            by_sku.get(line.sku) or unlisted(line.sku),
            order_id=draft.order_id,
            line_id=line.line_id,
        )
        for line in draft.lines
    }
