"""What is to be done next for an order: a pure function of what is, so that the order in which events arrive, and how
often, does not matter.

The order's own stream decides its fate, under its own revisions: first it is confirmed, rejected, expired or cancelled,
and only then does the process give back, or draw, what that fate asks for. So a crash between any two steps leaves
something that the next look finishes.
"""

from collections import Counter
from dataclasses import replace
from datetime import datetime

from server.domain.checkout.events import CheckoutLine
from server.domain.checkout.reservations import OWN, Reserved, arrival, left_in_all, reserved
from server.domain.checkout.state import Checkout, NotStarted, Running, StepName
from server.domain.checkout.steps import (
    AuthorisePayment,
    Cancel,
    CapturePayment,
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
    SettleRefund,
    Start,
    Step,
    TrimStock,
    VoidPayment,
    Wait,
)
from server.domain.money import Money, of_units
from server.domain.order.events import Condition
from server.domain.order.ledger import Authorisation, AuthorisationStage, Ledger, RefundStage
from server.domain.order.state import (
    ENDED_UNDELIVERED,
    NEVER_LEFT,
    Cancelled,
    Committed,
    Completed,
    Confirmed,
    Draft,
    Expired,
    NoOrder,
    Order,
    Placed,
    Refused,
    ReturnStage,
    Shipment,
    ShipmentStage,
    cancelled_quantities,
    delivered_quantities,
    left_shipments,
    live_shipments,
    net_of,
    open_returns,
    remaining_units,
)

AUTHORISATION = "checkout"  # the id of the one authorisation that a process asks for
PAYMENT_DECLINED = "PAYMENT_DECLINED"


def next_step(order: Order, checkout: Checkout, now: datetime) -> Step | Wait:
    """The next step, or what is waited for."""
    step = _wanted(order, checkout, now)
    failure = checkout.failure if isinstance(checkout, Running) else None
    if isinstance(step, Wait) or failure is None or (failure.step, failure.subject) != (step.name, step.subject):
        return step
    if failure.retry_at is None:
        return Wait(what="an operator")
    return step if now >= failure.retry_at else Wait(what="the next attempt")


def _wanted(order: Order, checkout: Checkout, now: datetime) -> Step | Wait:
    match order, checkout:
        case ((NoOrder() | Draft()), _):
            return Wait(what="the order to be placed")
        case Placed(), NotStarted():
            return Start(lines=_lines(order), deadline=order.expires_at)
        case _, NotStarted():
            return Wait(what="nothing")  # it was over before it began
        case Placed(), Running():
            return _check_out(order, checkout, now)
        case ((Confirmed() | Completed()), Running()):
            return _fulfil(order, checkout)
        case ((Cancelled() | Refused() | Expired()), Running()):
            return _undo(order, checkout)
    raise AssertionError(f"no rule for {order}")


def _check_out(order: Placed, checkout: Running, now: datetime) -> Step | Wait:
    if checkout.given_up:
        return Reject(reason=checkout.given_up)
    if now >= checkout.deadline:
        return Expire()
    if not _done(checkout, StepName.RESERVE_STOCK, done=checkout.reserved):
        return ReserveStock(lines=checkout.lines)
    payment = order.payments.authorisation(AUTHORISATION)
    if payment is not None and payment.stage != AuthorisationStage.AUTHORISED:
        return Reject(reason=PAYMENT_DECLINED)
    for look in (_authorise, _trim):
        if (step := look(order, checkout)) is not None:
            return step
    return Wait(what="the hold to be released") if order.held else Confirm()


def _authorise(order: Committed, checkout: Running) -> Step | None:
    lacking = order.total.amount_minor - order.payments.authorised
    if _done(checkout, StepName.AUTHORISE_PAYMENT, done=lacking <= 0):
        return None
    return AuthorisePayment(amount=Money(amount_minor=lacking, currency=order.currency))


