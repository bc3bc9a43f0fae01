"""What is stored is the proto3 JSON of events.proto, in both directions, for every event type."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from core.eventstore import codec
from core.eventstore.registry import BY_EVENT, BY_NAME, ROWS, DomainEvent
from core.eventstore.upcasters import CHAINS
from protos.orders.v1 import events_pb2 as orders_pb
from protos.orders.v1 import queries_pb2
from protos.processes.v1 import events_pb2 as processes_pb
from protos.products.v1 import events_pb2 as products_pb
from protos.users.v1 import events_pb2 as users_pb
from tests.support.events import EXAMPLES, LIFTED
from tests.support.orders import cancelled

CONTRACTS = {
    "order": orders_pb,
    "product": products_pb,
    "stock": products_pb,
    "user": users_pb,
    "useremail": users_pb,
    "checkout": processes_pb,
}
GOLDEN = Path(__file__).parent / "golden"
NUMBERS = Path(__file__).with_name("golden_numbers.json")
# every event type that streams may hold → the category of its streams
CATEGORY = {row.name: row.category for row in ROWS} | {
    name: BY_NAME[chain[-1].into].category for name, chain in CHAINS.items()
}


def message_for(event_type: str) -> Message:
    contract = CONTRACTS[CATEGORY[event_type]]
    message: Message = getattr(contract, event_type)()
    return message


def named(event: DomainEvent) -> str:
    return type(event).__name__


def test_every_event_has_an_example_and_every_message_a_row() -> None:
    assert {type(event) for event in EXAMPLES} == set(BY_EVENT)
    messages = {name for contract in CONTRACTS.values() for name in contract.DESCRIPTOR.message_types_by_name}
    assert messages == set(CATEGORY)


@pytest.mark.parametrize("event", EXAMPLES, ids=named)
def test_what_we_store_is_read_by_any_proto3_json_parser_with_no_unknown_field(event: DomainEvent) -> None:
    event_type, data = codec.encode(event)
    message = json_format.Parse(data, message_for(event_type), ignore_unknown_fields=False)
    assert set(json.loads(data)) == {field.name for field in message.DESCRIPTOR.fields}


@pytest.mark.parametrize("event", EXAMPLES, ids=named)
def test_what_any_proto3_json_writer_writes_is_read_by_us(event: DomainEvent) -> None:
    event_type, data = codec.encode(event)
    message = json_format.Parse(data, message_for(event_type))
    written = json_format.MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    assert codec.decode(event_type, written.encode()) == event


def test_an_unset_time_stays_unset() -> None:
    event = cancelled(placed_at=None)
    event_type, data = codec.encode(event)
    message = json_format.Parse(data, orders_pb.OrderCancelled())
    assert not message.HasField("placed_at")
    assert codec.decode(event_type, data) == event


@pytest.mark.parametrize("event", EXAMPLES, ids=named)
def test_a_released_shape_is_written_and_read_as_it_was_released(event: DomainEvent) -> None:
    event_type, data = codec.encode(event)
    golden = GOLDEN / f"{event_type}.v{BY_NAME[event_type].version}.json"
    released = golden.read_bytes().rstrip(b"\n")
    assert data == released, f"a released shape has changed: give it a new name, or restore it ({golden.name})"
    assert codec.decode(event_type, released) == event


@pytest.mark.parametrize("name", LIFTED)
def test_a_former_shape_is_read_as_the_current_one_for_ever(name: str) -> None:
    event_type, released = name.partition(".")[0], (GOLDEN / f"{name}.json").read_bytes()
    message = json_format.Parse(released, message_for(event_type), ignore_unknown_fields=False)
    assert set(json.loads(released)) == {field.name for field in message.DESCRIPTOR.fields}
    assert codec.decode(event_type, released) == LIFTED[name]


def fields_of(message: Any, seen: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """The numbers of the fields of a message and of those that it holds, by full name."""
    if message.full_name.startswith("google.") or message.full_name in seen:
        return seen
    seen[message.full_name] = {field.name: field.number for field in message.fields}
    for field in message.fields:
        if field.message_type is not None:
            fields_of(field.message_type, seen)
    return seen


def numbers() -> dict[str, dict[str, int]]:
    seen: dict[str, dict[str, int]] = {}
    for event_type in CATEGORY:
        fields_of(message_for(event_type).DESCRIPTOR, seen)
    return seen


def test_no_field_of_an_event_has_another_number_than_when_it_was_recorded() -> None:
    """A new event or field is recorded with `python -m tests.contract.test_events`."""
    recorded = json.loads(NUMBERS.read_text())
    now = numbers()
    changed = {
        f"{message}.{name}": (number, now.get(message, {}).get(name))
        for message, fields in recorded.items()
        for name, number in fields.items()
        if now.get(message, {}).get(name) != number
    }
    assert changed == {}, "readers of the binary form take one field for another"
    assert now == recorded, "a new field is not recorded yet"


def test_every_shape_ever_released_has_its_golden_file() -> None:
    former = {f"{name}.v{chain[0].version}" for name, chain in CHAINS.items()}
    assert former == set(LIFTED)
    current = {f"{row.name}.v{row.version}" for row in ROWS}
    assert {file.stem for file in GOLDEN.iterdir()} == former | current


def test_history_has_a_place_for_every_order_event() -> None:
    offered = {field.message_type.name for field in queries_pb2.OrderEvent.DESCRIPTOR.fields if field.message_type}
    assert offered == {name for name, category in CATEGORY.items() if category == "order"}


if __name__ == "__main__":
    NUMBERS.write_text(json.dumps(numbers(), indent=1, sort_keys=True) + "\n")
