"""Money: an integer number of minor units of one currency. No floats, no fractions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.domain.rejection import CommandRejected, Reason

MAX_AMOUNT = 2**53 - 1  # the largest integer that every JSON reader holds exactly


def _digits(groups: Mapping[int, str]) -> Mapping[str, int]:
    return {code: digits for digits, codes in groups.items() for code in codes.split()}


# Currencies in circulation by ISO 4217 (table of 2026-01-01): code → digits of the minor unit. Without funds, metals,
# units of account and test codes. The command line has a copy that `make proto` makes.
CURRENCIES = _digits({
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    2: """
        AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY
        COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF
        IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR
        MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG
        SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES
        WST XCD XCG YER ZAR ZMW ZWG
    """,
})  # fmt: skip
# Codes that ISO 4217 has withdrawn since 2016. They are taken for the money of existing orders only.
ENDED_CURRENCIES = _digits({0: "BYR", 2: "ANG BGN CUC HRK MRO SLL STD VEF ZWL"})


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


def require_currency(currency: str, field: str = "currency") -> None:
    """For a new order and a new price. `field` is that of the command which holds the currency."""
    if currency in ENDED_CURRENCIES:
        raise CommandRejected(Reason.CURRENCY_ENDED, currency=currency, field=field)
    _require_known(currency, field)


def require_price(price: Money) -> None:
    """A new price is 0 or more, and exact in every JSON reader."""
    require_currency(price.currency, "price.currency")
    _require_within(price, "price", least=0)


def require_cost(price: Money) -> None:
    """What something costs in an existing order: as a price, and its currency may have ended."""
    _require_known(price.currency, "price.currency")
    _require_within(price, "price", least=0)


def require_amount(amount: Money) -> None:
    """What is paid, given back or taken off in an existing order: 1 or more, and its currency may have ended."""
    _require_known(amount.currency, "amount.currency")
    _require_within(amount, "amount", least=1)


def _require_known(currency: str, field: str) -> None:
    if currency not in CURRENCIES and currency not in ENDED_CURRENCIES:
        raise CommandRejected(Reason.CURRENCY_UNKNOWN, currency=currency, field=field)


def _require_within(money: Money, field: str, *, least: int) -> None:
    if not least <= money.amount_minor <= MAX_AMOUNT:
        raise CommandRejected(
            Reason.AMOUNT_INVALID, field=field, amount_minor=money.amount_minor, currency=money.currency
        )


def split(amount: int, weights: Sequence[int]) -> list[int]:
    """The amount in integer parts by weight that add up to it: by largest remainder, the first of equals first.

    Each part is less than 1 away from its exact share, and at most its weight if the amount is at most their sum.
    """
    total = sum(weights)
    if not amount:
        return [0] * len(weights)
    parts = [amount * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: -(amount * weights[i] % total))
    for i in by_remainder[: amount - sum(parts)]:
        parts[i] += 1
    return parts


def prorate(amount: int, units: int, first: int, count: int) -> int:
    """What `count` units from number `first` on (from 0) are worth, if the amount is split evenly over all units."""
    each, ones_more = divmod(amount, units)
    end = first + count
    return each * count + min(end, ones_more) - min(first, ones_more)
