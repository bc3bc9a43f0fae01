"""What a quantity may be."""

from server.domain.rejection import Reason, Rejected

MOST_UNITS = 9_999


def require_quantity(quantity: int) -> None:
    if not 1 <= quantity <= MOST_UNITS:
        raise Rejected(Reason.QUANTITY_INVALID, quantity=quantity)
