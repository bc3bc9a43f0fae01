"""Sends requests to an EventStoreDB-speaking server and writes down what passes, so that two servers can be compared.

What differs from run to run is replaced: times by `<time>`, ids that the server made by `<id 3.0>` (the first new one
of step 3), positions by `@3.0` (the lowest new one of step 3). The order of all positions is said once, at the end, so
one answer too many shifts no other. What is left must be equal, byte for byte. Where a field says something that
depends on what else the server does, a step names it in `without`: the field is then left out.
"""

import asyncio
import contextlib
import json
import queue
import re
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeAlias

import grpc
from google.protobuf import symbol_database
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from tests.contract.eventstore.recorded.newer import NEWER

POSITION_FIELDS = {"commit_position", "prepare_position"}
POSITION_TEXT = re.compile(r"C:(\d+)/P:(\d+)")
LINK_POSITION = re.compile(r'(?<="\$[cp]":)\d+')  # in the metadata of a link
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(Z|[+-]\d\d:\d\d)")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME_FIELDS = {"created", "time_stamp", "ticks_since_epoch"}
TRAILERS_LEFT_OUT = {
    "grpc-status",
    "grpc-message",
    "date",
    "server",
    "content-type",
    "content-length",
    "grpc-encoding",
    "grpc-accept-encoding",
    "accept-encoding",
    "user-agent",
}
END_OF_LOG = 2**64 - 1
WIRE = {0: "number", 1: "64 bits", 2: "message or text", 5: "32 bits"}
CHANNEL = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
]  # a connection of its own: a server bounds the calls on one

SILENCE = 2.5  # recording: so long without a reply, and the server has said what it has to say
PATIENCE = 12.0  # comparing: so long we wait for a reply that was recorded
QUIET = 0.3  # comparing: so long we wait for a reply too many
IMPATIENCE = 2.0  # comparing: so long we wait once a recorded reply has failed to come, since the result is clear

Request: TypeAlias = Message | bytes


class Patience:
    """How long to wait for what was recorded. It is short once a reply of the scenario has not come."""

    def __init__(self) -> None:
        self.seconds = PATIENCE

    def lose(self) -> None:
        self.seconds = IMPATIENCE


class Transcript:
    """One scenario's conversation with one server; `recorded` are the steps to compare with, if there are any."""

    def __init__(self, address: str, name: str, recorded: Sequence[Mapping[str, Any]] | None = None) -> None:
        self.address = address
        self.name = name
        self.steps: list[dict[str, Any]] = []
        self._recorded = recorded
        self._patience = Patience()
        self._known: set[str] = set()
        self._channels: list[grpc.Channel] = []
        self._calls: list[Call] = []

    async def __aenter__(self) -> Self:
        self._channel = self.connection()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for call in self._calls:
            await call.close()
        for channel in self._channels:
            channel.close()

    def connection(self) -> grpc.Channel:
        """One more connection to the server."""
        channel = grpc.insecure_channel(self.address, options=CHANNEL)
        self._channels.append(channel)
        return channel

    def stream_name(self, suffix: str = "a") -> str:
        """A name that belongs to this scenario alone."""
        return f"{self.category()}-{suffix}"

    def category(self) -> str:
        """The first part of every stream's name of this scenario."""
        return f"recorded_{self.name.replace('_', '')}"

    def event_id(self, number: int | str) -> str:
        """An id that is the same in every run."""
        made = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.name}/{number}"))
        self._known.add(made)
        return made

    def note(self, title: str, **seen: Any) -> None:
        """Write down what a scenario made of replies that cannot be compared as they are."""
        self.steps.append({"step": title, "seen": seen})

    async def unary(self, title: str, method: str, request: Request, reply: type[Message], **how: Any) -> Any:
        """Make a call with one request; the first reply, if there is one."""
        replies = await self.conversation(title, method, [request], reply, **how)
        return replies[0] if replies else None

    async def conversation(
        self,
        title: str,
        method: str,
        requests: Sequence[Request],
        reply: type[Message],
        *,
        most: int | None = None,
        silence: float = SILENCE,
        half_close: bool = True,
        **how: Any,
    ) -> list[Any]:
        """Make a call: take replies until it ends, or there are `most`, or none has come for `silence` seconds.

        A call that is open when enough has come is cancelled by us, and written down as open.
        """
        call = self.open(title, method, requests, reply, half_close=half_close, **how)
        await call.settle(most, silence)
        await call.close()
        return call.replies

    def open(
        self,
        title: str,
        method: str,
        requests: Sequence[Request],
        reply: type[Message],
        *,
        half_close: bool = False,
        keep: bool = True,
        keep_if: Callable[[Any], bool] = lambda _: True,
        without: Collection[str] = (),
        metadata: Sequence[tuple[str, str]] = (),
        timeout: float = 60,
        channel: grpc.Channel | None = None,
    ) -> "Call":
        """Open a call and send the requests; `keep=False` leaves it out of what is compared."""
        step: dict[str, Any] = {"step": title, "method": method.rsplit(".", 1)[-1]}
        expected = None
        if keep:
            if self._recorded is not None and len(self.steps) < len(self._recorded):
                expected = self._recorded[len(self.steps)]
            self.steps.append(step)
        made = (channel or self._channel).stream_stream(
            method, request_serializer=_serialized, response_deserializer=reply.FromString
        )
        call = Call(
            made, step, keep_if=keep_if, without=frozenset(without), expected=expected, patience=self._patience,
            timeout=timeout, metadata=tuple(metadata),
        )  # fmt: skip
        self._calls.append(call)
        call.send(*requests)
        if half_close:
            call.half_close()
        return call

    def normalised(self) -> dict[str, Any]:
        """The conversation with everything that differs from run to run replaced."""
        places = {0: "@start", END_OF_LOG: "@end"}
        ids: dict[str, str] = {}
        steps = []
        for number, step in enumerate(self.steps):
            for n, place in enumerate(sorted(set(_positions(step)) - set(places))):
                places[place] = f"@{number}.{n}"
            steps.append(_replaced(step, places, _Names(f"<id {number}", ids), self._known, ""))
        return {
            "scenario": self.name,
            "steps": steps,
            "positions in order": [places[place] for place in sorted(places)],
        }


