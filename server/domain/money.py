"""Money: whole minor units of one currency. No floats, no fractions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from server.domain.rejection import Reason, Rejected

LARGEST_AMOUNT = 2**53 - 1  # the largest integer that every JSON reader holds exactly

# ISO 4217 active codes of currencies in circulation.
CURRENCIES = frozenset(
    """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF
    CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG
    HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA
    MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD
    RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX
    USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG
    """.split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """`amount_minor` is in the currency's smallest unit; `currency` is an ISO 4217 code."""

    amount_minor: int
    currency: str

    def times(self, quantity: int) -> "Money":
        return Money(amount_minor=self.amount_minor * quantity, currency=self.currency)


def total_of(amounts: Iterable[Money], currency: str) -> Money:
    """The sum of amounts that are all in `currency`."""
    return Money(amount_minor=sum(amount.amount_minor for amount in amounts), currency=currency)


def require_currency(currency: str) -> None:
    if currency not in CURRENCIES:
        raise Rejected(Reason.CURRENCY_UNKNOWN, currency=currency)


def require_price(price: Money) -> None:
    """A price is 0 or more, and exact in every JSON reader."""
    require_currency(price.currency)
    if not 0 <= price.amount_minor <= LARGEST_AMOUNT:
        raise Rejected(Reason.AMOUNT_INVALID, field="price", amount_minor=price.amount_minor)


def require_amount(amount: Money) -> None:
    """What is paid or given back is 1 or more, and exact in every JSON reader."""
    require_currency(amount.currency)
    if not 1 <= amount.amount_minor <= LARGEST_AMOUNT:
        raise Rejected(Reason.AMOUNT_INVALID, field="amount", amount_minor=amount.amount_minor)


def split(amount: int, weights: Sequence[int]) -> list[int]:
    """The amount in whole parts by weight that add up to it: by largest remainder, the first of equals first.

    Each part is less than 1 away from its exact share, and at most its weight if the amount is at most their sum.
    """
    whole = sum(weights)
    if not amount:
        return [0] * len(weights)
    parts = [amount * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: -(amount * weights[i] % whole))
    for i in by_remainder[: amount - sum(parts)]:
        parts[i] += 1
    return parts


def of_units(amount: int, units: int, first: int, count: int) -> int:
    """What `count` units from number `first` on (from 0) are worth, if the amount is split evenly over all units."""
    each, ones_more = divmod(amount, units)
    end = first + count
    return each * count + min(end, ones_more) - min(first, ones_more)
