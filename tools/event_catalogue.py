"""Writes `docs/events.md`, every event with its fields, from a descriptor set with comments. `make proto` runs it."""

import sys
from collections.abc import Iterable, Iterator, Mapping

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

Known = tuple[FileDescriptorProto, DescriptorProto]
# where comments stand: paths of field numbers in the messages that descriptors are made of
SYNTAX, MESSAGE, FIELD = (12,), 4, 2
JSON_TYPES = {
    FieldDescriptorProto.TYPE_STRING: "string",
    FieldDescriptorProto.TYPE_BOOL: "true or false",
    FieldDescriptorProto.TYPE_INT32: "number",
    FieldDescriptorProto.TYPE_INT64: "number",  # as we store it: no amount is beyond what a double holds exactly
}
TIME = ".google.protobuf.Timestamp"
HEAD = """# Event catalogue

Made from `protos/*/v1/events.proto` by `make proto`. Do not edit.

The data of an event is the proto3 JSON of its message, with the field names as they stand here; its type in the store
is the name of the message. How to subscribe, and what is promised: [subscribing.md](subscribing.md).
"""


def catalogue(files: FileDescriptorSet) -> str:
    lines: list[str] = []
    events = [file for file in files.file if file.name.endswith("/events.proto")]
    for file in events:
        lines += ["", f"## {file.package}", "", _comments(file).get(SYNTAX, "")]
        for message in file.message_type:
            lines += _of_message(file, message, message.name)
    lines += ["", "## Objects in events"]
    everything = {
        f".{file.package}.{message.name}": (file, message) for file in files.file for message in file.message_type
    }
    for name in sorted(_objects([message for file in events for message in file.message_type], everything)):
        lines += _of_message(*everything[name], name.removeprefix("."))
    return HEAD + "\n".join(lines) + "\n"


def _objects(messages: Iterable[DescriptorProto], everything: Mapping[str, Known]) -> set[str]:
    """The names of what these messages hold, and of what that holds."""
    fields = [field for message in messages for field in message.field]
    direct = {field.type_name for field in fields if field.type == FieldDescriptorProto.TYPE_MESSAGE} - {TIME}
    return direct | (_objects([everything[name][1] for name in direct], everything) if direct else set())


def _of_message(file: FileDescriptorProto, message: DescriptorProto, title: str) -> Iterator[str]:
    comments, index = _comments(file), list(file.message_type).index(message)
    yield from ("", f"### {title}", "", comments.get((MESSAGE, index), ""))
    yield from ("", "| field | JSON | meaning |", "|---|---|---|")
    for number, field in enumerate(message.field):
        meaning = comments.get((MESSAGE, index, FIELD, number), "").removeprefix(f"{field.name} ")
        yield f"| `{field.name}` | {_json(field, message)} | {meaning} |"


def _comments(file: FileDescriptorProto) -> Mapping[tuple[int, ...], str]:
    locations = file.source_code_info.location
    return {tuple(location.path): " ".join(location.leading_comments.split()) for location in locations}


def _json(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    if field.type_name == TIME:
        one = "time, RFC 3339, UTC"
    elif field.type == FieldDescriptorProto.TYPE_MESSAGE:
        one = f"object, `{field.type_name.removeprefix('.')}`"
    elif field.type == FieldDescriptorProto.TYPE_ENUM:
        one = f"name of `{field.type_name.removeprefix('.')}`"
    elif field.type in JSON_TYPES:
        one = JSON_TYPES[field.type]
    else:
        raise NotImplementedError(f"{message.name}.{field.name}: say how its type looks in JSON")
    return f"list of {one}" if field.label == FieldDescriptorProto.LABEL_REPEATED else one


if __name__ == "__main__":
    sys.stdout.write(catalogue(FileDescriptorSet.FromString(sys.stdin.buffer.read())))
