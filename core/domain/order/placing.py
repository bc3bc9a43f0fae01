"""The rules of placing, confirming and completing an order."""

from collections.abc import Sequence

from core.domain.money import MAX_AMOUNT, Money
from core.domain.order import owed
from core.domain.order.commands import CompleteOrder, ConfirmOrder, ExpireOrder, Listing, PlaceOrder, RejectOrder
from core.domain.order.customers import require_not_blocked
from core.domain.order.discounts import require_fitting_discounts
from core.domain.order.events import (
    AppliedDiscount,
    OrderCompleted,
    OrderConfirmed,
    OrderEvent,
    OrderExpired,
    OrderPlaced,
    OrderRejected,
)
from core.domain.order.listings import current_prices
from core.domain.order.pricing import amounts_off, with_shares
from core.domain.order.state import (
    Confirmed,
    Draft,
    Placed,
    draft_total,
    goods_total,
    open_returns,
    remaining_units,
    returned_minor,
    undelivered_units,
)
from core.domain.rejection import CommandRejected, Reason


def place(draft: Draft, command: PlaceOrder) -> Sequence[OrderEvent]:
    require_not_blocked(command.customer)
    if not draft.lines:
        raise CommandRejected(Reason.ORDER_EMPTY, order_id=draft.order_id)
    if draft.address is None:
        raise CommandRejected(Reason.ADDRESS_MISSING, order_id=draft.order_id)
    _require_unchanged_prices(draft, command.listings)
    goods = goods_total(draft.lines, draft.currency)
    total = draft_total(draft)
    require_fitting_discounts(draft)
    if max(goods.amount_minor, total.amount_minor) > MAX_AMOUNT:
        raise CommandRejected(Reason.TOTAL_TOO_LARGE, order_id=draft.order_id)
    off = amounts_off(goods.amount_minor, draft.discounts)
    return [
        OrderPlaced(
            order_id=draft.order_id,
            customer_id=draft.customer_id,
            lines=with_shares(draft.lines, sum(off)),
            discounts=tuple(
                AppliedDiscount(
                    discount_id=discount.discount_id,
                    name=discount.name,
                    amount=Money(amount_minor=amount, currency=draft.currency),
                )
                for discount, amount in zip(draft.discounts, off, strict=True)
            ),
            shipping=draft.shipping,
            goods_total=goods,
            discount_total=Money(amount_minor=sum(off), currency=draft.currency),
            total=total,
            address=draft.address,
            expires_at=command.expires_at,
            at=command.at,
        )
    ]


def _require_unchanged_prices(draft: Draft, listings: Sequence[Listing]) -> None:
    prices = current_prices(draft, listings)
    for line in draft.lines:
        price = prices[line.line_id]
        if price != line.unit_price:
            raise CommandRejected(
                Reason.PRICE_CHANGED,
                sku=line.sku,
                order_price_minor=line.unit_price.amount_minor,
                current_price_minor=price.amount_minor,
                currency=price.currency,
                order_id=draft.order_id,
                line_id=line.line_id,
            )


def confirm(order: Placed, command: ConfirmOrder) -> Sequence[OrderEvent]:
    require_not_blocked(command.customer)
    return [OrderConfirmed(order_id=order.order_id, at=command.at)]


def reject(order: Placed, command: RejectOrder) -> Sequence[OrderEvent]:
    return [
        OrderRejected(
            order_id=order.order_id,
            customer_id=order.customer_id,
            reason=command.reason,
            total=order.total,
            placed_at=order.placed_at,
            units=remaining_units(order),
            at=command.at,
        )
    ]


def expire(order: Placed, command: ExpireOrder) -> Sequence[OrderEvent]:
    if command.now < order.expires_at:
        raise CommandRejected(
            Reason.ORDER_NOT_EXPIRED, order_id=order.order_id, expires_at=order.expires_at.isoformat()
        )
    return [
        OrderExpired(
            order_id=order.order_id,
            customer_id=order.customer_id,
            total=order.total,
            placed_at=order.placed_at,
            units=remaining_units(order),
            at=command.at,
        )
    ]


def complete(order: Confirmed, command: CompleteOrder) -> Sequence[OrderEvent]:
    """Everything is delivered or cancelled, no return or refund is open, and the money is correct.

    Correct means: the captured money is the cost of the order, less returns; and nothing is owed to the customer.
    """
    money, total = order.payments, order.total.amount_minor
    left = {
        "undelivered_units": undelivered_units(order),
        "open_returns": len(open_returns(order)),
        "unpaid_minor": max(0, total - returned_minor(order) - money.captured),
        "overpaid_minor": max(0, money.captured - money.refunded - total),
        "refunding_minor": money.refunding,
        "owed_minor": owed.in_all(order),
    }
    if any(left.values()):
        raise CommandRejected(Reason.ORDER_OPEN_ITEMS, order_id=order.order_id, currency=order.currency, **left)
    return [OrderCompleted(order_id=order.order_id, at=command.at)]
