"""The command services, built from their routes."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from google.protobuf.message import Message

from core.domain.order import ORDER
from core.domain.order.state import NoOrder, Order
from core.domain.rejection import CommandRejected
from core.domain.user import USER
from core.eventstore.consistency_token import to_token
from core.eventstore.idempotency import CommandResult
from core.failures import EventsTooLarge, RevisionConflict
from core.rpc import validation
from core.rpc.headers import actor_of, correlation_of, headers_of, traceparent_of, via_of
from core.rpc.typing import Context, Handler
from core.security.owners import require_own_order, require_own_user, restricted_to
from server.commands import orders, products, stock, users
from server.commands.emails import EmailClaims
from server.commands.handler import CommandHandler, Envelope
from server.commands.lookups import Lookups
from server.commands.routes import CommandContext, Route

# a call with one of them was sent before: gRPC sets the first if it retries by itself, our client sets the second
RETRY_HEADERS = ("grpc-previous-rpc-attempts", "x-orderstream-retry")

SERVICES: Mapping[str, Mapping[str, Route]] = {
    "orders.v1.OrderCommandService": orders.ROUTES,
    "products.v1.ProductCommandService": products.ROUTES,
    "products.v1.StockCommandService": stock.ROUTES,
    "users.v1.UserCommandService": users.ROUTES,
}


class CommandServices:
    """Maps requests to commands, and results to replies. `clock` gives the time in UTC.

    `services` has the routes of each service by its full name.
    """

    def __init__(
        self,
        handler: CommandHandler,
        lookups: Lookups,
        emails: EmailClaims,
        place_within: timedelta,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        services: Mapping[str, Mapping[str, Route]] = SERVICES,
    ) -> None:
        self._services = services
        self._handler = handler
        self._lookups = lookups
        self._emails = emails
        self._place_within = place_within
        self._clock = clock

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """The handlers for a grpc.aio server, one per service."""
        return [
            grpc.method_handlers_generic_handler(
                service, {method: self._method(service, method, route) for method, route in routes.items()}
            )
            for service, routes in self._services.items()
        ]

    def _method(self, service: str, method: str, route: Route) -> Handler:
        return grpc.unary_unary_rpc_method_handler(
            self._call(f"/{service}/{method}", route),
            request_deserializer=route.request.FromString,
            response_serializer=route.response.SerializeToString,
        )

    def _call(self, path: str, route: Route) -> Callable[[Any, Context], Awaitable[Message]]:
        rules, row = route.all_rules(), route.row
        names_its_id = route.id_field in route.response.DESCRIPTOR.fields_by_name

        async def call(request: Any, context: Context) -> Message:
            aggregate_id = getattr(request, route.id_field) or request.request_id
            if row.require_size is not None:
                row.require_size(request, aggregate_id)
            validation.check(request, rules)
            validation.require_message(request, *row.required)
            envelope = self._envelope(path, request, context)
            validation.store_texts(request, rules)  # after the hash: a repeat is recognised by what was sent
            require_own = _require_own(route, request, aggregate_id)
            claims = self._emails.of(envelope)
            expires_at = envelope.at + self._place_within
            outside = CommandContext(at=envelope.at, expires_at=expires_at, lookups=self._lookups, claims=claims)

            async def command(state: object) -> object:
                return await route.to_command(request, aggregate_id, state, outside)

            try:
                result = await self._handler.handle(
                    route.decider,
                    aggregate_id,
                    envelope,
                    command,
                    creates_stream=row.creates_stream,
                    require_own=require_own,
                )
            except (CommandRejected, RevisionConflict, EventsTooLarge):
                await claims.rollback()
                raise
            await claims.commit()
            further = await row.follow_up(request, self._handler, envelope) if row.follow_up is not None else ()
            named = {route.id_field: aggregate_id} if names_its_id else {}
            return route.response(**outcome(result, *further), **named)

        return call

    def _envelope(self, path: str, request: Any, context: Context) -> Envelope:
        correlation = correlation_of(context, request.request_id)
        expects = "expected_revision" in request.DESCRIPTOR.fields_by_name and request.HasField("expected_revision")
        actor = actor_of(context)
        return Envelope(
            request_id=request.request_id,
            payload_hash=hashlib.sha256(
                path.encode() + b"\0" + request.SerializeToString(deterministic=True)
            ).hexdigest(),
            expected_revision=request.expected_revision if expects else None,
            actor=actor,
            via=via_of(actor),
            correlation_id=correlation.id,
            correlation_text=correlation.text,
            traceparent=traceparent_of(context),
            at=self._clock(),
            is_retry=not headers_of(context).keys().isdisjoint(RETRY_HEADERS),
        )


def _require_own(route: Route, request: Any, aggregate_id: str) -> Callable[[Any], None] | None:
    """The check that a customer's call needs; None for other calls. Raises `NotFound` for what needs no look."""
    if not restricted_to():
        return None
    if "customer_id" in request.DESCRIPTOR.fields_by_name:
        require_own_user(request.customer_id)
    rule = OWN[route.decider.category]
    return lambda state: rule(state, aggregate_id, creates_stream=route.row.creates_stream)


def _own_order(order: Order, order_id: str, *, creates_stream: bool) -> None:
    """An order that does not exist is refused here too, so that its refusal is the same as that of another's order."""
    if isinstance(order, NoOrder):
        if not creates_stream:
            require_own_order("", order_id)
    else:
        require_own_order(order.customer_id, order_id)


def _own_user(_: object, user_id: str, *, creates_stream: bool) -> None:  # noqa: ARG001  # as all of the table
    require_own_user(user_id)


# by category; a customer has nothing of other categories
OWN: Mapping[str, Callable[..., None]] = {ORDER.category: _own_order, USER.category: _own_user}


def outcome(result: CommandResult, *further: CommandResult) -> dict[str, Any]:
    """The fields that every command's reply has. `further` has the results of the request in other streams."""
    results = (result, *further)
    return {
        "revision": result.revision,
        "consistency_token": to_token(max(each.position for each in results)),
        "is_repeat": all(each.is_repeat for each in results),
        "unchanged": all(each.unchanged for each in results),
    }
