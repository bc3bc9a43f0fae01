"""An audit of positions, for tests of clients: which received positions were never sent by any node?

With EMBEDDED_AUDIT_POSITIONS=DIR in its environment a node adds each commit position that it sends to `DIR/sent`, as 8
bytes. A received position that is neither the start nor the end, and was sent by no node that shares the
directory, becomes a line of JSON in `DIR/unknown.jsonl`. Nothing is refused because of it. Without the variable the
handlers of the calls are left as they are.
"""

import json
import os
import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeAlias

import grpc

from embedded.eventstore.errors import HandlerError, RefusalError
from embedded.eventstore.messages import persistent_pb2, projections_pb2, streams_pb2
from embedded.eventstore.requests import END
from embedded.eventstore.wire import MESSAGES

VARIABLE = "EMBEDDED_AUDIT_POSITIONS"
SENT, UNKNOWN = "sent", "unknown.jsonl"
_NUMBERS = "Q"
_TEXT = re.compile(r"C:(\d+)/P:")
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Services = dict[str, dict[str, Handler]]


def audited(services: Services, stack: ExitStack) -> Services:
    """The same services; audited until the stack is left, if the environment asks for it."""
    directory = os.environ.get(VARIABLE)
    if not directory:
        return services
    audit = PositionAudit(Path(directory))
    stack.callback(audit.close)
    return {
        service: {
            name: audit.wrapped(f"{service.rsplit('.', 1)[1]}/{name}", handler) for name, handler in methods.items()
        }
        for service, methods in services.items()
    }


class PositionAudit:
    """Of one node. Only the thread that serves calls uses it."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._unknown = directory / UNKNOWN
        self._file = os.open(directory / SENT, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._sent = {0, END}
        self._read = 0  # bytes of the file that were read

    def close(self) -> None:
        os.close(self._file)

    def sent(self, positions: Iterable[int]) -> None:
        new = {position for position in positions if position not in self._sent}
        if new:
            self._sent |= new
            os.write(self._file, array(_NUMBERS, new).tobytes())

    def received(self, call: str, about: str, commit: int, prepare: int) -> None:
        if not self._was_sent(commit):
            line = {"call": call, "about": about, "commit": commit, "prepare": prepare}
            with self._unknown.open("a") as file:
                file.write(json.dumps(line) + "\n")

    def _was_sent(self, position: int) -> bool:
        if position not in self._sent:  # another node may have sent it, or this one before it was started again
            found = array(_NUMBERS)
            size = os.fstat(self._file).st_size - self._read
            more = os.pread(self._file, size - size % found.itemsize, self._read)
            self._read += len(more)
            found.frombytes(more)
            self._sent.update(found)
        return position in self._sent

    def wrapped(self, call: str, handler: Handler) -> Handler:
        """A handler that does the same, and shows what it takes and gives."""
        reply, request = _REPLIES.get(call), _REQUESTS.get(call)
        if reply is None and request is None:
            return handler
        read, encode = handler.request_deserializer, handler.response_serializer

        def taking(raw: bytes) -> Any:
            message = read(raw) if read else raw
            if request is not None:
                with suppress(HandlerError, RefusalError):  # it cannot be taken, which its handler is to say
                    for about, commit, prepare in request(message):
                        self.received(call, about, commit, prepare)
            return message

        def giving(message: Any) -> bytes:
            raw: bytes = encode(message) if encode else message
            if reply is not None:
                kind, positions = reply
                self.sent(positions(kind.FromString(raw)))
            return raw

        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(handler.stream_stream, taking, giving)
        assert handler.stream_unary is not None  # `Calls` makes no others
        return grpc.stream_unary_rpc_method_handler(handler.stream_unary, taking, giving)


# ------------------------------------------------------------------ what comes in

Received = Iterator[tuple[str, int, int]]


def _reading(request: Any) -> Received:
    options = request.options
    if options.WhichOneof("stream_option") == "all":
        yield from _of_all(options.all, options.WhichOneof("count_option") or "no count", options)


def _managing(request: Any) -> Received:
    options = request.options
    if options.WhichOneof("stream_option") == "all":
        yield from _of_all(options.all, f"group {options.group_name}", options.all)


def _of_all(all_: Any, about: str, filtered: Any) -> Received:
    if all_.WhichOneof("all_option") == "position":
        # an Update has no filter
        if "filter" in filtered.DESCRIPTOR.fields_by_name and filtered.HasField("filter"):
            about += f", {' '.join(str(filtered.filter).split())}"
        yield about, all_.position.commit_position, all_.position.prepare_position


# ------------------------------------------------------------------ what goes out

Sent = Iterator[int]


def _read(reply: Any) -> Sent:
    match reply.WhichOneof("content"):
        case "event":
            yield reply.event.commit_position
            for record in (reply.event.event, reply.event.link):
                if record.stream_identifier.stream_name:
                    yield record.commit_position
        case "checkpoint":
            yield reply.checkpoint.commit_position
        case "caught_up":
            newer = MESSAGES["CaughtUp"].FromString(reply.caught_up.SerializeToString())
            if newer.HasField("position"):
                yield newer.position.commit_position


def _consumed(reply: Any) -> Sent:
    yield from (reply.event.commit_position, reply.event.event.commit_position, reply.event.link.commit_position)


def _appended(reply: Any) -> Sent:
    yield reply.success.position.commit_position


def _removed(reply: Any) -> Sent:
    yield reply.position.commit_position


def _information(reply: Any) -> Sent:
    yield from _of_group(reply.subscription_info)


def _list(reply: Any) -> Sent:
    for info in reply.subscriptions:
        yield from _of_group(info)


def _of_group(info: Any) -> Sent:
    """Where it begins is what a client gave, and says nothing."""
    yield from _in(info.last_known_event_position + info.last_checkpointed_event_position)


def _statistics(reply: Any) -> Sent:
    yield from _in(reply.details.position + reply.details.lastCheckpoint)


def _in(text: str) -> Sent:
    yield from map(int, _TEXT.findall(text))


_REQUESTS: dict[str, Callable[[Any], Received]] = {
    "Streams/Read": _reading,
    "PersistentSubscriptions/Create": _managing,
    "PersistentSubscriptions/Update": _managing,
}
_REPLIES: dict[str, tuple[Any, Callable[[Any], Sent]]] = {
    "Streams/Read": (streams_pb2.ReadResp, _read),
    "Streams/Append": (streams_pb2.AppendResp, _appended),
    "Streams/BatchAppend": (streams_pb2.BatchAppendResp, _appended),
    "Streams/Delete": (streams_pb2.DeleteResp, _removed),
    "Streams/Tombstone": (streams_pb2.TombstoneResp, _removed),
    "PersistentSubscriptions/Read": (persistent_pb2.ReadResp, _consumed),
    "PersistentSubscriptions/GetInfo": (persistent_pb2.GetInfoResp, _information),
    "PersistentSubscriptions/List": (persistent_pb2.ListResp, _list),
    "Projections/Statistics": (projections_pb2.StatisticsResp, _statistics),
}
