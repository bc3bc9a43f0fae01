"""The next step of an order's process (saga): a pure function of the present state, so that the order in which events
arrive, and how often, does not matter.

The order's own stream decides its outcome, under its own revisions: first it is confirmed, rejected, expired or
cancelled, and only then does the process compensate, or draw money, as the outcome requires. So a crash between any two
steps leaves a state that the next run completes.
"""

from dataclasses import replace
from datetime import datetime

from core.domain.checkout import authorisations, captures, refunds
from core.domain.checkout.events import CheckoutLine
from core.domain.checkout.reservations import OWN, Reserved, arrival, drawn_by_hand, left_in_all, reserved
from core.domain.checkout.state import Checkout, NotStarted, Running, StepName
from core.domain.checkout.steps import (
    Cancel,
    CommitStock,
    Complete,
    Confirm,
    DropReshipment,
    End,
    Expire,
    FurtherReservation,
    Reject,
    ReleaseStock,
    RequestRefund,
    ReserveAgain,
    ReserveStock,
    RestockReturn,
    RestockShipment,
    Start,
    Step,
    TrimStock,
    Wait,
)
from core.domain.order import owed
from core.domain.order.events import Condition
from core.domain.order.state import (
    Cancelled,
    Committed,
    Completed,
    Confirmed,
    Draft,
    Expired,
    NoOrder,
    Order,
    Placed,
    Rejected,
    Return,
    ReturnStage,
    Shipment,
    ShipmentStage,
    arrived_back,
    left_shipments,
    live_shipments,
    open_returns,
    undelivered_units,
)
from core.domain.rejection import CommandRejected, Reason

PAYMENT_DECLINED = "PAYMENT_DECLINED"


def next_step(order: Order, checkout: Checkout, now: datetime, store_now: datetime | None = None) -> Step | Wait:
    """The next step, or what is waited for.

    `now` decides when a failed step is retried, `store_now` (as `now` if not given) whether the order has expired.
    """
    step = wanted(order, checkout, store_now or now)
    failure = checkout.failure if isinstance(checkout, Running) else None
    if isinstance(step, Wait) or failure is None or not holds_up(failure.step, failure.subject, step):
        return step
    if failure.retry_at is None:
        return Wait(what="an operator")
    return step if now >= failure.retry_at else Wait(what="the next attempt")


def holds_up(name: str, subject: str, step: Step) -> bool:
    """Whether a step has to wait after a failure of the step `name` of `subject`."""
    follows = step.follows if isinstance(step, RequestRefund) else step.subject
    return name == step.name and subject in (step.subject, follows)


def wanted(order: Order, checkout: Checkout, now: datetime) -> Step | Wait:
    """The next step, whether or not it has to wait after a failure."""
    match order, checkout:
        case ((NoOrder() | Draft()), _):
            return Wait(what="the order to be placed")
        case ((Placed() | Confirmed() | Completed()), NotStarted()):
            return Start(lines=_lines(order), deadline=order.expires_at)
        case ((Cancelled() | Rejected() | Expired()), NotStarted()):
            return _begin_late(order)
        case Placed(), Running():
            return _check_out(order, checkout, now)
        case ((Confirmed() | Completed()), Running()):
            return _fulfil(order, checkout)
        case ((Cancelled() | Rejected() | Expired()), Running()):
            return _undo(order, checkout)
    raise AssertionError(f"no rule for {order}")


def _begin_late(order: Cancelled | Rejected | Expired) -> Step | Wait:
    """The order ended before the process started: a step is needed only if money has moved, or goods have left."""
    ledger = order.payments
    held = any(ledger.held_of(x) for x in ledger.authorisations)
    kept = ledger.captured > ledger.refunded  # what was asked back is not back yet
    lines = _lines(order) if isinstance(order, Cancelled) and left_shipments(order) else ()
    if order.expires_at is None or not (held or kept or lines):
        return Wait(what="nothing")
    return Start(lines=lines, deadline=order.expires_at)


def _check_out(order: Placed, checkout: Running, now: datetime) -> Step | Wait:
    if checkout.given_up:
        return Reject(reason=checkout.given_up)
    if now >= checkout.deadline:
        return Expire(now=now)
    if not _was_reserved(checkout):
        return ReserveStock(lines=checkout.lines)
    if authorisations.is_declined(order.payments):
        return Reject(reason=PAYMENT_DECLINED)
    for look in (_authorise, _trim):
        if (step := look(order, checkout)) is not None:
            return step
    return Wait(what="the hold to be released") if order.held else Confirm()


