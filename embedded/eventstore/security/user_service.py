"""The Users service. Who may call it is decided before, by the guard.

esdbclient has no stubs for it; its messages are described here, in a descriptor pool of their own.
"""

from collections.abc import AsyncGenerator
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from embedded.eventstore.calls import Rpc, one_to_many, one_to_one
from embedded.eventstore.errors import HandlerError, RefusalError, access_denied
from embedded.eventstore.security.users import User, Users
from embedded.eventstore.writer import Written
from embedded.eventstore.writing import Serialized, Settled

_FIELD = descriptor_pb2.FieldDescriptorProto
_TEXT, _TEXTS, _LOGIN = "text", "texts", ("login_name",)
_PROFILE = ("login_name", "password", "full_name", "groups")
# the fields of a request's options, numbered from 1 on
_OPTIONS: dict[str, tuple[str, ...]] = {
    "Create": _PROFILE,
    "Update": _PROFILE,
    "Delete": _LOGIN,
    "Disable": _LOGIN,
    "Enable": _LOGIN,
    "Details": _LOGIN,
    "ChangePassword": ("login_name", "current_password", "new_password"),
    "ResetPassword": ("login_name", "new_password"),
}


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="embedded/users.proto", package="embedded", syntax="proto3")

    def add(name: str, **fields: str) -> None:
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            added = message.field.add(name=field, number=number, label=_FIELD.LABEL_OPTIONAL)
            if kind in (_TEXT, _TEXTS):
                added.type = _FIELD.TYPE_STRING
                added.label = _FIELD.LABEL_REPEATED if kind == _TEXTS else _FIELD.LABEL_OPTIONAL
            elif kind in ("int64", "bool"):
                added.type = _FIELD.TYPE_INT64 if kind == "int64" else _FIELD.TYPE_BOOL
            else:
                added.type, added.type_name = _FIELD.TYPE_MESSAGE, f".embedded.{kind}"

    for method, fields in _OPTIONS.items():
        add(f"{method}Options", **{field: _TEXTS if field == "groups" else _TEXT for field in fields})
        add(f"{method}Req", options=f"{method}Options")
    add("Resp")
    add("DateTime", ticks_since_epoch="int64")
    add("UserDetails", login_name=_TEXT, full_name=_TEXT, groups=_TEXTS, last_updated="DateTime", disabled="bool")
    add("DetailsResp", user_details="UserDetails")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindFileByName(file.name).message_types_by_name
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


MESSAGES = _messages()


class UserService:
    """The handlers of the RPCs."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._serialized = Serialized()

    async def close(self) -> None:
        await self._serialized.close()

    def methods(self) -> dict[str, Rpc]:
        handlers = {
            "Create": self._create,
            "Update": self._update,
            "Delete": self._delete,
            "Disable": self._disable,
            "Enable": self._enable,
            "ChangePassword": self._change_password,
            "ResetPassword": self._reset_password,
        }

        def serialized(handler: Any) -> Any:
            async def call(request: Any, _: Any) -> Any:
                await self._serialized(handler(_options(request)))
                return MESSAGES["Resp"]()

            return call

        methods = {name: one_to_one(serialized(handler), MESSAGES[f"{name}Req"]) for name, handler in handlers.items()}
        return {**methods, "Details": one_to_many(self._details, MESSAGES["DetailsReq"])}

    async def _create(self, options: Any) -> None:
        login = options.login_name
        if not login:
            raise HandlerError("a user without a name")
        if self._users.find(login) is None:
            password = await self._users.hash(options.password)
            user = User(login, options.full_name, tuple(options.groups), password)
            _require_written(login, await self._users.create(user))
        elif not await self._users.has_password(login, options.password):  # else it is the same call once more
            raise _conflict(login)

    async def _update(self, options: Any) -> None:
        await self._change(self._find(options), full_name=options.full_name, groups=tuple(options.groups))

    async def _delete(self, options: Any) -> None:
        user = self._find(options)
        _require_written(user.login, await self._users.delete(user))

    async def _disable(self, options: Any) -> None:
        await self._change(self._find(options), disabled=True)

    async def _enable(self, options: Any) -> None:
        await self._change(self._find(options), notify=False, disabled=False)

    async def _change_password(self, options: Any) -> None:
        user = self._find(options)
        if not await self._users.has_password(user.login, options.current_password):
            raise access_denied()
        await self._change(user, password=await self._users.hash(options.new_password))

    async def _reset_password(self, options: Any) -> None:
        await self._change(self._find(options), password=await self._users.hash(options.new_password))

    async def _details(self, request: Any, _: Any) -> AsyncGenerator[bytes, None]:
        """Of one user, or without a name of all."""
        found = [self._find(request.options)] if request.options.login_name.strip() else self._users.every()
        for user in found:
            details = MESSAGES["UserDetails"](
                login_name=user.login, full_name=user.full_name, groups=user.groups, disabled=user.disabled
            )
            details.last_updated.ticks_since_epoch = user.updated
            yield bytes(MESSAGES["DetailsResp"](user_details=details).SerializeToString())

    def _find(self, options: Any) -> User:
        user = self._users.find(options.login_name)
        if user is None:
            raise RefusalError(
                grpc.StatusCode.NOT_FOUND,
                f"User '{options.login_name}' is not found.",
                exception="user-not-found",
                login_name=options.login_name,
            )
        return user

    async def _change(self, user: User, *, notify: bool = True, **changes: Any) -> None:
        _require_written(user.login, await self._users.update(user, notify=notify, **changes))


def _options(request: Any) -> Any:
    if not request.HasField("options"):
        raise HandlerError("no options")
    return request.options


def _require_written(login: str, outcome: Settled) -> None:
    if not isinstance(outcome, Written):  # the stream of this user has a tombstone
        raise _conflict(login)


def _conflict(login: str) -> RefusalError:
    return RefusalError(grpc.StatusCode.FAILED_PRECONDITION, "Conflict.", exception="user-conflict", login_name=login)
