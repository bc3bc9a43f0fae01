"""Money: whole minor units of one currency. No floats, no fractions."""

from collections.abc import Iterable
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
