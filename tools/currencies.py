"""The digits of currencies for the command line, which may not import the domain: `make proto` writes them there."""

import sys

from core.domain.money import CURRENCIES, ENDED_CURRENCIES

HEAD = '''"""The digits of the minor unit of each currency, as core/domain/money.py has them; made by `make proto`."""

MINOR_DIGITS = {
'''


def module() -> str:
    """The text of client/currencies.py, before it is formatted."""
    digits = sorted({**CURRENCIES, **ENDED_CURRENCIES}.items())
    return HEAD + "".join(f'    "{code}": {n},\n' for code, n in digits) + "}\n"


if __name__ == "__main__":
    sys.stdout.write(module())
