"""The rules of discounts on a draft, and of its shipping cost."""

from collections.abc import Sequence

from core.domain.money import Money, require_amount, require_cost
from core.domain.order.commands import ApplyDiscount, RemoveDiscount, SetShippingMethod
from core.domain.order.events import (
    DiscountApplied,
    DiscountRemoved,
    OrderEvent,
    ShippingMethod,
    ShippingMethodSet,
)
from core.domain.order.limits import require_capacity
from core.domain.order.pricing import FULL_SHARE, Discount, too_large
from core.domain.order.state import Draft, goods_total
from core.domain.rejection import CommandRejected, Reason


def set_shipping_method(draft: Draft, command: SetShippingMethod) -> Sequence[OrderEvent]:
    require_cost(command.price)
    _require_currency_of(draft, command.price)
    if draft.shipping == ShippingMethod(method=command.method, price=command.price):
        return []
    return [ShippingMethodSet(order_id=draft.order_id, method=command.method, price=command.price, at=command.at)]


def apply(draft: Draft, command: ApplyDiscount) -> Sequence[OrderEvent]:
    discount = _valid(draft, command)
    for known in draft.discounts:
        if known.discount_id == discount.discount_id:
            if known == discount:
                return []
            raise CommandRejected(Reason.DISCOUNT_EXISTS, order_id=draft.order_id, discount_id=discount.discount_id)
    require_capacity(draft.order_id, "discounts", len(draft.discounts))
    require_fitting_discounts(draft, discount)
    return [
        DiscountApplied(
            order_id=draft.order_id,
            discount_id=discount.discount_id,
            name=discount.name,
            amount=command.amount,
            basis_points=command.basis_points,
            at=command.at,
        )
    ]


def remove(draft: Draft, command: RemoveDiscount) -> Sequence[OrderEvent]:
    if all(x.discount_id != command.discount_id for x in draft.discounts):
        return []
    return [DiscountRemoved(order_id=draft.order_id, discount_id=command.discount_id, at=command.at)]


def require_fitting_discounts(draft: Draft, *more: Discount) -> None:
    """Lines may be removed after a discount, so this is checked when it is applied, and again when the order is
    placed.
    """
    goods = goods_total(draft.lines, draft.currency).amount_minor
    misfit = too_large(goods, (*draft.discounts, *more))
    if misfit is not None:
        raise CommandRejected(
            Reason.DISCOUNT_EXCEEDS_TOTAL,
            order_id=draft.order_id,
            discount_id=misfit.discount_id,
            amount_minor=misfit.amount_minor,
            goods_minor=goods,
            currency=draft.currency,
        )


def _valid(draft: Draft, command: ApplyDiscount) -> Discount:
    amount, share = command.amount, command.basis_points
    if (amount is None) == (share == 0) or not 0 <= share <= FULL_SHARE:
        field = "amount" if share == 0 else "basis_points"
        raise CommandRejected(Reason.DISCOUNT_INVALID, discount_id=command.discount_id, basis_points=share, field=field)
    if amount is not None:
        require_amount(amount)
        _require_currency_of(draft, amount)
    return Discount(
        discount_id=command.discount_id,
        name=command.name,
        amount_minor=None if amount is None else amount.amount_minor,
        basis_points=share,
    )


def _require_currency_of(draft: Draft, amount: Money) -> None:
    if amount.currency != draft.currency:
        raise CommandRejected(
            Reason.CURRENCY_MISMATCH,
            order_id=draft.order_id,
            order_currency=draft.currency,
            amount_currency=amount.currency,
        )
