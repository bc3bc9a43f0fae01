"""Parts of requests as values of the domain."""

from collections.abc import Iterable
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from core.domain.address import Address
from core.domain.money import Money
from core.domain.order.commands import ReceivedQuantity
from core.domain.order.events import Condition, LineQuantity
from core.domain.text import as_stored
from protos.common.v1 import types_pb2 as common
from protos.orders.v1 import types_pb2 as types


def to_address(address: common.Address) -> Address:
    return Address(
        name=as_stored(address.name),
        line1=as_stored(address.line1),
        line2=as_stored(address.line2),
        city=as_stored(address.city),
        postal_code=as_stored(address.postal_code),
        country=as_stored(address.country),
    )


def to_money(money: common.Money) -> Money:
    return Money(amount_minor=money.amount_minor, currency=money.currency)


def to_time(time: Timestamp) -> datetime:
    return time.ToDatetime(tzinfo=UTC)


def to_quantities(lines: Iterable[types.LineQuantity]) -> tuple[LineQuantity, ...]:
    return tuple(LineQuantity(line_id=line.line_id, quantity=line.quantity) for line in lines)


def to_received_quantities(lines: Iterable[types.ReceivedQuantity]) -> tuple[ReceivedQuantity, ...]:
    return tuple(
        ReceivedQuantity(
            line_id=line.line_id,
            quantity=line.quantity,
            condition=Condition(types.ReturnCondition.Name(line.condition)),
        )
        for line in lines
    )
