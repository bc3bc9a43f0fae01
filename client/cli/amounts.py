"""Amounts in the form that people write and read."""

from decimal import Decimal

from client.currencies import MINOR_DIGITS


def in_words(minor: int, currency: str) -> str:
    """In the currency's units; in minor units if this release does not know the currency."""
    digits = MINOR_DIGITS.get(currency)
    if digits is None:
        return f"{minor:,} minor units of {currency}" if currency else f"{minor:,} minor units"
    return f"{Decimal(minor).scaleb(-digits):,.{digits}f} {currency}"
