"""Commands of a process, sent through the same handler as all others, with ids derived from their purpose.

A repeated step, from any process at any time, is the same request: it has its effect once. A step that changed nothing
is not stored: it may be needed later, and the process checks that before it sends the step.
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
PAYMENTS = "process:payments"  # the provider's own reports: unlike the process's own events, they wake the process


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What a process reacts to: an event, and the conversation that it belongs to.

    `placed_at` is the commit position of the order's OrderPlaced, if it is that event.
    """

    event_id: str
    correlation_id: str
    traceparent: str = ""
    placed_at: int | None = None


class CommandSender:
    """Sends for one order. `clock` gives the time in UTC, `id_version` is the version of the process's ids."""

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
        """`purpose` identifies the command: one per order, stream and purpose.

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
