"""A server that answers every call of the contract with something in every field, to test how replies are shown."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from client.sdk import contexts

LARGE = 7_000_000_000  # needs 64 bits
LONG_ID = "0198c8c4-3a57-7cc0-b6a3-64a1d1b3a7f1"
DEEPEST = 6  # of messages within messages
OF_KIND: dict[int, Any] = {
    FieldDescriptor.CPPTYPE_INT64: LARGE,
    FieldDescriptor.CPPTYPE_UINT64: LARGE,
    FieldDescriptor.CPPTYPE_INT32: 3,
    FieldDescriptor.CPPTYPE_UINT32: 3,
    FieldDescriptor.CPPTYPE_DOUBLE: 0.5,
    FieldDescriptor.CPPTYPE_FLOAT: 0.5,
    FieldDescriptor.CPPTYPE_BOOL: True,
    FieldDescriptor.CPPTYPE_ENUM: 1,
    FieldDescriptor.CPPTYPE_STRING: LONG_ID,
}
NOTHING = ("next_page_token", "unavailable", "unreadable")  # more pages; and what replaces the fields beside it


def filled(kind: Descriptor, chosen: str = "", depth: int = 0) -> Any:
    """A message with something in every field; of alternatives the one that is chosen, or the first."""
    made: Any = GetMessageClass(kind)()
    if kind.full_name.startswith("google.protobuf."):
        made.seconds = 1_790_000_000
        return made
    for field in kind.fields:
        if field.name in NOTHING or depth == DEEPEST:
            continue
        oneof = field.containing_oneof
        if oneof is not None and field.name != (chosen or oneof.fields[0].name):
            continue
        values = getattr(made, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        if field.message_type is not None:
            inner = filled(field.message_type, depth=depth + 1)
            if hasattr(values, "append"):
                values.append(inner)
            else:
                values.CopyFrom(inner)
        elif hasattr(values, "append"):
            values.append(OF_KIND[field.cpp_type])
        else:
            setattr(made, field.name, OF_KIND[field.cpp_type])
    return made


class _Anything(grpc.GenericRpcHandler):
    def __init__(self) -> None:
        self._methods: dict[str, MethodDescriptor] = {
            f"/{service.full_name}/{method.name}": method
            for context in contexts.CONTEXTS
            for file in context.files.values()
            for service in file.services_by_name.values()
            for method in service.methods
        }

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        method = self._methods.get(details.method)
        if method is None:
            return None
        made_of: Any = GetMessageClass(method.input_type)
        how: dict[str, Any] = {
            "request_deserializer": made_of.FromString,
            "response_serializer": lambda reply: reply.SerializeToString(),
        }
        if not method.server_streaming:
            return grpc.unary_unary_rpc_method_handler(lambda *_: filled(method.output_type), **how)
        return grpc.unary_stream_rpc_method_handler(lambda *_: _each(method.output_type), **how)


def _each(kind: Descriptor) -> Iterator[Any]:
    """A message for each alternative, the result of the whole last."""
    names = [field.name for oneof in kind.oneofs for field in oneof.fields]
    yield from (filled(kind, name) for name in sorted(names, key=lambda name: name in ("result", "change")))


@contextmanager
def answering_anything() -> Iterator[str]:
    """The address of one that serves."""
    server = grpc.server(ThreadPoolExecutor(4), handlers=[_Anything()])
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield address
    finally:
        server.stop(None).wait()
