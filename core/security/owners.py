"""Ownership: a customer is a caller that may reach its own orders and its own user only.

The orders and the user of another customer are not found, as if they did not exist.
"""

from contextvars import ContextVar
from typing import Any

from core.failures import NotFound

# whose orders and user the call may reach; "": it is not restricted
OWN: ContextVar[str] = ContextVar("own", default="")


def restricted_to() -> str:
    """The customer's id, or "" for a call that is not restricted."""
    return OWN.get()


def require_own_order(customer_id: str, order_id: str) -> None:
    """Raises `NotFound` in a restricted call for the order of another customer. "": the order has no known one."""
    if OWN.get() not in ("", customer_id):
        raise NotFound("ORDER_NOT_FOUND", order_id=order_id)


def require_own_user(user_id: str) -> None:
    """Raises `NotFound` in a restricted call for another user."""
    if OWN.get() not in ("", user_id):
        raise NotFound("USER_NOT_FOUND", user_id=user_id)


def limit_to_own(request: Any) -> None:
    """Put the customer into the filter of a list. Raises `NotFound` in a restricted call for another customer's."""
    if own := OWN.get():
        require_own_user(request.customer_id or own)
        request.customer_id = own
