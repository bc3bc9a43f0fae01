"""Commands that have the fields of their requests: these are copied by name, and converted by their type."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any, get_args, get_type_hints

from google.protobuf.message import Message

from core.domain.address import Address
from core.domain.money import Money
from core.domain.order.commands import ReceivedQuantity
from core.domain.order.events import LineQuantity
from server.commands.converters import to_address, to_money, to_quantities, to_received_quantities, to_time

OF_THE_CALL = "at"  # the field of every command that has the time of its call
OF_EVERY_REQUEST = frozenset({"request_id", "expected_revision"})  # that no command has
CONVERTERS: Mapping[object, Callable[[Any], object]] = {
    Address: to_address,
    Money: to_money,
    datetime: to_time,
    tuple[LineQuantity, ...]: to_quantities,
    tuple[ReceivedQuantity, ...]: to_received_quantities,
}
AS_IT_IS = frozenset({str, int, bool})

Copy = Callable[[Any, str, object, Any], Awaitable[object]]


def copied(command: type[Any], request: type[Message], id_field: str) -> Copy:
    """A function from request, id of the aggregate, state and context to the command.

    Raises `TypeError` if the fields of the request and of the command are not the same.
    """
    types = get_type_hints(command)
    del types[OF_THE_CALL], types[id_field]
    others = set(request.DESCRIPTOR.fields_by_name) - OF_EVERY_REQUEST - {id_field}
    if others != set(types):
        raise TypeError(f"{command.__name__} and {request.__name__} differ in {', '.join(sorted(others ^ set(types)))}")
    read = {name: _reader(name, type_) for name, type_ in types.items()}

    async def to_command(request: Any, aggregate_id: str, _: object, context: Any) -> object:
        fields = {name: one(request) for name, one in read.items()}
        return command(**{id_field: aggregate_id}, **fields, at=context.at)

    return to_command


def _reader(name: str, type_: Any) -> Callable[[Any], object]:
    if type_ in AS_IT_IS:
        return attrgetter(name)
    optional = type(None) in get_args(type_)
    [inner] = [one for one in get_args(type_) if one is not type(None)] if optional else [type_]
    if inner not in CONVERTERS:
        raise TypeError(f"there is no converter for {name}: {type_}")
    convert = CONVERTERS[inner]
    if optional:
        return lambda request: convert(getattr(request, name)) if request.HasField(name) else None
    return lambda request: convert(getattr(request, name))
