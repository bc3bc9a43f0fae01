"""Messages that the stubs lack, or know with fewer fields: written by hand, field by field, as seen on the wire."""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from google.protobuf.message import Message

_FIELD = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "bool": _FIELD.TYPE_BOOL,
    "int32": _FIELD.TYPE_INT32,
    "int64": _FIELD.TYPE_INT64,
    "uint64": _FIELD.TYPE_UINT64,
    "string": _FIELD.TYPE_STRING,
}
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Position": {"commit_position": (1, "uint64"), "prepare_position": (2, "uint64")},
    "CaughtUp": {"timestamp": (1, "Timestamp"), "stream_revision": (2, "optional int64"), "position": (3, "Position")},
    "Checkpoint": {"commit_position": (1, "uint64"), "prepare_position": (2, "uint64"), "timestamp": (3, "Timestamp")},
    "SupportedMethod": {
        "method_name": (1, "string"),
        "service_name": (2, "string"),
        "features": (3, "repeated string"),
    },
    "SupportedMethods": {"methods": (1, "repeated SupportedMethod"), "event_store_server_version": (2, "string")},
    "StartScavengeOptions": {"thread_count": (1, "int32"), "start_from_chunk": (2, "int32")},
    "StartScavengeReq": {"options": (1, "StartScavengeOptions")},
    "StopScavengeOptions": {"scavenge_id": (1, "string")},
    "StopScavengeReq": {"options": (1, "StopScavengeOptions")},
    "ScavengeResp": {"scavenge_id": (1, "string"), "scavenge_result": (2, "int32")},
    "SetNodePriorityReq": {"priority": (1, "int32")},
    "StatsReq": {"use_metadata": (1, "bool"), "refresh_time_period_in_ms": (4, "uint64")},
    "Stat": {"key": (1, "string"), "value": (2, "string")},
    "StatsResp": {"stats": (1, "repeated Stat")},  # on the wire a map is a list of pairs
    "UserOptions": {
        "login_name": (1, "string"),
        "password": (2, "string"),
        "full_name": (3, "string"),
        "groups": (4, "repeated string"),
    },
    "UserReq": {"options": (1, "UserOptions")},
    "ChangePasswordOptions": {
        "login_name": (1, "string"),
        "current_password": (2, "string"),
        "new_password": (3, "string"),
    },
    "ChangePasswordReq": {"options": (1, "ChangePasswordOptions")},
    "ResetPasswordOptions": {"login_name": (1, "string"), "new_password": (2, "string")},
    "ResetPasswordReq": {"options": (1, "ResetPasswordOptions")},
    "DateTime": {"ticks_since_epoch": (1, "int64")},
    "UserDetails": {
        "login_name": (1, "string"),
        "full_name": (2, "string"),
        "groups": (3, "repeated string"),
        "last_updated": (4, "DateTime"),
        "disabled": (5, "bool"),
    },
    "DetailsResp": {"user_details": (1, "UserDetails")},
}


def _described() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="newer.proto", package="newer", syntax="proto3", dependency=["google/protobuf/timestamp.proto"]
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            *how, of = kind.split()
            field = message.field.add(name=field_name, number=number)
            field.label = _FIELD.LABEL_REPEATED if "repeated" in how else _FIELD.LABEL_OPTIONAL
            if of in _TYPES:
                field.type = _TYPES[of]
            else:
                field.type = _FIELD.TYPE_MESSAGE
                field.type_name = ".google.protobuf.Timestamp" if of == "Timestamp" else f".newer.{of}"
            if "optional" in how:
                field.oneof_index = len(message.oneof_decl)
                field.proto3_optional = True
                message.oneof_decl.add(name=f"_{field_name}")
    return file


_pool = descriptor_pool.DescriptorPool()
_pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
_pool.AddSerializedFile(_described().SerializeToString())


def message(name: str) -> type[Message]:
    """The class of one of the messages above."""
    made: type[Message] = message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"newer.{name}"))
    return made


NEWER: dict[str, type[Message]] = {
    "event_store.client.streams.ReadResp.CaughtUp": message("CaughtUp"),
    "event_store.client.streams.ReadResp.FellBehind": message("CaughtUp"),
    "event_store.client.streams.ReadResp.Checkpoint": message("Checkpoint"),
}
