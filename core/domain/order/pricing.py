"""The cost of an order: goods, less discounts, plus shipping. Integer minor units that add up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from core.domain.money import Money, split
from core.domain.order.events import OrderLine

FULL_SHARE = 10_000  # basis points


@dataclass(frozen=True, slots=True, kw_only=True)
class Discount:
    """`amount_minor` off, or, if that is None, so many `basis_points` of the rest."""

    discount_id: str
    name: str
    amount_minor: int | None
    basis_points: int


def amounts_off(goods_minor: int, discounts: Iterable[Discount]) -> list[int]:
    """The amount of each discount on the goods, one after the other; never more than the rest."""
    left, off = goods_minor, []
    for discount in discounts:
        off.append(min(left, _wanted(discount, left)))
        left -= off[-1]
    return off


def too_large(goods_minor: int, discounts: Sequence[Discount]) -> Discount | None:
    """The first discount that is larger than the rest."""
    left = goods_minor
    for discount, off in zip(discounts, amounts_off(goods_minor, discounts), strict=True):
        if _wanted(discount, left) > left:
            return discount
        left -= off
    return None


def with_shares(lines: tuple[OrderLine, ...], discount_minor: int) -> tuple[OrderLine, ...]:
    """Each line with its share of the discounts, in proportion to its cost."""
    if not discount_minor:
        return lines
    shares = split(discount_minor, [line.line_total.amount_minor for line in lines])
    return tuple(
        replace(line, discount=Money(amount_minor=share, currency=line.line_total.currency))
        for line, share in zip(lines, shares, strict=True)
    )


def _wanted(discount: Discount, left: int) -> int:
    if discount.amount_minor is not None:
        return discount.amount_minor
    return (left * discount.basis_points + FULL_SHARE // 2) // FULL_SHARE  # half a minor unit is rounded up
