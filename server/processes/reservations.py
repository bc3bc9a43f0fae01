"""Reservations with a deadline: after it has passed by the store's clock, their units are released."""

import structlog

from core.domain.checkout.steps import Wait
from core.domain.rejection import CommandRejected
from core.domain.stock import STOCK
from core.domain.stock.commands import ExpireReservation
from core.eventstore.repository import Repository
from core.eventstore.store_time import StoreTime
from core.failures import StreamGone
from server.commands.handler import CommandHandler
from server.processes.command_sender import Cause, CommandSender

log = structlog.get_logger()


class ReservationExpiry:
    """Safe to run in several processes at once: a reservation ends once."""

    def __init__(self, handler: CommandHandler, repository: Repository, time: StoreTime) -> None:
        self._handler = handler
        self._repository = repository
        self._time = time

    async def expire(self, sku: str, reservation_id: str, cause: Cause) -> Wait:
        """End it if it is open and its deadline has passed; else returns what is waited for.

        Raises a `ServiceFailure` if the event store does not answer.
        """
        try:
            stock = (await self._repository.load(STOCK, STOCK.stream(sku), 0.0)).state
        except StreamGone as gone:
            log.error("a reservation cannot expire without the history of its stock", sku=sku, error=str(gone))
            return Wait(what="nothing: the events of the stock were deleted")
        known = stock.open.get(reservation_id)
        if known is None or known.expires_at is None:
            return Wait(what="nothing")
        now = await self._time.at(known.expires_at)
        if now < known.expires_at:
            return Wait(what="the reservation to expire", again_in=known.expires_at - now)
        sender = CommandSender(self._handler, lambda: now, reservation_id, cause)
        command = ExpireReservation(sku=sku, reservation_id=reservation_id, now=now, at=now)
        try:
            await sender.send(STOCK, sku, command, "expire")
        except CommandRejected:  # it was committed, released or expired meanwhile
            return Wait(what="nothing")
        return Wait(what="nothing")
