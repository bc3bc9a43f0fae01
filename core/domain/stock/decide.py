"""The rulebook of stock: (state, command) → events. Never more is promised than is there."""

from collections.abc import Sequence

from core.domain.rejection import CommandRejected, Reason
from core.domain.stock.commands import (
    AdjustStock,
    CommitReservation,
    ExpireReservation,
    ReceiveStock,
    ReleaseReservation,
    ReserveStock,
    RestockReturn,
    StockCommand,
)
from core.domain.stock.events import (
    ReservationCommitted,
    ReservationExpired,
    ReservationPartlyCommitted,
    ReservationPartlyReleased,
    ReservationReleased,
    StockAdjusted,
    StockEvent,
    StockReceived,
    StockReserved,
    StockRestocked,
)
from core.domain.stock.state import Ended, Ending, Reservation, Stock

MAX_ON_HAND = 1_000_000_000
MAX_AT_ONCE = 1_000_000  # units in one command
MAX_OPEN = 10_000  # reservations at one time


def decide(state: Stock, command: StockCommand) -> Sequence[StockEvent]:
    match command:
        case ReceiveStock():
            return _receive(state, command)
        case _ if not state.known:
            raise CommandRejected(Reason.STOCK_NOT_FOUND, sku=command.sku)
        case AdjustStock():
            return _adjust(state, command)
        case ReserveStock():
            return _reserve(state, command)
        case CommitReservation():
            return _commit(state, command)
        case ReleaseReservation():
            return _release(state, command)
        case ExpireReservation():
            return _expire(state, command)
        case RestockReturn():
            return _restock(state, command)


def _receive(state: Stock, command: ReceiveStock) -> Sequence[StockEvent]:
    if not command.product_known:
        raise CommandRejected(Reason.PRODUCT_NOT_FOUND, sku=command.sku)
    quantity = _valid(command.quantity)
    if command.product_discontinued:
        # a stock that exists can be adjusted instead, by this quantity
        instead = {"quantity": quantity} if state.known else {}
        raise CommandRejected(Reason.PRODUCT_DISCONTINUED, sku=command.sku, **instead)
    _require_room(state, command.sku, quantity)
    return [StockReceived(sku=command.sku, quantity=quantity, at=command.at)]


def _adjust(state: Stock, command: AdjustStock) -> Sequence[StockEvent]:
    if command.change == 0:
        return []
    _valid(abs(command.change), "change")
    if command.change > 0:
        _require_room(state, command.sku, command.change)
    elif state.on_hand + command.change < state.reserved:
        raise CommandRejected(
            Reason.STOCK_BELOW_RESERVED,
            sku=command.sku,
            on_hand=state.on_hand,
            reserved=state.reserved,
            change=command.change,
        )
    return [StockAdjusted(sku=command.sku, change=command.change, reason=command.reason, at=command.at)]


def _reserve(state: Stock, command: ReserveStock) -> Sequence[StockEvent]:
    _valid(command.quantity)
    known = state.open.get(command.reservation_id)
    if known is not None:
        if (known.initial_quantity, known.expires_at) == (command.quantity, command.expires_at):
            return []
        raise CommandRejected(Reason.RESERVATION_EXISTS, sku=command.sku, reservation_id=command.reservation_id)
    if command.reservation_id in state.ended:
        raise _has_ended(command, state.ended[command.reservation_id])
    if len(state.open) >= MAX_OPEN:
        raise CommandRejected(Reason.TOO_MANY_RESERVATIONS, sku=command.sku, most=MAX_OPEN)
    if command.quantity > state.available:
        raise CommandRejected(Reason.OUT_OF_STOCK, sku=command.sku, available=state.available, wanted=command.quantity)
    return [
        StockReserved(
            sku=command.sku,
            reservation_id=command.reservation_id,
            quantity=command.quantity,
            expires_at=command.expires_at,
            at=command.at,
        )
    ]


