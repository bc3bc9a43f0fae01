"""The ledger of an order: authorisations, captures, refunds. All amounts are in the order's currency.

The ledger begins when the order is placed and outlives it: the provider's late answers must have a place, so that an
authorisation of an order that has ended can be voided, and a capture refunded.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from core.domain.order.events import (
    AuthorisationLapsed,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentEvent,
    PaymentFailed,
    PaymentRefunded,
    PaymentVoided,
    RefundFailed,
    RefundRequested,
)


class AuthorisationStage(StrEnum):
    AUTHORISED = "AUTHORISED"
    VOIDED = "VOIDED"
    FAILED = "FAILED"
    LAPSED = "LAPSED"


class RefundStage(StrEnum):
    REQUESTED = "REQUESTED"
    SETTLED = "SETTLED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorisation:
    """`amount_minor` is 0 if the provider declined. After a lapse only the captured part counts."""

    authorisation_id: str
    amount_minor: int
    stage: AuthorisationStage


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    capture_id: str
    authorisation_id: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """`return_id` is the return that it pays, "" for none, None if that was not recorded; `failure` is why it
    failed.
    """

    refund_id: str
    amount_minor: int
    stage: RefundStage
    return_id: str | None = ""
    failure: str = ""

    @property
    def pays(self) -> str:
        """The return that it is for, if there is one of that id. Before refunds named it, their own id was that of the
        return.
        """
        return self.refund_id if self.return_id is None else self.return_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """`authorisation_limit_minor` is the total of the order when it was placed: no more is ever authorised."""

    authorisation_limit_minor: int
    authorisations: tuple[Authorisation, ...] = ()
    captures: tuple[Capture, ...] = ()
    refunds: tuple[Refund, ...] = ()

    @property
    def authorised(self) -> int:
        """The amount that the provider holds or has paid out: voided, declined or lapsed authorisations do not
        count.
        """
        return sum(self.held_of(x) + self.captured_of(x.authorisation_id) for x in self.authorisations)

    @property
    def captured(self) -> int:
        return sum(x.amount_minor for x in self.captures)

    @property
    def refunded(self) -> int:
        """The amount that was refunded."""
        return sum(x.amount_minor for x in self.refunds if x.stage == RefundStage.SETTLED)

    @property
    def refunding(self) -> int:
        """The amount of requested refunds without an answer."""
        return sum(x.amount_minor for x in self.refunds if x.stage == RefundStage.REQUESTED)

    def captured_of(self, authorisation_id: str) -> int:
        return sum(x.amount_minor for x in self.captures if x.authorisation_id == authorisation_id)

    def held_of(self, authorisation: Authorisation) -> int:
        """The amount that can still be drawn from it."""
        if authorisation.stage != AuthorisationStage.AUTHORISED:
            return 0
        return authorisation.amount_minor - self.captured_of(authorisation.authorisation_id)

    def authorisation(self, authorisation_id: str) -> Authorisation | None:
        return next((x for x in self.authorisations if x.authorisation_id == authorisation_id), None)

    def capture(self, capture_id: str) -> Capture | None:
        return next((x for x in self.captures if x.capture_id == capture_id), None)

    def refund(self, refund_id: str) -> Refund | None:
        return next((x for x in self.refunds if x.refund_id == refund_id), None)


NO_MONEY = Ledger(authorisation_limit_minor=0)


def evolve(ledger: Ledger, event: PaymentEvent) -> Ledger:
    match event:
        case PaymentAuthorised():
            return _with_authorisation(
                ledger,
                Authorisation(
                    authorisation_id=event.authorisation_id,
                    amount_minor=event.amount.amount_minor,
                    stage=AuthorisationStage.AUTHORISED,
                ),
            )
        case PaymentFailed():
            return _with_authorisation(
                ledger,
                Authorisation(authorisation_id=event.authorisation_id, amount_minor=0, stage=AuthorisationStage.FAILED),
            )
        case PaymentVoided():
            return _with_authorisation(
                ledger,
                Authorisation(
                    authorisation_id=event.authorisation_id,
                    amount_minor=event.amount.amount_minor,
                    stage=AuthorisationStage.VOIDED,
                ),
            )
        case AuthorisationLapsed():
            return _lapsed(ledger, event.authorisation_id)
        case PaymentCaptured():
            capture = Capture(
                capture_id=event.capture_id,
                authorisation_id=event.authorisation_id,
                amount_minor=event.amount.amount_minor,
            )
            return replace(ledger, captures=(*ledger.captures, capture))
        case RefundRequested():
            return _with_refund(ledger, event, RefundStage.REQUESTED)
        case PaymentRefunded():
            return _with_refund(ledger, event, RefundStage.SETTLED)
        case RefundFailed():
            return _with_refund(ledger, event, RefundStage.FAILED)
        case _:
            assert_never(event)


def _with_authorisation(ledger: Ledger, changed: Authorisation) -> Ledger:
    """Replaces the one with its id, or adds a new one."""
    others = {x.authorisation_id: x for x in ledger.authorisations}
    return replace(ledger, authorisations=tuple((others | {changed.authorisation_id: changed}).values()))


def _lapsed(ledger: Ledger, authorisation_id: str) -> Ledger:
    known = ledger.authorisation(authorisation_id)
    return ledger if known is None else _with_authorisation(ledger, replace(known, stage=AuthorisationStage.LAPSED))


def _with_refund(ledger: Ledger, event: RefundRequested | PaymentRefunded | RefundFailed, stage: RefundStage) -> Ledger:
    others = {x.refund_id: x for x in ledger.refunds}
    known = others.get(event.refund_id)
    return_id = event.return_id if isinstance(event, RefundRequested) else known.return_id if known else None
    changed = Refund(
        refund_id=event.refund_id,
        amount_minor=event.amount.amount_minor,
        stage=stage,
        return_id=return_id,
        failure=event.reason if isinstance(event, RefundFailed) else "",
    )
    return replace(ledger, refunds=tuple((others | {changed.refund_id: changed}).values()))
