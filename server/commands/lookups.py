"""Lookups in other aggregates that a decision needs, from their streams."""

import asyncio
from collections.abc import Iterable

from core.background import together
from core.domain.order import ORDER
from core.domain.order.commands import NO_CUSTOMER, Customer, Listing, unlisted
from core.domain.order.state import Completed, Confirmed, Order, Placed, live_shipments
from core.domain.product import PRODUCT
from core.domain.product.state import Discontinued, NoProduct, Product, ProductState
from core.domain.user import USER
from core.domain.user.state import NoUser, User, UserState
from core.eventstore.repository import Repository
from core.eventstore.store_time import StoreTime

WHILE_DRAFTING = 1.0  # sufficient for a draft, since placing reads again
FRESH = 0.0
AT_ONCE = 16  # concurrent reads of products for one command


class Lookups:
    """Reads through the repository; `max_age` is the allowed age of the state, in seconds.

    `time` decides about deadlines.
    """

    def __init__(self, repository: Repository, time: StoreTime) -> None:
        self._repository = repository
        self.time = time

    async def customer(self, user_id: str) -> Customer:
        """Sufficient for a draft. A state that would lead to a refusal is read again: no refusal is based on old
        state.
        """
        await self._repository.catch_up(USER, WHILE_DRAFTING)
        user = (await self._repository.load(USER, USER.stream(user_id))).state
        customer = _customer(user_id, user)
        return customer if customer.known and not customer.blocked else await self.customer_now(user_id)

    async def customer_now(self, user_id: str) -> Customer:
        """As of now: one read of the user's stream."""
        user = (await self._repository.load(USER, USER.stream(user_id), FRESH)).state
        return _customer(user_id, user)

    async def customer_of(self, order_id: str) -> Customer:
        """The user of a placed order, as of now."""
        order = (await self._repository.load(ORDER, ORDER.stream(order_id))).state
        return await self.customer_now(order.customer_id) if isinstance(order, Placed) else NO_CUSTOMER

    async def order(self, order_id: str) -> Order:
        """As of now."""
        return (await self._repository.load(ORDER, ORDER.stream(order_id), FRESH)).state

    async def product_now(self, sku: str) -> ProductState:
        """As of now: one read of the product's stream."""
        return (await self._repository.load(PRODUCT, PRODUCT.stream(sku), FRESH)).state

    async def has_shipments(self, order_id: str) -> bool:
        """Whether anything of an order was packed, as of now."""
        order = (await self._repository.load(ORDER, ORDER.stream(order_id), FRESH)).state
        return isinstance(order, Confirmed | Completed) and bool(live_shipments(order))

    async def _listing(self, sku: str) -> Listing:
        """As `customer` has it."""
        listing = await self._listing_of(sku)
        return listing if listing.sellable else await self._listing_of(sku, FRESH)

    async def _listing_of(self, sku: str, max_age: float | None = None) -> Listing:
        match (await self._repository.load(PRODUCT, PRODUCT.stream(sku), max_age)).state:
            case NoProduct():
                return unlisted(sku)
            case Product() as product:
                return Listing(sku=sku, name=product.name, price=product.price, sellable=product.active)
            case Discontinued() as product:
                return Listing(sku=sku, name=product.name, price=product.price, sellable=False)

    async def listings(self, skus: Iterable[str], max_age: float = WHILE_DRAFTING) -> dict[str, Listing]:
        """By sku, each once."""
        await self._repository.catch_up(PRODUCT, max_age)
        places = asyncio.Semaphore(AT_ONCE)

        async def one(sku: str) -> Listing:
            async with places:
                return await self._listing(sku)

        return {listing.sku: listing for listing in await together(map(one, dict.fromkeys(skus)))}


def _customer(user_id: str, user: UserState) -> Customer:
    match user:
        case User():
            return Customer(user_id=user_id, known=True, blocked=user.blocked)
        case NoUser():
            return Customer(user_id=user_id, known=False, blocked=False)
