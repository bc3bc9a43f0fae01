"""Maps messages to values. An unreadable message raises `HandlerError` or `RefusalError`, as the protocol says."""

import uuid
from typing import Any

import grpc

from embedded.eventstore.errors import HandlerError, RefusalError, invalid
from embedded.eventstore.messages import shared_pb2
from embedded.eventstore.records import ANY, NO_STREAM, STREAM_EXISTS, TOMBSTONE, Proposed

END = 2**64 - 1
MAX_BYTES = 1_048_576  # of one append


def uuid_bytes(message: Any) -> bytes:
    kind = message.WhichOneof("value")
    if kind == "string":
        try:
            return uuid.UUID(message.string.strip()).bytes
        except ValueError as error:
            raise HandlerError("not a UUID") from error
    if kind == "structured":
        s = message.structured
        most = s.most_significant_bits.to_bytes(8, "big", signed=True)
        return bytes(most + s.least_significant_bits.to_bytes(8, "big", signed=True))
    raise HandlerError("no id")


def set_structured(message: Any, raw: bytes) -> None:
    message.structured.most_significant_bits = int.from_bytes(raw[:8], "big", signed=True)
    message.structured.least_significant_bits = int.from_bytes(raw[8:], "big", signed=True)


def name_of(identifier: shared_pb2.StreamIdentifier) -> str:
    """Bytes that are not UTF-8 are replaced, as a real server replaces them."""
    name = identifier.stream_name.decode(errors="replace")
    if not name:
        raise HandlerError("no stream name")
    return name


def name_to_write(identifier: shared_pb2.StreamIdentifier) -> str:
    name = name_of(identifier)
    if name == "$$":
        raise HandlerError("the metadata of a stream without a name")
    return name


def expected_of(options: Any, oneof: str, number: str) -> int:
    match options.WhichOneof(oneof):
        case "no_stream":
            return NO_STREAM
        case "any":
            return ANY
        case "stream_exists":
            return STREAM_EXISTS
        case None:
            raise none_of(options, oneof)
        case _:
            revision = getattr(options, number)
            return NO_STREAM if revision == END else clamp(revision)


def none_of(options: Any, oneof: str) -> RefusalError:
    """What a real server says of a choice that was not made: in its own names of the message and of the choice."""
    message, case = options.DESCRIPTOR.containing_type.name, "".join(part.capitalize() for part in oneof.split("_"))
    return invalid(f"'None' is not a valid EventStore.Client.Streams.{message}+Types+Options+{case}OneofCase")


def clamp(value: int) -> int:
    """A revision or position; the end, 2^64 - 1, becomes the largest that is stored."""
    if value == END:
        return TOMBSTONE
    if value > TOMBSTONE:
        raise HandlerError("out of range")
    return value


def proposed_of(message: Any) -> Proposed:
    metadata = message.metadata
    type_, content_type = metadata.get("type"), metadata.get("content-type")
    if type_ is None or content_type is None:
        missing = "type" if type_ is None else "content-type"
        raise RefusalError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"Required Metadata Property '{missing}' is missing",
            exception="missing-required-metadata-property",
            required_metadata_properties="type,content-type",
        )
    if not type_:
        raise HandlerError("empty type")
    raw = uuid_bytes(message.id)
    if not any(raw):
        raise HandlerError("empty id")
    return Proposed(raw, type_, content_type == "application/json", message.data, message.custom_metadata)


def size_of(event: Proposed) -> int:
    type_ = event.type
    units = len(type_) if type_.isascii() else len(type_.encode("utf-16-le")) // 2
    return len(event.data) + len(event.metadata) + 2 * units


def too_large() -> RefusalError:
    return RefusalError(
        grpc.StatusCode.INVALID_ARGUMENT,
        f"Maximum Append Size of {MAX_BYTES} Exceeded.",
        exception="maximum-append-size-exceeded",
        maximum_append_size=MAX_BYTES,
    )