def _authorise(order: Committed, checkout: Running) -> Step | None:
    step = authorisations.next_authorisation(order, checkout)
    return None if _done(checkout, StepName.AUTHORISE_PAYMENT, done=step is None) else step


def _undo(order: Cancelled | Rejected | Expired, checkout: Running) -> Step | Wait:
    if isinstance(order, Cancelled) and (sent := _account_for_parcels(order, checkout)) is not None:
        return sent
    if not _done(checkout, StepName.RELEASE_STOCK, done=checkout.released):
        return _release(order, checkout) if isinstance(order, Cancelled) else ReleaseStock(lines=checkout.lines)
    if (money_back := _give_back(order, checkout)) is not None:
        return money_back
    return Wait(what="nothing") if checkout.outcome else End(outcome=order.status)


def _account_for_parcels(order: Cancelled, checkout: Running) -> Step | None:
    """A cancelled order may have parcels that were lost, came back, or arrived after all: their goods have left the
    stock, and may be returned.
    """
    if not left_shipments(order):
        return None
    if not _was_reserved(checkout):
        return ReserveStock(lines=checkout.lines)
    for look in (_trim, _drop, _restock_parcels, _restock_returns):
        if (step := look(order, checkout)) is not None:
            return step
    for shipment in left_shipments(order):
        if (drawn := _draw(order, shipment, checkout)) is not None:
            return drawn
        capture = captures.may_be_drawn(order, shipment)
        if not _done(checkout, StepName.CAPTURE_PAYMENT, shipment.shipment_id, done=capture is None):
            return capture
    return None


def _release(order: Cancelled, checkout: Running) -> ReleaseStock:
    """All reservations but those of which every unit has left the stock."""
    held, gone = reserved(order, checkout.lines), left_in_all(order, checkout.committed)
    by_hand = drawn_by_hand(order, checkout.lines)
    open_ones = {
        (line_id, reservation)
        for line_id, sizes in held.sizes.items()
        for reservation, units in held.drawn(line_id, max(0, gone[line_id] - by_hand[line_id]))
        if not units or units < sizes[reservation]
    }
    return ReleaseStock(
        lines=tuple(line for line in checkout.lines if (line.line_id, OWN) in open_ones),
        further=_further(checkout, held, open_ones),
    )


def _give_back(order: Cancelled | Rejected | Expired, checkout: Running) -> Step | None:
    """The order has ended: held money is released, and drawn money is refunded."""
    for held in authorisations.of_ended(order.payments):
        if (StepName.VOID_PAYMENT, held.subject) not in checkout.skipped:
            return held
    unknown = authorisations.may_be_under_way(order) if _was_reserved(checkout) else None
    if unknown is not None and not _done(checkout, StepName.VOID_PAYMENT, unknown.subject, done=checkout.voided):
        return unknown
    owing = refunds.of_ended(order.payments)
    return refunds.ask_for(owing, order.currency, checkout) or refunds.settle(order, checkout)


def _fulfil(order: Confirmed | Completed, checkout: Running) -> Step | Wait:
    if checkout.given_up and isinstance(order, Confirmed) and not live_shipments(order):
        return Cancel(reason=checkout.given_up)
    # an order that was confirmed by hand is served like any other; what is missing cannot refuse it any more
    if not _was_reserved(checkout):
        return ReserveStock(lines=checkout.lines)
    for look in (_authorise, _trim, _drop, _restock_parcels, _ship, _take_back, _pay_surplus_back, _let_go):
        if (step := look(order, checkout)) is not None:
            return step
    if (settling := refunds.settle(order, checkout)) is not None:
        return settling
    if (again := _reserve_again(order, checkout)) is not None:
        return again  # last: the stock may be missing for long, and no other step has to wait for it
    if isinstance(order, Completed):
        return Wait(what="nothing") if checkout.outcome else End(outcome=order.status)
    if undelivered_units(order):
        return Wait(what="shipments")
    if open_returns(order):
        return Wait(what="returns")
    return Wait(what="the hold to be released") if order.held else Complete()