def _commit(state: Stock, command: CommitReservation) -> Sequence[StockEvent]:
    reservation = _open(state, command, Ending.COMMITTED)
    if reservation is None:
        return []
    most = reservation.committed + reservation.quantity
    wanted = most if command.quantity is None else _valid(command.quantity)
    if wanted > most:
        raise CommandRejected(
            Reason.RESERVATION_EXCEEDED,
            sku=command.sku,
            reservation_id=command.reservation_id,
            wanted=wanted,
            reserved=most,
        )
    more = wanted - reservation.committed
    if more <= 0:
        return []
    return [_moved(ReservationCommitted if wanted == most else ReservationPartlyCommitted, command, more)]


def _release(state: Stock, command: ReleaseReservation) -> Sequence[StockEvent]:
    if command.keep < 0:
        raise CommandRejected(Reason.QUANTITY_INVALID, quantity=command.keep, field="keep")
    if command.reservation_id not in state.open and command.reservation_id not in state.ended:
        # it is recorded anyway, so that a reservation that is still under way is too late
        return [_moved(ReservationReleased, command, 0)]
    reservation = _open(state, command, Ending.RELEASED, Ending.EXPIRED)
    if reservation is None:
        return []
    less = min(reservation.initial_quantity - reservation.released - command.keep, reservation.quantity)
    if less <= 0:
        return []
    return [_moved(ReservationReleased if less == reservation.quantity else ReservationPartlyReleased, command, less)]


def _expire(state: Stock, command: ExpireReservation) -> Sequence[StockEvent]:
    reservation = _open(state, command, Ending.EXPIRED, Ending.RELEASED)
    if reservation is None:
        return []
    if reservation.expires_at is None or command.now < reservation.expires_at:
        raise CommandRejected(
            Reason.RESERVATION_NOT_EXPIRED,
            sku=command.sku,
            reservation_id=command.reservation_id,
            expires_at=reservation.expires_at.isoformat() if reservation.expires_at else "never",
        )
    return [_moved(ReservationExpired, command, reservation.quantity)]


def _restock(state: Stock, command: RestockReturn) -> Sequence[StockEvent]:
    _valid(command.quantity)
    before = state.returned.get(command.return_id)
    if before is not None:
        if before == command.quantity:
            return []
        raise CommandRejected(Reason.RETURN_EXISTS, sku=command.sku, return_id=command.return_id)
    _require_room(state, command.sku, command.quantity)
    return [StockRestocked(sku=command.sku, return_id=command.return_id, quantity=command.quantity, at=command.at)]


def _open(
    state: Stock, command: CommitReservation | ReleaseReservation | ExpireReservation, *done: Ending
) -> Reservation | None:
    """The reservation, or None if it has ended in a way that is what was asked for."""
    ended = state.ended.get(command.reservation_id)
    if ended is not None:
        if ended.how in done:
            return None
        raise _has_ended(command, ended)
    reservation = state.open.get(command.reservation_id)
    if reservation is None:
        raise CommandRejected(Reason.RESERVATION_NOT_FOUND, sku=command.sku, reservation_id=command.reservation_id)
    return reservation


def _has_ended(
    command: ReserveStock | CommitReservation | ReleaseReservation | ExpireReservation, ended: Ended
) -> CommandRejected:
    return CommandRejected(
        Reason.RESERVATION_ENDED, sku=command.sku, reservation_id=command.reservation_id, ended=ended.how
    )


def _moved(
    event: type[ReservationCommitted]
    | type[ReservationPartlyCommitted]
    | type[ReservationReleased]
    | type[ReservationPartlyReleased]
    | type[ReservationExpired],
    command: CommitReservation | ReleaseReservation | ExpireReservation,
    quantity: int,
) -> StockEvent:
    return event(sku=command.sku, reservation_id=command.reservation_id, quantity=quantity, at=command.at)


def _valid(quantity: int, field: str = "quantity") -> int:
    if not 1 <= quantity <= MAX_AT_ONCE:
        raise CommandRejected(Reason.QUANTITY_INVALID, quantity=quantity, field=field)
    return quantity


def _require_room(state: Stock, sku: str, quantity: int) -> None:
    if state.on_hand + quantity > MAX_ON_HAND:
        raise CommandRejected(Reason.STOCK_TOO_LARGE, sku=sku, on_hand=state.on_hand, most=MAX_ON_HAND)
