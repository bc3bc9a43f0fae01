"""Where goods go. Copied where it is used, never referenced."""

from dataclasses import dataclass

from core.domain.rejection import CommandRejected, Reason
from core.domain.text import fault_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    name: str
    line1: str
    line2: str
    city: str
    postal_code: str
    country: str


# field → fewest and most characters
LENGTHS = {
    "name": (1, 200),
    "line1": (1, 200),
    "line2": (0, 200),
    "city": (1, 100),
    "postal_code": (0, 20),
    "country": (2, 2),
}


def require_address(address: Address, name: str) -> None:
    """Every field a text of its length, the country two upper-case letters (ISO 3166-1 alpha-2).

    `name` is the field of the command that holds the address.
    """
    for field, (shortest, longest) in LENGTHS.items():
        if fault := fault_of(getattr(address, field), shortest, longest):
            raise CommandRejected(Reason.ADDRESS_INVALID, field=field, address=name, problem=fault)
    if not (address.country.isascii() and address.country.isalpha() and address.country.isupper()):
        problem = "must be two letters, upper case"
        raise CommandRejected(Reason.ADDRESS_INVALID, field="country", address=name, problem=problem)
