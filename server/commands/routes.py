"""The routes of the command services: one row per RPC.

A row names the aggregate of a request, the rules of its fields, and the function that maps it to a command.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.protobuf.message import Message

from core.domain.decider import Decider
from core.eventstore.idempotency import CommandResult
from core.rpc.validation import Rules, callers_uuid, optional, uuid
from server.commands.emails import RequestClaims
from server.commands.handler import CommandHandler, Envelope
from server.commands.lookups import Lookups


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandContext:
    """What a command needs from outside its aggregate: the time, lookups in other aggregates, e-mail claims."""

    at: datetime
    expires_at: datetime
    lookups: Lookups
    claims: RequestClaims


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """`id_field` names the aggregate; if it may be empty (`id_may_be_empty`), the request_id takes its place.
    `creates_stream` is for commands that are the first of their stream. `require_size(request, aggregate_id)` is
    checked before all rules, if too many elements have a reason of their own.

    `to_command(request, aggregate_id, state, context)` builds the domain's command. After it,
    `follow_up(request, handler, envelope)` writes to other streams, also for a repeat, and returns the results.
    """

    decider: Decider[Any, Any, Any]
    request: type[Message]
    response: type[Message]
    id_field: str
    rules: Rules
    required: tuple[str, ...] = ()
    id_may_be_empty: bool = False
    creates_stream: bool = False
    require_size: Callable[[Any, str], None] | None = None
    to_command: Callable[[Any, str, Any, CommandContext], Awaitable[object]]
    follow_up: Callable[[Any, CommandHandler, Envelope], Awaitable[Sequence[CommandResult]]] | None = None

    def all_rules(self) -> Rules:
        """With those that every command shares."""
        id_rule = self.rules.get(self.id_field, uuid)
        return {
            "request_id": callers_uuid,
            **self.rules,
            self.id_field: optional(id_rule) if self.id_may_be_empty else id_rule,
        }
