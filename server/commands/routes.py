"""The routes of the command services: one row per RPC.

A row has the rules of a request's fields, and how it is mapped to a command.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from types import ModuleType
from typing import Any

from google.protobuf.message import Message

from core.domain.decider import Decider
from core.eventstore.idempotency import CommandResult
from core.rpc.validation import Rules, callers_uuid, optional, uuid
from server.commands.copied import copied
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


ToCommand = Callable[[Any, str, Any, CommandContext], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Row:
    """`to_command(request, aggregate_id, state, context)` builds the domain's command; a class is a command that has
    the fields of its request.

    `id_may_be_empty`: then the request_id names the aggregate. `creates_stream` is for commands that are the first of
    their stream. `require_size(request, aggregate_id)` is checked before all rules, if too many elements have a reason
    of their own. After the command, `follow_up(request, handler, envelope)` writes to other streams, also for a repeat,
    and returns the results.
    """

    to_command: ToCommand | type[Any]
    _: KW_ONLY
    rules: Rules = field(default_factory=dict)
    required: tuple[str, ...] = ()
    id_may_be_empty: bool = False
    creates_stream: bool = False
    require_size: Callable[[Any, str], None] | None = None
    follow_up: Callable[[Any, CommandHandler, Envelope], Awaitable[Sequence[CommandResult]]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The row of an RPC, and what follows from its name: the messages. `id_field` names the aggregate."""

    decider: Decider[Any, Any, Any]
    id_field: str
    request: type[Message]
    response: type[Message]
    row: Row
    to_command: ToCommand

    @property
    def rules(self) -> Rules:
        return self.row.rules

    def all_rules(self) -> Rules:
        """With those that every command shares."""
        id_rule = self.rules.get(self.id_field, uuid)
        return {
            "request_id": callers_uuid,
            **self.rules,
            self.id_field: optional(id_rule) if self.row.id_may_be_empty else id_rule,
        }


def routes(
    messages: ModuleType, decider: Decider[Any, Any, Any], id_field: str, rows: Mapping[str, Row]
) -> dict[str, Route]:
    """Those of the RPCs of one aggregate, by their names; `messages` is the module of their requests."""
    return {name: _route(messages, decider, id_field, name, row) for name, row in rows.items()}


def _route(messages: ModuleType, decider: Decider[Any, Any, Any], id_field: str, name: str, row: Row) -> Route:
    request: type[Message] = getattr(messages, f"{name}Request")
    build = row.to_command
    return Route(
        decider=decider,
        id_field=id_field,
        request=request,
        response=getattr(messages, f"{name}Response"),
        row=row,
        to_command=copied(build, request, id_field) if isinstance(build, type) else build,
    )