def _trim(order: Committed | Cancelled, checkout: Running) -> Step | None:
    """Units that were cancelled are not reserved any longer."""
    for cancellation in order.cancellations:
        known = cancellation.cancellation_id
        if not _done(checkout, StepName.RELEASE_STOCK, known, done=known in checkout.trimmed):
            held = reserved(order, checkout.lines)
            own, further = _cut(checkout, held, known)
            return TrimStock(subject=known, line=own[0] if own else None, further=further)
    return None


def _drop(order: Confirmed | Completed | Cancelled, checkout: Running) -> Step | None:
    """Units of a lost parcel that arrived after all are not to be sent again, if they have not been."""
    for reopening in order.reopenings:
        known = reopening.shipment_id
        dropped = not reopening.undone or known in checkout.dropped
        if not _done(checkout, StepName.RELEASE_STOCK, arrival(known), done=dropped):
            held = reserved(order, checkout.lines)
            own, further = _cut(checkout, held, arrival(known))
            return DropReshipment(subject=arrival(known), shipment_id=known, lines=own, further=further)
    return None


def _cut(
    checkout: Running, held: Reserved, cause: str
) -> tuple[tuple[CheckoutLine, ...], tuple[FurtherReservation, ...]]:
    """What stays of the reservations that something has lowered; those that are not made yet are made smaller."""
    cuts = held.cuts.get(cause, set())
    own = tuple(
        replace(line, quantity=held.size(line.line_id, OWN)) for line in checkout.lines if (line.line_id, OWN) in cuts
    )
    return own, _further(checkout, held, {x for x in cuts if x[1] in checkout.reserved_again})


def _restock_parcels(order: Confirmed | Completed | Cancelled, checkout: Running) -> Step | None:
    """Goods that were returned undelivered can be sold again if they are as new."""
    for shipment in order.shipments:
        known = shipment.shipment_id
        restocked = shipment.stage != ShipmentStage.RETURNED or known in checkout.shipments_restocked
        if not _done(checkout, StepName.RESTOCK_SHIPMENT, known, done=restocked):
            return RestockShipment(
                subject=known,
                lines=tuple(
                    CheckoutLine(line_id=part.line_id, sku=part.sku, quantity=part.quantity)
                    for part in shipment.returned
                    if part.condition == Condition.RESALEABLE
                ),
            )
    return None


def _ship(order: Confirmed | Completed, checkout: Running) -> Step | None:
    """Dispatched goods leave the stock and are paid for, whatever their outcome: goods sent again were paid before."""
    capture = captures.next_capture(order, checkout)
    for shipment in left_shipments(order):
        if (drawn := _draw(order, shipment, checkout)) is not None:
            return drawn
        if capture is not None and capture.subject == shipment.shipment_id:
            return capture
    return None


def _draw(order: Confirmed | Completed | Cancelled, shipment: Shipment, checkout: Running) -> Step | None:
    """A parcel's units leave the stock, from the reservations that hold them."""
    known = shipment.shipment_id
    if _done(checkout, StepName.COMMIT_STOCK, known, done=known in checkout.committed):
        return None
    commit = _gone(order, shipment, checkout)
    for further in commit.further:
        if (again := _reserve_units_of(order, checkout, further.shipment_id)) is not None:
            return again
    return commit


def _reserve_again(order: Confirmed | Completed, checkout: Running) -> Step | None:
    """Units that are to be sent again are reserved again."""
    for reopening in order.reopenings:
        if not reopening.undone and (again := _reserve_units_of(order, checkout, reopening.shipment_id)) is not None:
            return again
    return None


def _reserve_units_of(order: Committed | Cancelled, checkout: Running, shipment_id: str) -> Step | None:
    done = shipment_id in checkout.reserved_again
    if _done(checkout, StepName.RESERVE_STOCK, shipment_id, done=done):
        return None
    held = reserved(order, checkout.lines)
    wanted = {(line_id, shipment_id) for line_id, sizes in held.sizes.items() if shipment_id in sizes}
    lines = tuple(further.line for further in _further(checkout, held, wanted))
    return ReserveAgain(subject=shipment_id, lines=lines, trims=checkout.trims)