def _undo(order: Cancelled | Refused | Expired, checkout: Running) -> Step | Wait:
    if isinstance(order, Cancelled) and (sent := _account_for_parcels(order, checkout)) is not None:
        return sent
    if not _done(checkout, StepName.RELEASE_STOCK, done=checkout.released):
        return _release(order, checkout) if isinstance(order, Cancelled) else ReleaseStock(lines=checkout.lines)
    if (money_back := _give_back(order.payments, order.currency, checkout)) is not None:
        return money_back
    return Wait(what="nothing") if checkout.outcome else End(outcome=order.status)


def _account_for_parcels(order: Cancelled, checkout: Running) -> Step | None:
    """An order that was cancelled may have parcels that were lost or came back: their goods have left the stock."""
    if not left_shipments(order):
        return None
    for look in (_trim, _drop, _restock_parcels):
        if (step := look(order, checkout)) is not None:
            return step
    for shipment in left_shipments(order):
        if (drawn := _draw(order, shipment, checkout)) is not None:
            return drawn
        # the money may have been drawn without a recorded answer: the same key gets the provider's first answer
        asked = _may_be_drawn(order, shipment)
        known = order.payments.capture(shipment.shipment_id) is not None
        if not _done(checkout, StepName.CAPTURE_PAYMENT, shipment.shipment_id, done=known or asked <= 0):
            return _capture(shipment, asked, order)
    return None


def _may_be_drawn(order: Cancelled, shipment: Shipment) -> int:
    lines = {line.line_id: line for line in order.lines}
    goods = sum(
        of_units(net_of(lines[part.line_id]), lines[part.line_id].quantity, 0, part.quantity) for part in shipment.lines
    )
    return min(goods, order.payments.authorised - order.payments.captured)


def _release(order: Cancelled, checkout: Running) -> ReleaseStock:
    """All reservations but those of which every unit has left the stock."""
    held, gone = reserved(order, checkout.lines), left_in_all(order, checkout.committed)
    open_ones = {
        (line_id, reservation)
        for line_id, sizes in held.sizes.items()
        for reservation, units in held.drawn(line_id, gone[line_id])
        if not units or units < sizes[reservation]
    }
    return ReleaseStock(
        lines=tuple(line for line in checkout.lines if (line.line_id, OWN) in open_ones),
        further=_further(checkout, held, open_ones),
    )


def _give_back(ledger: Ledger, currency: str, checkout: Running) -> Step | None:
    """Whatever is held is let go, and whatever was drawn goes back: the order has ended."""
    for authorisation in ledger.authorisations:
        done = authorisation.stage != AuthorisationStage.AUTHORISED or _is_captured(ledger, authorisation)
        if not _done(checkout, StepName.VOID_PAYMENT, authorisation.authorisation_id, done=done):
            return VoidPayment(subject=authorisation.authorisation_id, recorded=True)
    # asked for, but the order knows of no money: the answer may be on its way, and a refusal may not be the last word
    known = ledger.authorisation(AUTHORISATION)
    unknown = checkout.reserved and (known is None or known.stage == AuthorisationStage.FAILED)
    if not _done(checkout, StepName.VOID_PAYMENT, AUTHORISATION, done=checkout.voided or not unknown):
        return VoidPayment(subject=AUTHORISATION, recorded=False)
    left = ledger.captured - ledger.refunded - ledger.refunding
    if not _done(checkout, StepName.REFUND_PAYMENT, "all", done=left <= 0):
        return RequestRefund(
            subject="all", amount=Money(amount_minor=left, currency=currency), reason="the order has ended"
        )
    return _settle(ledger, currency, checkout)


def _settle(ledger: Ledger, currency: str, checkout: Running) -> Step | None:
    for refund in ledger.refunds:
        if not _done(checkout, StepName.REFUND_PAYMENT, refund.refund_id, done=refund.stage != RefundStage.REQUESTED):
            return SettleRefund(
                subject=refund.refund_id, amount=Money(amount_minor=refund.amount_minor, currency=currency)
            )
    return None


