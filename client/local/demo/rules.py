"""The rules of the demo: what happens to an order, so that the outcome can be computed from the data alone.

Every product is received once: as many units as all baskets need, plus as many as are lost. The process of
each order reserves its lines and asks the payment provider, a simulator that declines every total that ends in 13
cents: those orders are rejected. The others are confirmed. What happens to these follows from the basket's place in the
data:

every 20th                  it is cancelled
every 10th                  its parcel is lost, and all of it is sent again in another parcel
every 20th, several lines   it is sent in two parcels; the second, with the first line, is refused at the door and is
                            returned as good as new; its units are cancelled and the order is completed without them
every 40th                  its parcel is refused at the door and returned as good as new; the order is cancelled
every 5th, several lines    it is sent in two parcels
every 15th                  one unit of the first line is returned as good as new; it is restocked and refunded

Everything that is sent and not refused is delivered, paid for and completed.

The first attempt of a refund fails if its id ends in the number 1, by a rule of the simulator. Such are the refunds of
every second return (`return-1`), and those of a surplus, which the process calls `surplus-1`: units that were paid for
are cancelled. The process requests these refunds again under another number, and succeeds.

The simulator withdraws some authorisations soon after they were given, and the process authorises again. They are
drawn from their keys; those that are captured sooner are not withdrawn. So the proof reads from the orders how many
have lapsed. Each leaves the events that `lapse_events` computes, and changes nothing else.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from urllib.parse import parse_qsl

from client.local.demo.baskets import Basket, Line

DECLINED_CENTS = 13
FAILING_NUMBER = 1
LAPSE_PERCENT = 15
# the setting for the payment provider; of the first baskets of the data, this seed lets some authorisations lapse
PAYMENTS = f"simulator?decline={DECLINED_CENTS}&refund_fails_on={FAILING_NUMBER}&lapse={LAPSE_PERCENT}&seed=1"
CANCEL_EVERY, SPLIT_EVERY, RETURN_EVERY = 20, 5, 15
LOSE_EVERY, REFUSE_PART_EVERY, REFUSE_ALL_EVERY = 10, 20, 40
LOSE_AT, REFUSE_PART_AT, REFUSE_ALL_AT = 3, 6, 17  # each of them occurs in a small run, and never two at once


class ProviderUnknownError(Exception):
    """One line that says which rule of the payment provider the proof cannot foresee."""


@dataclass(frozen=True, slots=True)
class Provider:
    """What the payment provider does by rule: `declines` totals that end in so many cents, -1: none."""

    declines: int = DECLINED_CENTS
    fails_refunds: bool = True  # whose id ends in `FAILING_NUMBER`

    @classmethod
    def of(cls, setting: str) -> "Provider":
        """By the setting of a stack. Raises `ProviderUnknownError`."""
        kind, _, given = setting.partition("?")
        rules = dict(parse_qsl(given, keep_blank_values=True))
        unknown = sorted(set(rules) - {"decline", "refund_fails_on", "lapse", "seed"})
        fails_on = rules.get("refund_fails_on", "-1")
        if kind != "simulator" or unknown or fails_on not in ("-1", str(FAILING_NUMBER)):
            raise ProviderUnknownError(
                f"{setting!r}: the proof foresees simulator with decline, lapse, seed and "
                f"refund_fails_on={FAILING_NUMBER}, and nothing else"
            )
        declines = rules.get("decline", "-1")
        if not declines.lstrip("-").isdecimal():
            raise ProviderUnknownError(f"{setting!r}: decline is no number")
        return cls(declines=int(declines), fails_refunds=fails_on != "-1")


OF_THE_DEMO = Provider()


class Fate(Enum):
    """The status in which an order ends."""

    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"


class ParcelFate(Enum):
    """The status in which a parcel ends. One that is returned was refused at the door."""

    DELIVERED = "DELIVERED"
    LOST = "LOST"
    RETURNED = "RETURNED"


@dataclass(frozen=True, slots=True)
class Parcel:
    """`paid_before`: its goods were sent before and lost, and are paid for."""

    name: str
    lines: tuple[Line, ...]
    fate: ParcelFate = ParcelFate.DELIVERED
    paid_before: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """A basket and its planned outcome.

    `back` is the line of which one unit is returned after delivery, if any is, as the return `return_id`.
    """

    basket: Basket
    fate: Fate
    parcels: tuple[Parcel, ...] = ()
    back: Line | None = None
    return_id: str = ""
    provider: Provider = OF_THE_DEMO

    def lines_of(self, fate: ParcelFate) -> Iterator[Line]:
        return (line for parcel in self.parcels if parcel.fate is fate for line in parcel.lines)

    @property
    def is_refused(self) -> bool:
        """Whether a parcel was refused at the door."""
        return any(parcel.fate is ParcelFate.RETURNED for parcel in self.parcels)


def plan(index: int, basket: Basket, provider: Provider = OF_THE_DEMO) -> Planned:
    return replace(_plan(index, basket, provider), provider=provider)


def _plan(index: int, basket: Basket, provider: Provider) -> Planned:
    lines = basket.lines
    if basket.total % 100 == provider.declines:
        return Planned(basket, Fate.REJECTED)
    if index % CANCEL_EVERY == CANCEL_EVERY - 1:
        return Planned(basket, Fate.CANCELLED)
    if index % LOSE_EVERY == LOSE_AT:
        again = Parcel("parcel-2", lines, paid_before=True)
        return Planned(basket, Fate.COMPLETED, (Parcel("parcel-1", lines, ParcelFate.LOST), again))
    if index % REFUSE_ALL_EVERY == REFUSE_ALL_AT:
        return Planned(basket, Fate.CANCELLED, (Parcel("parcel-1", lines, ParcelFate.RETURNED),))
    if index % REFUSE_PART_EVERY == REFUSE_PART_AT and can_be_split(basket, provider):
        # the refused one is the second: a capture for a returned parcel pays for one that is sent later
        refused = Parcel("parcel-2", lines[:1], ParcelFate.RETURNED)
        return Planned(basket, Fate.COMPLETED, (Parcel("parcel-1", lines[1:]), refused))
    split = index % SPLIT_EVERY == 0 and can_be_split(basket, provider)
    parts = (lines[:1], lines[1:]) if split else (lines,)
    parcels = tuple(Parcel(f"parcel-{number}", part) for number, part in enumerate(parts, start=1))
    nth, rest = divmod(index, RETURN_EVERY)
    if rest != RETURN_EVERY - 1:
        return Planned(basket, Fate.COMPLETED, parcels)
    return_id = "return" if nth % 2 else f"return-{FAILING_NUMBER}"
    return Planned(basket, Fate.COMPLETED, parcels, lines[0], return_id)


def can_be_split(basket: Basket, provider: Provider) -> bool:
    """If the authorisation lapses between two parcels, one of them is authorised again, which must not be declined."""
    parts = (basket.lines[:1], basket.lines[1:])
    return all(part and worth(part) % 100 != provider.declines for part in parts)


def plans(baskets: Sequence[Basket], provider: Provider = OF_THE_DEMO) -> list[Planned]:
    return [plan(index, basket, provider) for index, basket in enumerate(baskets)]


# ------------------------------------------------------------------ goods


def units_of(lines: Iterator[Line] | Sequence[Line]) -> Counter[str]:
    """By sku."""
    units: Counter[str] = Counter()
    for line in lines:
        units[line.sku] += line.quantity
    return units


def units_received(planned: Sequence[Planned]) -> Counter[str]:
    """By sku: the units that all baskets need, plus the lost ones."""
    received: Counter[str] = Counter()
    for x in planned:
        received += units_of(x.basket.lines) + units_of(x.lines_of(ParcelFate.LOST))
    return received


def units_sold(planned: Sequence[Planned]) -> int:
    """In all products together: what orders have that were not rejected or cancelled, without what was cancelled."""
    return sum(units_of(x.lines_of(ParcelFate.DELIVERED)).total() for x in planned)


def units_left(planned: Sequence[Planned]) -> Counter[str]:
    """By sku, what is on hand in the end. Every product that was received has a row."""
    left = units_received(planned)
    for x in planned:
        for gone in (ParcelFate.DELIVERED, ParcelFate.LOST):
            left.subtract(units_of(x.lines_of(gone)))
        if x.back is not None:
            left[x.back.sku] += 1
    return left


# ------------------------------------------------------------------ money, in cents


def worth(lines: Iterator[Line] | Sequence[Line]) -> int:
    return sum(line.price * line.quantity for line in lines)


def sold(x: Planned) -> int:
    """What the order costs in the end, without what was cancelled; 0 if it was rejected or cancelled."""
    return worth(x.lines_of(ParcelFate.DELIVERED))


def cancelled(x: Planned) -> int:
    """The cancelled part of it."""
    if x.fate is Fate.CANCELLED:
        return x.basket.total
    return worth(x.lines_of(ParcelFate.RETURNED))


def captured(x: Planned) -> int:
    """All that was sent; goods that were sent again are paid for once."""
    return sum(worth(parcel.lines) for parcel in x.parcels if not parcel.paid_before)


def refunded(x: Planned) -> int:
    back = x.back.price if x.back is not None else 0
    return back + worth(x.lines_of(ParcelFate.RETURNED))


def refund_fails(x: Planned) -> bool:
    """Whether the first attempt of its refund fails."""
    surplus = x.is_refused and x.fate is Fate.COMPLETED
    return x.provider.fails_refunds and bool(refunded(x)) and (surplus or x.return_id.endswith(f"-{FAILING_NUMBER}"))


# ------------------------------------------------------------------ events


def expected_events(x: Planned) -> int:
    """The number of events of one basket in the log, with its stock and its process, if no authorisation lapses."""
    return sum(_events(x))


def lapse_events(lapsed: int, authorisations: int) -> int:
    """The further events of an order if so many of its `authorisations` have `lapsed`.

    Each lapse is an event, and so is each authorisation after the first. The release of what is held, or may be, is one
    event in any case.
    """
    return lapsed + max(0, authorisations - 1)


def events_before_cancelling(x: Planned) -> int:
    """The events of the process after it has reserved again what was refused, without failed attempts."""
    return 2 + len(x.parcels) + 2  # started, reserved; each parcel off the stock; restocked, reserved again


def _events(x: Planned) -> Iterator[int]:
    lines, costs = len(x.basket.lines), 1 if x.basket.total else 0
    yield 3 + lines  # created, lines, address, placed
    yield 1 + lines + 1  # started; each line reserved; noted
    if x.fate is Fate.REJECTED:
        yield 2  # declined, rejected
    else:
        yield costs + 1  # authorised if it costs anything, confirmed
    for parcel in x.parcels:
        yield from _parcel_events(parcel)
    if x.is_refused:
        yield 1  # cancelled, fully or in part
        yield len(list(x.lines_of(ParcelFate.RETURNED))) + 1  # each line that was reserved again released, noted
    elif x.fate is Fate.CANCELLED:
        yield 1  # cancelled
    if x.fate is not Fate.COMPLETED:
        yield 0 if x.parcels else lines + 1  # each line released, noted
        yield 0 if captured(x) else 1  # money let go
    if x.fate is Fate.COMPLETED:
        yield 1  # completed
    yield 1  # ended
    if x.back is not None:
        yield 3 + 2  # requested, approved, received; restocked, noted
    if refunded(x):
        yield 4 if refund_fails(x) else 2  # refund asked for, and paid; or asked for, failed, and both again


def _parcel_events(parcel: Parcel) -> Iterator[int]:
    lines = len(parcel.lines)
    yield 2 + lines + 1  # packed, sent; each line off the stock, noted
    yield 1 if worth(parcel.lines) and not parcel.paid_before else 0  # paid for
    match parcel.fate:
        case ParcelFate.DELIVERED:
            yield 1
        case ParcelFate.LOST:
            yield 1 + lines + 1  # lost; each line reserved again, noted
        case ParcelFate.RETURNED:
            yield 2  # refused, back
            yield 2 * (lines + 1)  # each line restocked, noted; each line reserved again, noted
