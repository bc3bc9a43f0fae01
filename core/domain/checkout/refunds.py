"""The refunds of a process: amount, id, and number of attempts.

A failed refund is final, so the same money may need several attempts: each is a refund with its own id.
After `MAX_REFUND_TRIES` of them an operator decides; each of the operator's retries allows one more.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from core.domain.checkout.numbering import first_unused, name_of
from core.domain.checkout.state import Running, StepName
from core.domain.checkout.steps import MAX_REFUND_TRIES, GiveUpRefund, RequestRefund, SettleRefund
from core.domain.money import Money
from core.domain.order import owed
from core.domain.order.ledger import Ledger, Refund, RefundStage
from core.domain.order.state import Cancelled, Completed, Confirmed, Expired, Rejected

ALL = "all"  # the refund of an order that has ended
_SURPLUS = re.compile(r"surplus-\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Debt:
    """Money that is owed for one reason. `tried` are the refunds for it, in the order of their requests."""

    next_id: str
    amount_minor: int
    reason: str
    tried: Sequence[Refund]
    return_id: str = ""


def of_return(order: Confirmed | Completed, return_id: str, amount_minor: int) -> Debt:
    ledger = order.payments
    return Debt(
        next_id=first_unused(return_id, _ids(ledger)),
        amount_minor=amount_minor,
        reason="goods have come back",  # stored in events, and recognised by an upcaster
        tried=_of_return(ledger, return_id),
        return_id=return_id,
    )


def of_surplus(order: Confirmed | Completed) -> Debt:
    """It was drawn by hand, and then units were cancelled, for instance. Each surplus has a number of its own."""
    ledger = order.payments
    taken, number = _ids(ledger), len(ledger.refunds) + 1
    while f"surplus-{number}" in taken:
        number += 1
    return Debt(
        next_id=f"surplus-{number}",
        amount_minor=owed.surplus(order),
        reason="more was paid than the order costs",
        tried=_of_surplus(ledger),
    )


def of_ended(ledger: Ledger) -> Debt:
    return Debt(
        next_id=first_unused(ALL, _ids(ledger)),
        amount_minor=owed.refundable(ledger),
        reason="the order has ended",
        tried=_of_ended(ledger),
    )


def ask_for(debt: Debt, currency: str, checkout: Running) -> RequestRefund | SettleRefund | GiveUpRefund | None:
    """The next attempt, or none if nothing is owed."""
    if debt.amount_minor <= 0:
        return None
    amount = Money(amount_minor=debt.amount_minor, currency=currency)
    failed = _failed_since_the_last_success(debt.tried)
    if failed and _is_skipped(checkout, failed[-1]):
        return _settle_outside(failed[-1], currency)
    if failed and len(failed) >= _allowed(checkout, failed):
        last = failed[-1]
        return GiveUpRefund(subject=last.refund_id, amount=amount, tries=len(failed), reason=last.failure)
    return RequestRefund(
        subject=debt.next_id,
        amount=amount,
        reason=debt.reason,
        return_id=debt.return_id,
        follows=failed[-1].refund_id if failed else "",
    )


def settle(order: Confirmed | Completed | Cancelled | Rejected | Expired, checkout: Running) -> SettleRefund | None:
    """The first refund that is not answered yet."""
    for refund in order.payments.refunds:
        if refund.stage != RefundStage.REQUESTED:
            continue
        if _is_skipped(checkout, refund):
            return _settle_outside(refund, order.currency)
        tried = _tried_like(order, refund)
        failed = _failed_since_the_last_success(tried[: tried.index(refund)])
        return SettleRefund(
            subject=refund.refund_id,
            amount=Money(amount_minor=refund.amount_minor, currency=order.currency),
            tries=len(failed) + 1,
            allowed=_allowed(checkout, failed),
        )
    return None


def _settle_outside(refund: Refund, currency: str) -> SettleRefund:
    """An operator has resolved it: it is recorded, and the provider is not asked."""
    amount = Money(amount_minor=refund.amount_minor, currency=currency)
    return SettleRefund(subject=refund.refund_id, amount=amount, outside=True)


def _tried_like(order: Confirmed | Completed | Cancelled | Rejected | Expired, refund: Refund) -> Sequence[Refund]:
    """The refunds with the same reason; for a caller's refund only itself."""
    return next((group for group in _groups(order) if refund in group), [refund])


def _groups(order: Confirmed | Completed | Cancelled | Rejected | Expired) -> Iterator[Sequence[Refund]]:
    if isinstance(order, Confirmed | Completed):
        yield from (_of_return(order.payments, back.return_id) for back in order.returns)
        yield _of_surplus(order.payments)
    else:
        yield _of_ended(order.payments)


def _of_return(ledger: Ledger, return_id: str) -> Sequence[Refund]:
    return [x for x in ledger.refunds if x.pays == return_id]


def _of_surplus(ledger: Ledger) -> Sequence[Refund]:
    return [x for x in ledger.refunds if not x.return_id and _SURPLUS.fullmatch(x.refund_id)]


def _of_ended(ledger: Ledger) -> Sequence[Refund]:
    return [x for x in ledger.refunds if name_of(x.refund_id) == ALL]


def _failed_since_the_last_success(tried: Sequence[Refund]) -> Sequence[Refund]:
    failed = list(takewhile(lambda x: x.stage == RefundStage.FAILED, reversed(tried)))
    return failed[::-1]


def _allowed(checkout: Running, failed: Sequence[Refund]) -> int:
    ids = {x.refund_id for x in failed}
    again = sum(1 for step, subject in checkout.retried if step == StepName.REFUND_PAYMENT and subject in ids)
    return MAX_REFUND_TRIES + again


def _is_skipped(checkout: Running, refund: Refund) -> bool:
    return (StepName.REFUND_PAYMENT, refund.refund_id) in checkout.skipped


def _ids(ledger: Ledger) -> set[str]:
    return {x.refund_id for x in ledger.refunds}
