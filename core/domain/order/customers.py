"""The rules of customers: who may order.

A registered user stays registered, so that is checked once. A user can be blocked at any time, so every step
towards a sale checks it: added or changed lines, placing and confirming. A draft can still be reduced or
cancelled.
"""

from core.domain.order.commands import Customer
from core.domain.rejection import CommandRejected, Reason


def require_customer(customer: Customer) -> None:
    if not customer.known:
        raise CommandRejected(Reason.USER_NOT_FOUND, user_id=customer.user_id)
    require_not_blocked(customer)


def require_not_blocked(customer: Customer) -> None:
    if customer.blocked:
        raise CommandRejected(Reason.USER_BLOCKED, user_id=customer.user_id)
