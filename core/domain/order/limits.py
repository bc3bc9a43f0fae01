"""The limits of an order."""

from collections.abc import Sequence
from typing import Protocol

from core.domain.rejection import CommandRejected, Reason

MAX_UNITS = 9_999  # in one line
MAX_LINES = 200
# further limits, so that no order grows without end and each is answered in one message of 4 MiB
MAX_ENTRIES = {
    "discounts": 20,
    "notes": 100,
    "cancellations": 500,
    "shipments": 500,
    "lines_of_shipments": 1_000,
    "returns": 500,
    "lines_of_returns": 1_000,
    "authorisations": 500,
    "captures": 500,
    "refunds": 500,
}


class HasQuantity(Protocol):
    @property
    def quantity(self) -> int: ...


def require_quantity(quantity: int, field: str = "quantity") -> None:
    """`field` is that of the command which holds the quantity."""
    if not 1 <= quantity <= MAX_UNITS:
        raise CommandRejected(Reason.QUANTITY_INVALID, quantity=quantity, field=field)


def require_quantities(lines: Sequence[HasQuantity]) -> None:
    """Of a command's `lines`."""
    for index, line in enumerate(lines):
        require_quantity(line.quantity, f"lines[{index}].quantity")


def require_lines(lines: Sequence[HasQuantity]) -> None:
    """At least one."""
    if not lines:
        raise CommandRejected(Reason.QUANTITY_INVALID, quantity=0, field="lines")
    require_quantities(lines)


def require_line_count(order_id: str, lines: int) -> None:
    if lines > MAX_LINES:
        raise CommandRejected(Reason.TOO_MANY_LINES, order_id=order_id, lines=lines)


def require_capacity(order_id: str, what: str, there_are: int, more: int = 1) -> None:
    """Whether so many more fit."""
    if there_are + more > MAX_ENTRIES[what]:
        raise CommandRejected(Reason.TOO_MANY_ENTRIES, order_id=order_id, what=what, most=MAX_ENTRIES[what])
