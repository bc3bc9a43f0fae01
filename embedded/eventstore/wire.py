"""Messages of 24.10 that esdbclient's stubs know with fewer fields: described here, in a separate pool."""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

_FIELD = descriptor_pb2.FieldDescriptorProto
_NUMBER = {"uint64": _FIELD.TYPE_UINT64, "int64": _FIELD.TYPE_INT64}
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Position": {"commit_position": (1, "uint64"), "prepare_position": (2, "uint64")},
    "CaughtUp": {"timestamp": (1, "Timestamp"), "stream_revision": (2, "int64"), "position": (3, "Position")},
    "Checkpoint": {"commit_position": (1, "uint64"), "prepare_position": (2, "uint64"), "timestamp": (3, "Timestamp")},
}
_OPTIONAL = {"stream_revision"}  # those that can be 0 and present


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="embedded/streams.proto", package="embedded", syntax="proto3",
        dependency=["google/protobuf/timestamp.proto"],
    )  # fmt: skip
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            field = message.field.add(name=field_name, number=number, label=_FIELD.LABEL_OPTIONAL)
            if kind in _NUMBER:
                field.type = _NUMBER[kind]
            else:
                field.type = _FIELD.TYPE_MESSAGE
                field.type_name = ".google.protobuf.Timestamp" if kind == "Timestamp" else f".embedded.{kind}"
            if field_name in _OPTIONAL:
                field.oneof_index, field.proto3_optional = len(message.oneof_decl), True
                message.oneof_decl.add(name=f"_{field_name}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    found = pool.FindFileByName(file.name).message_types_by_name
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


MESSAGES = _messages()