def _fulfil(order: Confirmed | Completed, checkout: Running) -> Step | Wait:
    if checkout.given_up and isinstance(order, Confirmed) and not live_shipments(order):
        return Cancel(reason=checkout.given_up)
    # an order that was confirmed by hand is served like any other; what is missing cannot refuse it any more
    if not _done(checkout, StepName.RESERVE_STOCK, done=checkout.reserved):
        return ReserveStock(lines=checkout.lines)
    for look in (_authorise, _trim, _drop, _restock_parcels, _ship, _take_back, _pay_surplus_back, _let_go):
        if (step := look(order, checkout)) is not None:
            return step
    if (settling := _settle(order.payments, order.currency, checkout)) is not None:
        return settling
    if (again := _reserve_again(order, checkout)) is not None:
        return again  # last: the stock may be missing for long, and no other step has to wait for it
    if isinstance(order, Completed):
        return Wait(what="nothing") if checkout.outcome else End(outcome=order.status)
    if remaining_units(order) > delivered_quantities(order).total():
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
    """Units of a lost parcel that arrived after all are not to be sent again."""
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
    """What came back undelivered can be sold again if it is as new."""
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
    """What has left the house leaves the stock, and is paid for, whatever became of it: what is sent again was paid."""
    for shipment in left_shipments(order):
        known = shipment.shipment_id
        if (drawn := _draw(order, shipment, checkout)) is not None:
            return drawn
        due = _due(order, shipment, checkout)
        paid = order.payments.capture(known) is not None or due <= 0
        if not _done(checkout, StepName.CAPTURE_PAYMENT, known, done=paid):
            return _capture(shipment, due, order)
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
        if (again := _reserve_units_of(order, checkout, reopening.shipment_id)) is not None:
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


def _capture(shipment: Shipment, amount: int, order: Confirmed | Completed | Cancelled) -> CapturePayment:
    return CapturePayment(
        subject=shipment.shipment_id,
        authorisation_id=_source(order.payments),
        amount=Money(amount_minor=amount, currency=order.currency),
    )


def _take_back(order: Confirmed | Completed, checkout: Running) -> Step | None:
    """What has come back can be sold again if it is as new, and is paid back."""
    for back in order.returns:
        if back.stage != ReturnStage.RECEIVED:
            continue
        if not _done(checkout, StepName.RESTOCK_RETURN, back.return_id, done=back.return_id in checkout.restocked):
            return RestockReturn(
                subject=back.return_id,
                lines=tuple(
                    CheckoutLine(line_id=part.line_id, sku=part.sku, quantity=part.quantity)
                    for part in back.received
                    if part.condition == Condition.RESALEABLE
                ),
            )
        ledger = order.payments
        most = ledger.captured - ledger.refunded - ledger.refunding
        amount = min(most, sum(part.amount.amount_minor for part in back.received))
        asked = amount <= 0 or ledger.refund(back.return_id) is not None
        if not _done(checkout, StepName.REFUND_PAYMENT, back.return_id, done=asked):
            return RequestRefund(
                subject=back.return_id,
                amount=Money(amount_minor=amount, currency=order.currency),
                reason="goods have come back",
            )
    return None


def _pay_surplus_back(order: Confirmed | Completed, checkout: Running) -> Step | None:
    """More was drawn than the order costs: it was drawn by hand, and then units were cancelled, for instance.

    What goes back for goods that have come back is no part of it. Each surplus has a number of its own.
    """
    ledger, returns = order.payments, {back.return_id for back in order.returns}
    others = [x for x in ledger.refunds if x.stage != RefundStage.FAILED and x.refund_id not in returns]
    surplus = ledger.captured - order.total.amount_minor - sum(x.amount_minor for x in others)
    amount = min(surplus, ledger.captured - ledger.refunded - ledger.refunding)
    subject = f"surplus-{len(ledger.refunds) + 1}"
    if _done(checkout, StepName.REFUND_PAYMENT, subject, done=amount <= 0):
        return None
    return RequestRefund(
        subject=subject,
        amount=Money(amount_minor=amount, currency=order.currency),
        reason="more was paid than the order costs",
    )


def _let_go(order: Confirmed | Completed, checkout: Running) -> Step | None:
    """When nothing is left to be sent, what is held beyond what the order costs, and was not drawn from, is let go."""
    ledger = order.payments
    if remaining_units(order) > delivered_quantities(order).total():
        return None
    for held in ledger.authorisations:
        needed = ledger.authorised - held.amount_minor < order.total.amount_minor
        done = held.stage != AuthorisationStage.AUTHORISED or needed or _is_captured(ledger, held)
        if not _done(checkout, StepName.VOID_PAYMENT, held.authorisation_id, done=done):
            return VoidPayment(subject=held.authorisation_id, recorded=True)
    return None


