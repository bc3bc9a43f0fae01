"""The authorisations of a process: the next one to request, those to release, and those that may be under way.

The first is `checkout`. When one has lapsed, was voided by hand, or was declined for a confirmed order, the next has a
number: `checkout~2`, and so on.
"""

from collections.abc import Iterator

from core.domain.checkout import captures
from core.domain.checkout.numbering import first_unused, name_of
from core.domain.checkout.state import Running
from core.domain.checkout.steps import AUTHORISATION, AuthorisePayment, VoidPayment
from core.domain.money import Money
from core.domain.order.ledger import Authorisation, AuthorisationStage, Ledger
from core.domain.order.state import Cancelled, Committed, Completed, Confirmed, Expired, Rejected

Ended = Cancelled | Rejected | Expired


def next_authorisation(order: Committed, checkout: Running) -> AuthorisePayment | None:
    """For the part of the order's total that is neither held, nor drawn, nor marked as paid by an operator."""
    lacking = order.total.amount_minor - order.payments.authorised
    if lacking > 0 and isinstance(order, Confirmed | Completed):
        lacking -= captures.waived(order, checkout)
    if lacking <= 0:
        return None
    amount = Money(amount_minor=lacking, currency=order.currency)
    return AuthorisePayment(amount=amount, authorisation_id=_next_id(order.payments))


def is_declined(ledger: Ledger) -> bool:
    """Whether the last one of the process has failed: it was declined, or voided by hand."""
    last = _last(ledger)
    return last is not None and last.stage in (AuthorisationStage.FAILED, AuthorisationStage.VOIDED)


def of_ended(ledger: Ledger) -> Iterator[VoidPayment]:
    """All held authorisations, to be released."""
    return (_let_go(ledger, x) for x in ledger.authorisations if ledger.held_of(x) > 0)


def not_needed(order: Confirmed | Completed) -> Iterator[VoidPayment]:
    """The authorisations held beyond the order's total; also the rest of one that was captured in part."""
    ledger = order.payments
    for authorisation in ledger.authorisations:
        held = ledger.held_of(authorisation)
        if held > 0 and ledger.authorised - held >= order.total.amount_minor:
            yield _let_go(ledger, authorisation)


def may_be_under_way(order: Ended) -> VoidPayment | None:
    """By key, since the order knows of no such money: an answer may be on its way, and a refusal may not be final.

    It is recorded once, so all such keys are released in one step.
    """
    ledger, last = order.payments, _last(order.payments)
    ids = [x.authorisation_id for x in _own(ledger) if x.stage == AuthorisationStage.FAILED]
    if last is None or _was_followed(order, last):
        ids.append(_next_id(ledger))
    return VoidPayment(subject=ids[0], recorded=False, also=tuple(ids[1:])) if ids else None


def _was_followed(order: Ended, last: Authorisation) -> bool:
    """Whether the process may have asked for another one after its last one."""
    match last.stage:
        case AuthorisationStage.LAPSED:
            return True
        case AuthorisationStage.FAILED:  # a placed order is rejected then
            return isinstance(order, Cancelled)
        case AuthorisationStage.AUTHORISED | AuthorisationStage.VOIDED:
            return _once_authorised(order.payments) < order.payments.authorisation_limit_minor


def _once_authorised(ledger: Ledger) -> int:
    """The authorisations from before the process began to release them."""
    own = sum(x.amount_minor for x in _own(ledger) if x.stage == AuthorisationStage.VOIDED)
    return ledger.authorised + own


def _let_go(ledger: Ledger, authorisation: Authorisation) -> VoidPayment:
    drawn = ledger.captured_of(authorisation.authorisation_id) > 0
    return VoidPayment(subject=authorisation.authorisation_id, recorded=True, drawn=drawn)


def _own(ledger: Ledger) -> list[Authorisation]:
    return [x for x in ledger.authorisations if name_of(x.authorisation_id) == AUTHORISATION]


def _last(ledger: Ledger) -> Authorisation | None:
    return next(reversed(_own(ledger)), None)


def _next_id(ledger: Ledger) -> str:
    return first_unused(AUTHORISATION, {x.authorisation_id for x in ledger.authorisations})