def _further(checkout: Running, held: Reserved, wanted: set[tuple[str, str]]) -> tuple[FurtherReservation, ...]:
    """Those of these reservations that are further ones, with their sizes; in the order of the lines."""
    return tuple(
        FurtherReservation(shipment_id=reservation, line=replace(line, quantity=size))
        for line in checkout.lines
        for reservation, size in held.sizes[line.line_id].items()
        if (line.line_id, reservation) in wanted and reservation != OWN
    )


def _take_back(order: Confirmed | Completed, checkout: Running) -> Step | None:
    """Returned goods can be sold again if they are as new, and are refunded."""
    owed_for = owed.for_returns(order)
    for back in order.returns:
        if (restock := _restock_return(back, checkout)) is not None:
            return restock
        if owing := owed_for.get(back.return_id):
            return refunds.ask_for(refunds.of_return(order, back.return_id, owing), order.currency, checkout)
    return None


def _restock_returns(order: Cancelled, checkout: Running) -> Step | None:
    """A customer may return what arrived after the end of the order; no money is owed for it."""
    steps = (_restock_return(back, checkout) for back in order.returns)
    return next((step for step in steps if step is not None), None)


def _restock_return(back: Return, checkout: Running) -> RestockReturn | None:
    if back.stage != ReturnStage.RECEIVED:
        return None
    if _done(checkout, StepName.RESTOCK_RETURN, back.return_id, done=back.return_id in checkout.restocked):
        return None
    return RestockReturn(
        subject=back.return_id,
        lines=tuple(
            CheckoutLine(line_id=part.line_id, sku=part.sku, quantity=part.quantity)
            for part in arrived_back(back)
            if part.condition == Condition.RESALEABLE
        ),
    )


def _pay_surplus_back(order: Confirmed | Completed, checkout: Running) -> Step | None:
    """More was drawn than the order costs."""
    return refunds.ask_for(refunds.of_surplus(order), order.currency, checkout)


def _let_go(order: Confirmed | Completed, checkout: Running) -> Step | None:
    """When nothing is left to be sent, what is held beyond what the order costs is let go."""
    if undelivered_units(order):
        return None
    for held in authorisations.not_needed(order):
        if (StepName.VOID_PAYMENT, held.subject) not in checkout.skipped:
            return held
    return None


def _gone(order: Confirmed | Completed | Cancelled, shipment: Shipment, checkout: Running) -> CommitStock:
    """What has left in all of each reservation from which a shipment draws, when this one has."""
    held = reserved(order, checkout.lines)
    gone, by_hand = left_in_all(order, checkout.committed), drawn_by_hand(order, checkout.lines)
    own: list[CheckoutLine] = []
    further: list[FurtherReservation] = []
    skus = {line.line_id: line.sku for line in checkout.lines}
    for part in shipment.lines:
        before = gone[part.line_id] - by_hand[part.line_id]
        drawn = dict(held.drawn(part.line_id, max(0, before)))
        for reservation, units in held.drawn(part.line_id, max(0, before + part.quantity)):
            if units <= drawn[reservation]:
                continue
            line = CheckoutLine(line_id=part.line_id, sku=skus[part.line_id], quantity=units)
            if reservation == OWN:
                own.append(line)
            else:
                further.append(FurtherReservation(shipment_id=reservation, line=line))
    return CommitStock(subject=shipment.shipment_id, lines=tuple(own), further=tuple(further))


def _lines(order: Committed | Cancelled) -> tuple[CheckoutLine, ...]:
    return tuple(CheckoutLine(line_id=x.line_id, sku=x.sku, quantity=x.quantity) for x in order.lines)


def _was_reserved(checkout: Running) -> bool:
    return _done(checkout, StepName.RESERVE_STOCK, done=checkout.reserved)


def _done(checkout: Running, step: StepName, subject: str = "", *, done: bool) -> bool:
    """Done, or marked as done by an operator."""
    return done or (step, subject) in checkout.skipped


def after_refusal(order: Order, step: Step, rejection: CommandRejected) -> Step | None:
    """The step instead of a refused one: an order that is not confirmed yet is rejected when its stock is not to be
    had, or when its user was blocked since it was placed.
    """
    no_stock = isinstance(step, ReserveStock)
    blocked = isinstance(step, Confirm) and rejection.reason is Reason.USER_BLOCKED
    if isinstance(order, Placed) and (no_stock or blocked):
        return Reject(reason=str(rejection))
    return None