class _Names:
    """Names for ids that the server made, by the step in which they first come."""

    def __init__(self, prefix: str, ids: dict[str, str]) -> None:
        self._prefix = prefix
        self._ids = ids
        self._count = 0

    def of(self, made: str) -> str:
        if made not in self._ids:
            self._ids[made] = f"{self._prefix}.{self._count}>"
            self._count += 1
        return self._ids[made]


class Call:
    """A call that is going on.

    gRPC's threads carry it: its asyncio side loses the status of a call that ends while we send.
    """

    def __init__(
        self,
        method: Callable[..., Any],
        step: dict[str, Any],
        *,
        keep_if: Callable[[Any], bool],
        without: frozenset[str],
        expected: Mapping[str, Any] | None,
        patience: Patience,
        **options: Any,
    ) -> None:
        self.replies: list[Any] = []
        self._step = step
        self._keep_if = keep_if
        self._without = without
        self._expected = expected
        self._patience = patience
        self._sent: list[Any] = []
        self._end: dict[str, Any] | None = None
        self._arrived = asyncio.Event()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._outgoing: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._call = method(iter(self._outgoing.get, None), **options)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        with contextlib.suppress(grpc.RpcError):
            for message in self._call:
                self._loop.call_soon_threadsafe(self._heard, message)
        end = {"code": self._call.code().name}
        if end["code"] != "OK":
            end |= {"details": self._call.details(), "trailers": _trailers(self._call.trailing_metadata())}
        self._loop.call_soon_threadsafe(self._over, end)

    def _heard(self, message: Any) -> None:
        if not self._closed and self._keep_if(message):
            self.replies.append(message)
            self._arrived.set()

    def _over(self, end: dict[str, Any]) -> None:
        if not self._closed:
            self._end = end
            self._arrived.set()

    def send(self, *requests: Request) -> None:
        for request in requests:
            self._sent.append(as_data(request))
            self._outgoing.put(request)

    def half_close(self) -> None:
        self._outgoing.put(None)

    @property
    def ended(self) -> bool:
        """Whether the server ended it."""
        return self._end is not None

    @property
    def outcome(self) -> str:
        """How it ended, in words."""
        end = self._end or {"code": "open"}
        return f"{end['code']} {end.get('details', '')}".strip()

    async def take(self, count: int, seconds: float | None = None) -> list[Any]:
        """All replies, when there are `count`, the call ended, or the time is over."""
        await self._hear_until(lambda: len(self.replies) >= count or self.ended, seconds)
        return self.replies

    async def settle(self, most: int | None = None, silence: float = SILENCE) -> None:
        """Take replies until the call ends or there are `most`, or the server has been silent."""
        if self._expected is not None:
            await self.take(len(self._expected.get("replies", ())))
            stays_open = self._expected.get("end") == {"open": True}
            if not stays_open and most is None:
                await self.end()
            silence = QUIET
        while not self.ended and (most is None or len(self.replies) < most) and await self._hear(silence):
            pass
        if most is not None:
            del self.replies[most:]

    async def end(self) -> None:
        """Wait for the server to end it."""
        await self._hear_until(lambda: self.ended, None)

    async def _hear_until(self, so: Callable[[], bool], seconds: float | None) -> None:
        """Wait until it is so; without `seconds` as long as patience lasts, which is lost if that is in vain."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self._patience.seconds if seconds is None else seconds)
        while not so() and (left := deadline - loop.time()) > 0:
            await self._hear(left)
        if seconds is None and not so():
            self._patience.lose()

    async def _hear(self, seconds: float) -> bool:
        self._arrived.clear()
        if self.ended:
            return True
        try:
            await asyncio.wait_for(self._arrived.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Cancel it if it is open, and write down what passed."""
        if self._closed:
            return
        self._closed = True
        self._step |= {
            "requests": self._sent,
            "replies": [as_data(each, self._without) for each in self.replies],
            "end": self._end or {"open": True},
        }
        if self._without:
            self._step["not compared"] = sorted(self._without)
        self._call.cancel()
        self._outgoing.put(None)
        await asyncio.to_thread(self._listener.join)


