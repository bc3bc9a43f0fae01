"""Late answers of the payment provider. Held money must be recorded, so that it can be released."""

from collections.abc import Callable

import structlog

from core.domain.checkout.numbering import name_of
from core.domain.checkout.state import OWN_IDS
from core.domain.checkout.steps import AUTHORISATION
from core.domain.rejection import CommandRejected
from core.failures import ServiceFailure
from server.processes.command_sender import Cause, CommandSender
from server.processes.ids import derived
from server.processes.payments.port import Approved, Declined, Lapsed
from server.processes.reconciler import Reconciler
from server.processes.step_handlers import record_authorisation

log = structlog.get_logger()


class PaymentCallbacks:
    """Records them, also for an order that has ended, and runs the order's process afterwards."""

    def __init__(self, reconciler: Reconciler, sender: Callable[[str, Cause], CommandSender]) -> None:
        self._reconciler = reconciler
        self._sender = sender

    async def received(self, key: str, answer: Approved | Declined | Lapsed) -> None:
        order_id, _, authorisation = key.partition(":")
        if isinstance(answer, Declined) or name_of(authorisation) != AUTHORISATION:
            return
        conversation = derived(OWN_IDS, order_id, "told")  # part of stored ids
        cause = Cause(event_id=conversation, correlation_id=conversation)
        try:
            await record_authorisation(self._sender(order_id, cause), order_id, authorisation, answer)
            await self._reconciler.reconcile(order_id, cause)
        except (CommandRejected, ServiceFailure) as failure:
            # the process voids by key before it ends an order, and a capture reports a lapsed authorisation,
            # so no money stays held because of this
            log.warning("a late answer could not be written down", order_id=order_id, error=str(failure))