def _source(ledger: Ledger) -> str:
    """What a capture is drawn from; the order refuses it if there is nothing."""
    live = [x.authorisation_id for x in ledger.authorisations if x.stage == AuthorisationStage.AUTHORISED]
    return live[0] if live else AUTHORISATION


def _due(order: Confirmed | Completed, shipment: Shipment, checkout: Running) -> int:
    """What is to be drawn for a shipment: what all goods cost that have left with it, less what was drawn before.

    The units of a line are counted from its beginning, so that all of them together cost what the line does. What is
    not for goods is paid with the first shipment. Units of a lost or returned parcel do not count beside those of
    another: they are open again, and when they are sent again what was drawn for them pays for that.
    """
    gone, before = Counter[str](), True
    for one in order.shipments:
        before = before and one is not shipment
        if one is shipment or (one.stage not in ENDED_UNDELIVERED and _is_settled(order, one, checkout, before=before)):
            for part in one.lines:
                gone[part.line_id] += part.quantity
    off = cancelled_quantities(order)
    goods = sum(
        of_units(net_of(line), line.quantity, 0, min(gone[line.line_id], line.quantity - off[line.line_id]))
        for line in order.lines
    )
    return goods + _beside_goods(order) - order.payments.captured


def _is_settled(order: Confirmed | Completed, shipment: Shipment, checkout: Running, *, before: bool) -> bool:
    """Whether a parcel is paid for: by a capture of its own, or, if it comes before, by what was drawn for others."""
    if order.payments.capture(shipment.shipment_id) is not None:
        return True
    skipped = (StepName.CAPTURE_PAYMENT, shipment.shipment_id) in checkout.skipped
    return before and shipment.stage not in NEVER_LEFT and not skipped


def _beside_goods(order: Confirmed | Completed) -> int:
    off = cancelled_quantities(order)
    kept = sum(of_units(net_of(line), line.quantity, 0, line.quantity - off[line.line_id]) for line in order.lines)
    return order.total.amount_minor - kept


def _gone(order: Confirmed | Completed | Cancelled, shipment: Shipment, checkout: Running) -> CommitStock:
    """What has left in all of each reservation from which a shipment draws, when this one has."""
    held = reserved(order, checkout.lines)
    before = left_in_all(order, checkout.committed)
    own: list[CheckoutLine] = []
    further: list[FurtherReservation] = []
    skus = {line.line_id: line.sku for line in checkout.lines}
    for part in shipment.lines:
        drawn = dict(held.drawn(part.line_id, before[part.line_id]))
        for reservation, units in held.drawn(part.line_id, before[part.line_id] + part.quantity):
            if units <= drawn[reservation]:
                continue
            line = CheckoutLine(line_id=part.line_id, sku=skus[part.line_id], quantity=units)
            if reservation == OWN:
                own.append(line)
            else:
                further.append(FurtherReservation(shipment_id=reservation, line=line))
    return CommitStock(subject=shipment.shipment_id, lines=tuple(own), further=tuple(further))


def _lines(order: Placed) -> tuple[CheckoutLine, ...]:
    return tuple(CheckoutLine(line_id=x.line_id, sku=x.sku, quantity=x.quantity) for x in order.lines)


def _is_captured(ledger: Ledger, authorisation: Authorisation) -> bool:
    return ledger.captured_of(authorisation.authorisation_id) > 0


def _done(checkout: Running, step: StepName, subject: str = "", *, done: bool) -> bool:
    """Done, or taken for done by an operator."""
    return done or (step, subject) in checkout.skipped


def after_refusal(order: Order, step: Step, reason: str) -> Step | None:
    """What a refusal means: an order that is not confirmed yet is turned down when its stock is not to be had."""
    if isinstance(step, ReserveStock) and isinstance(order, Placed):
        return Reject(reason=reason)
    return None
