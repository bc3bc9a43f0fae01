"""The rules of returns: requested, approved or rejected, received.

Only delivered units can be returned, each once. The received quantity may be smaller than the requested one: the rest
may be requested again. While the customer has more units of a line than were ordered, these are returned first: they
were not paid for, so nothing is owed for them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from core.domain.money import Money, prorate
from core.domain.order.commands import (
    ApproveReturn,
    ReceivedQuantity,
    ReceiveReturn,
    RejectReturn,
    RequestReturn,
    ReturnCommand,
)
from core.domain.order.events import (
    Condition,
    ExcessReturned,
    LineQuantity,
    OrderEvent,
    ReceivedLine,
    ReturnApproved,
    ReturnedLine,
    ReturnReceived,
    ReturnRejected,
    ReturnRequested,
)
from core.domain.order.limits import require_capacity, require_lines, require_quantities
from core.domain.order.state import (
    Return,
    ReturnStage,
    Shipped,
    arrived_back,
    excess_quantities,
    net_minor,
    returnable_quantities,
    returned_quantities,
)
from core.domain.rejection import CommandRejected, Reason

Quantities = Counter[tuple[str, Condition]]


def decide(order: Shipped, command: ReturnCommand) -> Sequence[OrderEvent]:
    match command:
        case RequestReturn():
            return _request(order, command)
        case ApproveReturn():
            return _approve(order, command)
        case RejectReturn():
            return _reject(order, command)
        case ReceiveReturn():
            return _receive(order, command)


def _request(order: Shipped, command: RequestReturn) -> Sequence[OrderEvent]:
    require_quantities(command.lines)
    wanted: Counter[str] = Counter()
    for part in command.lines:
        wanted[part.line_id] += part.quantity

    existing = next((x for x in order.returns if x.return_id == command.return_id), None)
    if existing is not None:
        if not wanted or wanted == Counter({x.line_id: x.quantity for x in existing.requested}):
            return []
        raise CommandRejected(Reason.RETURN_ID_USED, order_id=order.order_id, return_id=command.return_id)

    require_capacity(order.order_id, "returns", len(order.returns))
    returnable = returnable_quantities(order)
    if not wanted:
        wanted.update({line_id: n for line_id, n in returnable.items() if n > 0})
        if not wanted:
            raise CommandRejected(Reason.RETURN_EXCEEDS_DELIVERED, line_id="", wanted=1, returnable=0)
    known = {line.line_id for line in order.lines}
    for line_id, quantity in wanted.items():
        if line_id not in known:
            raise CommandRejected(Reason.LINE_NOT_FOUND, order_id=order.order_id, line_id=line_id)
        if quantity > returnable.get(line_id, 0):
            raise CommandRejected(
                Reason.RETURN_EXCEEDS_DELIVERED,
                line_id=line_id,
                wanted=quantity,
                returnable=returnable.get(line_id, 0),
            )
    require_capacity(order.order_id, "lines_of_returns", sum(len(x.requested) for x in order.returns), len(wanted))
    return [
        ReturnRequested(
            order_id=order.order_id,
            return_id=command.return_id,
            lines=tuple(LineQuantity(line_id=line_id, quantity=n) for line_id, n in wanted.items()),
            reason=command.reason,
            at=command.at,
        )
    ]


def _approve(order: Shipped, command: ApproveReturn) -> Sequence[OrderEvent]:
    asked = _return(order, command)
    match asked.stage:
        case ReturnStage.REQUESTED:
            return [ReturnApproved(order_id=order.order_id, return_id=asked.return_id, at=command.at)]
        case ReturnStage.APPROVED | ReturnStage.RECEIVED:
            return []
        case ReturnStage.REJECTED:
            raise _does_not_follow(order, asked)


def _reject(order: Shipped, command: RejectReturn) -> Sequence[OrderEvent]:
    asked = _return(order, command)
    match asked.stage:
        case ReturnStage.REQUESTED | ReturnStage.APPROVED:
            return [
                ReturnRejected(order_id=order.order_id, return_id=asked.return_id, reason=command.reason, at=command.at)
            ]
        case ReturnStage.REJECTED:
            return []
        case ReturnStage.RECEIVED:
            raise _does_not_follow(order, asked)


def _receive(order: Shipped, command: ReceiveReturn) -> Sequence[OrderEvent]:
    asked = _return(order, command)
    require_lines(command.lines)
    received: Counter[str] = Counter()
    for part in command.lines:
        received[part.line_id] += part.quantity
    if asked.stage == ReturnStage.RECEIVED and _same(command, asked):
        return []
    if asked.stage != ReturnStage.APPROVED:
        raise _does_not_follow(order, asked)

    requested = {x.line_id: x.quantity for x in asked.requested}
    for line_id, quantity in received.items():
        if quantity > requested.get(line_id, 0):
            raise CommandRejected(
                Reason.RECEIVED_EXCEEDS_REQUESTED,
                line_id=line_id,
                received=quantity,
                requested=requested.get(line_id, 0),
            )
    assert order.placed_at is not None, "an order with parcels was placed"
    excess, paid = _divided(order, command)
    lines = _worth(order, paid)
    unpaid = ExcessReturned(order_id=order.order_id, return_id=asked.return_id, lines=excess, at=command.at)
    return [
        *([unpaid] if excess else []),
        ReturnReceived(
            order_id=order.order_id,
            customer_id=order.customer_id,
            return_id=asked.return_id,
            lines=lines,
            amount=Money(amount_minor=sum(x.amount.amount_minor for x in lines), currency=order.currency),
            placed_at=order.placed_at,
            at=command.at,
        ),
    ]


def _divided(order: Shipped, command: ReceiveReturn) -> tuple[tuple[ReturnedLine, ...], Quantities]:
    """The received units beyond the order, and those of it."""
    skus, beyond = {line.line_id: line.sku for line in order.lines}, excess_quantities(order)
    excess, paid = [], Quantities()
    for (line_id, condition), quantity in _by_condition(command.lines).items():
        units = min(quantity, beyond[line_id])
        beyond[line_id] -= units
        if units:
            excess.append(ReturnedLine(line_id=line_id, sku=skus[line_id], quantity=units, condition=condition))
        if units < quantity:
            paid[line_id, condition] = quantity - units
    return tuple(excess), paid


def _worth(order: Shipped, parts: Quantities) -> tuple[ReceivedLine, ...]:
    """These units of the order, each with its cost: the first units of a line are returned first."""
    sold = {line.line_id: line for line in order.lines}
    back = returned_quantities(order)
    lines = []
    for (line_id, condition), quantity in parts.items():
        line = sold[line_id]
        worth = prorate(net_minor(line), line.quantity, back[line_id], quantity)
        back[line_id] += quantity
        lines.append(
            ReceivedLine(
                line_id=line_id,
                sku=line.sku,
                quantity=quantity,
                condition=condition,
                amount=Money(amount_minor=worth, currency=order.currency),
            )
        )
    return tuple(lines)


def _same(command: ReceiveReturn, asked: Return) -> bool:
    """Whether it equals the recorded return, in whatever order and parts."""
    return _by_condition(command.lines) == _by_condition(arrived_back(asked))


def _by_condition(parts: Iterable[ReceivedQuantity | ReceivedLine | ReturnedLine]) -> Quantities:
    received = Quantities()
    for part in parts:
        received[part.line_id, part.condition] += part.quantity
    return received


def _return(order: Shipped, command: ApproveReturn | RejectReturn | ReceiveReturn) -> Return:
    known = next((x for x in order.returns if x.return_id == command.return_id), None)
    if known is None:
        raise CommandRejected(Reason.RETURN_NOT_FOUND, order_id=order.order_id, return_id=command.return_id)
    return known


def _does_not_follow(order: Shipped, asked: Return) -> CommandRejected:
    return CommandRejected(Reason.RETURN_STATE, order_id=order.order_id, return_id=asked.return_id, stage=asked.stage)
