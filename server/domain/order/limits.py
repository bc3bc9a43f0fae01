"""How much of anything an order takes."""

from server.domain.rejection import Reason, Rejected

MOST_UNITS = 9_999  # in one line
MOST_LINES = 200
# what else an order may hold, so that no order grows without end
MOST = {
    "discounts": 20,
    "notes": 100,
    "cancellations": 1_000,
    "shipments": 1_000,
    "returns": 1_000,
    "authorisations": 1_000,
    "captures": 1_000,
    "refunds": 1_000,
}


def require_quantity(quantity: int) -> None:
    if not 1 <= quantity <= MOST_UNITS:
        raise Rejected(Reason.QUANTITY_INVALID, quantity=quantity)


def require_line_count(order_id: str, lines: int) -> None:
    if lines > MOST_LINES:
        raise Rejected(Reason.TOO_MANY_LINES, order_id=order_id, lines=lines)


def require_room(order_id: str, what: str, there_are: int) -> None:
    """Whether one more fits."""
    if there_are >= MOST[what]:
        raise Rejected(Reason.TOO_MANY_ENTRIES, order_id=order_id, what=what, most=MOST[what])
