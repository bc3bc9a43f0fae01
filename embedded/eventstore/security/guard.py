"""The guard of calls: authentication and authorisation before a call reaches its handler.

    guard = Guard(log)
    services = guard.guarded(services)      # the same methods, for permitted users
    batches = Batches(log, guard.may_append)  # each batch of a call is authorised separately

Every method has a rule in `RULES`; a method without one keeps the node from starting.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from embedded.eventstore.calls import Rpc, Services
from embedded.eventstore.errors import HandlerError, RefusalError, access_denied
from embedded.eventstore.log import Log
from embedded.eventstore.persistent.config import source_of
from embedded.eventstore.requests import name_of
from embedded.eventstore.security.access import ALL, Access, Right
from embedded.eventstore.security.users import User, Users

Rule = Callable[[Access, User | None, Any], bool]  # of the caller (None: anonymous) and the request
_caller: ContextVar[User | None] = ContextVar("caller", default=None)  # of the call that this task carries out


def _anybody(_access: Access, _user: User | None, _request: Any) -> bool:
    return True


def _logged_in(_access: Access, user: User | None, _request: Any) -> bool:
    return user is not None


def _operators(_access: Access, user: User | None, _request: Any) -> bool:
    return user is not None and user.is_operator


def _admins(_access: Access, user: User | None, _request: Any) -> bool:
    return user is not None and user.is_admin


def _readers(access: Access, user: User | None, request: Any) -> bool:
    match request.options.WhichOneof("stream_option"):
        case "all":
            return access.may(user, Right.READ, ALL)
        case "stream":
            return access.may(user, Right.READ, name_of(request.options.stream.stream_identifier))
        case _:
            return user is not None  # the handler says what is missing


def _appenders(access: Access, user: User | None, request: Any) -> bool:
    """Of each message of an Append: one that is not the options goes with those before it."""
    if request.WhichOneof("content") != "options":
        return True
    return access.may(user, Right.WRITE, name_of(request.options.stream_identifier))


def _deleters(access: Access, user: User | None, request: Any) -> bool:
    return access.may(user, Right.DELETE, name_of(request.options.stream_identifier))


def _consumers(access: Access, user: User | None, request: Any) -> bool:
    """Of each message of a consumer: acknowledgements go with the options before them."""
    if request.WhichOneof("content") != "options":
        return True
    return access.may(user, Right.READ, source_of(request.options))


RULES: dict[str, Rule] = {
    "Streams/Read": _readers,
    "Streams/Append": _appenders,
    "Streams/BatchAppend": _anybody,  # each batch is answered by itself, see `Guard.may_append`
    "Streams/Delete": _deleters,
    "Streams/Tombstone": _deleters,
    "PersistentSubscriptions/Create": _operators,
    "PersistentSubscriptions/Update": _operators,
    "PersistentSubscriptions/Delete": _operators,
    "PersistentSubscriptions/Read": _consumers,
    "PersistentSubscriptions/GetInfo": _logged_in,
    "PersistentSubscriptions/List": _logged_in,
    "PersistentSubscriptions/ReplayParked": _operators,
    "PersistentSubscriptions/RestartSubsystem": _operators,
    "Projections/Create": _logged_in,
    "Projections/Update": _logged_in,
    "Projections/Delete": _operators,
    "Projections/Statistics": _logged_in,
    "Projections/Disable": _logged_in,
    "Projections/Enable": _logged_in,
    "Projections/Reset": _logged_in,
    "Projections/State": _logged_in,
    "Projections/Result": _logged_in,
    "Projections/RestartSubsystem": _operators,
    "Operations/StartScavenge": _operators,
    "Operations/StopScavenge": _operators,
    "Operations/MergeIndexes": _operators,
    "Operations/ResignNode": _operators,
    "Operations/SetNodePriority": _operators,
    "Operations/RestartPersistentSubscriptions": _operators,
    "Monitoring/Stats": _anybody,
    "Gossip/Read": _anybody,
    "ServerFeatures/GetSupportedMethods": _anybody,
    "Users/Create": _admins,
    "Users/Update": _admins,
    "Users/Delete": _admins,
    "Users/Disable": _admins,
    "Users/Enable": _admins,
    "Users/ResetPassword": _admins,
    "Users/Details": _logged_in,
    "Users/ChangePassword": _logged_in,  # of any user whose present password is given, as on the real server
}


class Guard:
    """Authenticates the callers of a log's services, and refuses what they may not do."""

    def __init__(self, log: Log) -> None:
        self.users = Users(log)
        self._access = Access(log)

    def may_append(self, stream: str) -> bool:
        """Whether the caller of this task's call may append to the stream."""
        return self._access.may(_caller.get(), Right.WRITE, stream)

    async def authenticate(self, context: Any) -> User | None:
        """Who calls; None without credentials. Raises UNAUTHENTICATED for wrong ones."""
        given = [value for key, value in context.invocation_metadata() or () if key == "authorization"]
        return await self.users.authenticate(",".join(given)) if given else None

    def guarded(self, services: Services) -> Services:
        """The same services, for those who may call them."""
        return {
            service: {
                name: self._guarded(rpc, RULES[f"{service.rpartition('.')[2]}/{name}"]) for name, rpc in methods.items()
            }
            for service, methods in services.items()
        }

    def _guarded(self, rpc: Rpc, rule: Rule) -> Rpc:
        async def admitted(asked: Any, context: Any) -> Any:
            try:
                user = await self.authenticate(context)
            except (RefusalError, HandlerError):
                if rpc.takes_many and not rpc.gives_many:
                    await _drain(asked)
                raise
            _caller.set(user)
            if rpc.takes_many:
                return self._each(asked, user, rule, to_the_end=not rpc.gives_many)
            if not rule(self._access, user, asked):
                raise access_denied()
            return asked

        async def answer(asked: Any, context: Any) -> Any:
            return await rpc.handler(await admitted(asked, context), context)

        async def stream(asked: Any, context: Any) -> AsyncGenerator[Any, None]:
            async with aclosing(rpc.handler(await admitted(asked, context), context)) as messages:
                async for message in messages:
                    yield message

        return replace(rpc, handler=stream if rpc.gives_many else answer)

    async def _each(
        self, requests: AsyncIterator[Any], user: User | None, rule: Rule, *, to_the_end: bool
    ) -> AsyncGenerator[Any, None]:
        """The requests that the rule lets through.

        One that it does not ends the call: `to_the_end` only after all have arrived, since a call that is refused
        earlier is reset under its sender.
        """
        async for request in requests:
            if not rule(self._access, user, request):
                if to_the_end:
                    await _drain(requests)
                raise access_denied()
            yield request


async def _drain(requests: AsyncIterator[Any]) -> None:
    async for _ in requests:
        pass
