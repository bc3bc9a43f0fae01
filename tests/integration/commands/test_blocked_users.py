"""A block holds at once, whichever command service has heard of the user before."""

from collections.abc import AsyncIterator

import pytest

from core.config import Settings
from protos.common.v1.types_pb2 import Money
from protos.orders.v1 import commands_pb2 as pb
from protos.products.v1 import commands_pb2 as products_pb
from protos.users.v1 import commands_pb2 as users_pb
from server.app import serving
from tests.support.calling import DEADLINE, Shop, fresh_id, fresh_sku, refusal, shop_at


@pytest.fixture
async def other(settings: Settings) -> AsyncIterator[Shop]:
    async with serving("commands", settings, port=0) as address, shop_at(address) as shop:
        yield shop


async def block(shop: Shop, user_id: str) -> None:
    request = users_pb.BlockUserRequest(request_id=fresh_id(), user_id=user_id, reason="fraud")
    await shop.users.BlockUser(request, timeout=DEADLINE)


async def test_what_a_user_has_drafted_is_not_placed_after_the_block(shop: Shop, other: Shop) -> None:
    user_id = await shop.user()
    order_id = await shop.draft(await shop.product(), customer_id=user_id)
    await block(other, user_id)
    assert (await refusal(shop.place(order_id))).reason == "USER_BLOCKED"


async def test_what_a_user_has_placed_is_not_confirmed_after_the_block_and_can_be_cancelled(
    shop: Shop, other: Shop
) -> None:
    user_id = await shop.user()
    order_id = await shop.placed(customer_id=user_id)
    await block(other, user_id)
    assert (await refusal(shop.confirm(order_id))).reason == "USER_BLOCKED"
    assert (await shop.cancel(order_id)).consistency_token


async def test_a_draft_of_a_blocked_user_takes_no_more_lines(shop: Shop) -> None:
    user_id, sku = await shop.user(), await shop.product()
    order_id = await shop.draft(sku, customer_id=user_id)
    await block(shop, user_id)
    added = pb.AddLineRequest(
        request_id=fresh_id(), order_id=order_id, line=pb.NewLine(sku=sku, line_id="x", quantity=1)
    )
    changed = pb.ChangeLineQuantityRequest(request_id=fresh_id(), order_id=order_id, line_id=sku, quantity=9)
    assert (await refusal(shop.orders.AddLine(added, timeout=DEADLINE))).reason == "USER_BLOCKED"
    assert (await refusal(shop.orders.ChangeLineQuantity(changed, timeout=DEADLINE))).reason == "USER_BLOCKED"
    removed = pb.RemoveLineRequest(request_id=fresh_id(), order_id=order_id, line_id=sku)
    assert (await shop.orders.RemoveLine(removed, timeout=DEADLINE)).consistency_token


async def test_who_was_unblocked_through_another_worker_drafts_at_once(shop: Shop, other: Shop) -> None:
    user_id, sku = await shop.user(), await shop.product()
    await shop.draft(sku, customer_id=user_id)
    await block(shop, user_id)
    assert (await refusal(shop.draft(sku, customer_id=user_id))).reason == "USER_BLOCKED"
    await other.users.UnblockUser(users_pb.UnblockUserRequest(request_id=fresh_id(), user_id=user_id), timeout=DEADLINE)
    assert await shop.draft(sku, customer_id=user_id)


async def test_a_product_activated_through_another_worker_is_drafted_at_once(shop: Shop, other: Shop) -> None:
    user_id, sku = await shop.user(), fresh_sku()
    price = Money(amount_minor=350, currency="EUR")
    registered = products_pb.RegisterProductRequest(request_id=fresh_id(), sku=sku, name="Tea", price=price)
    await shop.products.RegisterProduct(registered, timeout=DEADLINE)
    assert (await refusal(shop.draft(sku, customer_id=user_id))).reason == "PRODUCT_NOT_SELLABLE"
    activated = products_pb.ActivateProductRequest(request_id=fresh_id(), sku=sku)
    await other.products.ActivateProduct(activated, timeout=DEADLINE)
    assert await shop.draft(sku, customer_id=user_id)