def as_data(message: Request, without: Collection[str] = ()) -> Any:
    """A message as plain data: the fields that are set, texts where bytes are text."""
    if isinstance(message, bytes):
        return f"bytes {message[:40].hex()}"
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Timestamp":
        return "<time>"
    if name == "google.protobuf.Any" and (inner := _unpacked(message)) is not None:
        return {"type_url": inner.type_url, "value": as_data(inner.value, without)}
    if name in NEWER:
        message = NEWER[name].FromString(message.SerializeToString())
    data: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name not in without:
            data[field.name] = _field(field, value, without)
    for oneof in message.DESCRIPTOR.oneofs:  # an empty message chosen in a oneof says something
        chosen = message.WhichOneof(oneof.name)
        if chosen and chosen not in data and chosen not in without:
            data[chosen] = _field(message.DESCRIPTOR.fields_by_name[chosen], getattr(message, chosen), without)
    unknown = sorted({(f.field_number, WIRE[f.wire_type]) for f in _unknown_fields(message)})
    if unknown:  # newer than the stubs: that they are there is what can be compared
        data["fields newer than these stubs"] = [f"{number} {wire}" for number, wire in unknown]
    return data


class _Unpacked(NamedTuple):
    type_url: str
    value: Message


def _unknown_fields(message: Message) -> Iterable[Any]:
    fields: Any = UnknownFieldSet(message)
    return list(fields)


def _unpacked(wrapped: Any) -> _Unpacked | None:
    try:
        kind = symbol_database.Default().GetSymbol(wrapped.type_url.rsplit("/", 1)[-1])
    except KeyError:
        return None
    return _Unpacked(wrapped.type_url, kind.FromString(wrapped.value))


def _field(field: Any, value: Any, without: Collection[str]) -> Any:
    if field.message_type and field.message_type.GetOptions().map_entry:
        return {str(k): _one(field.message_type.fields_by_name["value"], v, without) for k, v in sorted(value.items())}
    if field.label == FieldDescriptor.LABEL_REPEATED:
        return [_one(field, each, without) for each in value]
    return _one(field, value, without)


def _one(field: Any, value: Any, without: Collection[str]) -> Any:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return as_data(value, without)
    if field.type == FieldDescriptor.TYPE_BYTES:
        try:
            text = value.decode()
            return text if len(text) < 400 else f"{text[:40]}… {len(value)} bytes"
        except UnicodeDecodeError:
            return f"hex:{value[:40].hex()} {len(value)} bytes"
    if field.type == FieldDescriptor.TYPE_ENUM:
        found = field.enum_type.values_by_number.get(value)
        return found.name if found else value
    if field.type == FieldDescriptor.TYPE_STRING and len(value) >= 400:
        return f"{value[:40]}… {len(value)} characters"
    return value


def _positions(node: Any, name: str = "") -> Iterable[int]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _positions(value, key)
    elif isinstance(node, list):
        for each in node:
            yield from _positions(each, name)
    elif isinstance(node, int) and name in POSITION_FIELDS:
        yield node
    elif isinstance(node, str):
        for c, p in POSITION_TEXT.findall(node):
            yield int(c)
            yield int(p)
        yield from map(int, LINK_POSITION.findall(node))


def _replaced(node: Any, places: dict[int, str], names: _Names, known: set[str], name: str) -> Any:
    if isinstance(node, dict):
        return {key: _replaced(value, places, names, known, key) for key, value in node.items()}
    if isinstance(node, list):
        return [_replaced(each, places, names, known, name) for each in node]
    if isinstance(node, int | str) and not isinstance(node, bool) and name in TIME_FIELDS:
        return "<time>"
    if isinstance(node, int) and name in POSITION_FIELDS:
        return places[node]
    if isinstance(node, str):
        node = TIME.sub(r"<time \1>", node)
        node = LINK_POSITION.sub(lambda m: f'"{places[int(m[0])]}"', node)
        node = POSITION_TEXT.sub(lambda m: f"C:{places[int(m[1])]}/P:{places[int(m[2])]}", node)
        return UUID.sub(lambda m: m[0] if m[0] in known else names.of(m[0]), node)
    return node


def _serialized(message: Request) -> bytes:
    return message if isinstance(message, bytes) else bytes(message.SerializeToString())


def _trailers(pairs: Any) -> dict[str, str]:
    return {
        key: value.hex() if isinstance(value, bytes) else value
        for key, value in sorted(pairs or ())
        if key not in TRAILERS_LEFT_OUT
    }


def dumped(transcript: dict[str, Any]) -> str:
    """A transcript as it stands in a recording."""
    return json.dumps(transcript, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
