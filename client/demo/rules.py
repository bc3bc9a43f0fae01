"""What happens to an order of the demo, by stated rules, so that the outcome can be computed from the data alone.

Every product is received once, as many units as all baskets want of it. The process of each order reserves its lines
and asks the payment provider, a simulator that declines every total that ends in 13 cents: those orders are rejected.
The others are confirmed. Of these, every 20th basket is cancelled; the rest are shipped whole, but every 5th that has
several lines in two parcels, dispatched, delivered, paid for and completed. Of every 15th basket that got so far, one
unit of the first line comes back as good as new: it is restocked and refunded.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from client.demo.baskets import Basket, Line

DECLINED_CENTS = 13
PAYMENTS = f"simulator?decline={DECLINED_CENTS}"  # the setting for the payment provider
CANCEL_EVERY, SPLIT_EVERY, RETURN_EVERY = 20, 5, 15


class Fate(Enum):
    """The status in which an order ends."""

    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"


@dataclass(frozen=True, slots=True)
class Planned:
    """A basket and what is to become of it. `back` is the line of which one unit comes back, if any does."""

    basket: Basket
    fate: Fate
    parcels: tuple[tuple[Line, ...], ...]
    back: Line | None


def plan(index: int, basket: Basket) -> Planned:
    if basket.total % 100 == DECLINED_CENTS:
        return Planned(basket, Fate.REJECTED, (), None)
    if index % CANCEL_EVERY == CANCEL_EVERY - 1:
        return Planned(basket, Fate.CANCELLED, (), None)
    split = index % SPLIT_EVERY == 0 and len(basket.lines) > 1
    parcels = (basket.lines[:1], basket.lines[1:]) if split else (basket.lines,)
    back = basket.lines[0] if index % RETURN_EVERY == RETURN_EVERY - 1 else None
    return Planned(basket, Fate.COMPLETED, parcels, back)


def plans(baskets: Sequence[Basket]) -> list[Planned]:
    return [plan(index, basket) for index, basket in enumerate(baskets)]


def units_wanted(baskets: Sequence[Basket]) -> Counter[str]:
    """By sku, in all baskets together: what is received."""
    wanted: Counter[str] = Counter()
    for basket in baskets:
        for line in basket.lines:
            wanted[line.sku] += line.quantity
    return wanted


def units_left(planned: Sequence[Planned]) -> Counter[str]:
    """By sku, what is on hand in the end."""
    left = units_wanted([x.basket for x in planned])
    for x in planned:
        if x.fate is Fate.COMPLETED:
            left.subtract({line.sku: line.quantity for line in x.basket.lines})
        if x.back is not None:
            left[x.back.sku] += 1
    return left


def captured(x: Planned) -> int:
    """In cents."""
    return x.basket.total if x.fate is Fate.COMPLETED else 0


def refunded(x: Planned) -> int:
    return x.back.price if x.back is not None else 0


def expected_events(x: Planned) -> int:
    """How many events one basket leaves in the log, its stock and its process included."""
    return sum(_events(x))


def _events(x: Planned) -> Iterator[int]:
    lines, costs = len(x.basket.lines), 1 if x.basket.total else 0
    yield 3 + lines  # created, lines, address, placed
    yield 1 + lines + 1  # started; each line reserved; noted
    if x.fate is Fate.REJECTED:
        yield 2  # declined, rejected
    else:
        yield costs + 1  # authorised if it costs anything, confirmed
    if x.fate is Fate.CANCELLED:
        yield 1  # cancelled
    if x.fate is not Fate.COMPLETED:
        yield lines + 1 + 1  # each line released, noted; money let go
    for parcel in x.parcels:
        yield 3 + len(parcel) + 1  # packed, sent, delivered; each line off the stock, noted
        yield 1 if sum(line.price * line.quantity for line in parcel) else 0  # paid for
    if x.fate is Fate.COMPLETED:
        yield 1  # completed
    yield 1  # ended
    if x.back is not None:
        yield 3 + 2  # requested, approved, received; restocked, noted
        yield 2 if x.back.price else 0  # refund asked for, and paid
