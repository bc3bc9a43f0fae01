"""Commands of a process: through the same handler as everybody's, with ids that follow from what they are for.

A step sent again, by whoever and whenever, is the same request: it has its effect once. One that changed nothing is not
remembered: what was not needed before may be needed now, and the process looks at that before it sends the step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.domain.checkout.state import OWN_IDS
from core.domain.decider import Decider
from core.eventstore.idempotency import CommandResult
from server.commands.handler import CommandHandler, Envelope
from server.processes.ids import derived
from server.processes.payload import payload_hash

ACTOR = "process:checkout"
PAYMENTS = "process:payments"  # what the provider reports by itself: unlike the process's own events, it wakes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What the process answers: an event, and the conversation it belongs to.

    `placed_at` is the commit position of the order's OrderPlaced, if it is that event.
    """

    event_id: str
    correlation_id: str
    traceparent: str = ""
    placed_at: int | None = None


class CommandSender:
    """Sends for one order. `clock` gives the time in UTC, `id_version` is that of the process's ids."""

    def __init__(
        self,
        handler: CommandHandler,
        clock: Callable[[], datetime],
        order_id: str,
        cause: Cause,
        *,
        actor: str = ACTOR,
        id_version: int = OWN_IDS,
    ) -> None:
        self._actor = actor
        self._id_version = id_version
        self._handler = handler
        self._clock = clock
        self._order_id = order_id
        self._cause = cause

    def now(self) -> datetime:
        return self._clock()

    async def send(
        self,
        decider: Decider[Any, Any, Any],
        aggregate_id: str,
        command: Any,
        *purpose: str,
        creates_stream: bool = False,
    ) -> CommandResult:
        """`purpose` is what it is for: one command per order, stream and purpose.

        Raises what `CommandHandler.handle` raises.
        """
        envelope = Envelope(
            request_id=derived(self._id_version, self._order_id, decider.stream(aggregate_id), *purpose),
            payload_hash=payload_hash(command),
            expected_revision=None,
            actor=self._actor,
            correlation_id=self._cause.correlation_id,
            traceparent=self._cause.traceparent,
            at=command.at,
            causation_id=self._cause.event_id,
            is_step=True,
        )

        async def as_it_is(_: object) -> Any:
            return command

        return await self._handler.handle(decider, aggregate_id, envelope, as_it_is, creates_stream=creates_stream)
