"""Snapshots of long streams: an aggregate with 100,000 events loads about as fast as one with 100.

`snapshot_<stream>` holds the newest state (`$maxCount` 1). A snapshot is written every so many events.
`receipts_<stream>` holds the fingerprints of the request ids (`idempotency.py`) in segments of `SEGMENT` events each,
which are written once; the snapshot has those after the last full segment. Both streams belong to us alone and may be
deleted at any time: the log is the truth.

A snapshot is trusted only if the same code has folded it (`stamp`), it belongs to the same history (`event_id`), and
all its fingerprints are there (`fingerprints_hash`). Otherwise it is ignored. Snapshots are written in the background:
a write may be skipped, may fail, or may be lost.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from importlib.resources import files
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints
from uuid import NAMESPACE_URL, uuid5

import msgspec
import structlog
from prometheus_client import Counter

from core.background import beside
from core.domain.checkout import CHECKOUT
from core.domain.decider import Decider
from core.domain.email import EMAIL
from core.domain.order import ORDER
from core.domain.product import PRODUCT
from core.domain.stock import STOCK
from core.domain.user import USER
from core.eventstore.client import NewEvent, RecordedEvent
from core.eventstore.idempotency import FINGERPRINT_SIZE
from core.eventstore.store import NO_EVENTS, EventStore

log = structlog.get_logger()

DECIDERS: Mapping[str, Decider[Any, Any, Any]] = {x.category: x for x in (ORDER, PRODUCT, STOCK, USER, EMAIL, CHECKOUT)}
SNAPSHOT, RECEIPTS = "snapshot_", "receipts_"
SEGMENT = 4_096  # events
MAX_WAITING = 100  # snapshots to be written; more are skipped
SPARE = 100  # events that may be appended while a snapshot is being written
READING = ("codec.py", "registry.py", "upcasters.py")  # modules that say which events can be read, and as what
AT_THE_END = 1.0  # seconds for what is still to be written when the service stops
WRITTEN = Counter("orderstream_snapshots_total", "Snapshots by what came of them.", ["outcome"])


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot as it is stored. `fingerprints` are those after the last full segment; the hash covers all of them."""

    stamp: str
    revision: int
    position: int
    event_id: bytes
    kind: str
    state: msgspec.Raw
    segments: int = msgspec.field(name="chapters")
    fingerprints: bytes = msgspec.field(name="marks")
    fingerprints_hash: bytes = msgspec.field(name="marks_hash")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A folded stream up to `revision`. `event_id` is that of the event there."""

    revision: int
    position: int
    event_id: bytes
    state: Any
    fingerprints: bytes


@dataclass(frozen=True, slots=True)
class Shape:
    """The types of an aggregate's states: their fingerprint (`stamp`), and a decoder for each."""

    stamp: str
    kinds: Mapping[str, msgspec.msgpack.Decoder[Any]]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Stored)


class Snapshots:
    """Finds snapshots and writes them. `every`: how many events after the last one the next is due."""

    def __init__(self, store: EventStore, every: int) -> None:
        self._store = store
        self._every = every
        self._waiting: dict[str, tuple[Decider[Any, Any, Any], Snapshot, int]] = {}
        self._shapes: dict[str, Shape] = {}
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def newest(self) -> int:
        """The number of events at the end of a stream that usually reach back to its snapshot."""
        return self._every + SPARE

    def due(self, revision: int, last: int) -> bool:
        return revision - last >= self._every

    def offer(self, decider: Decider[Any, Any, Any], stream: str, snapshot: Snapshot, last: int) -> None:
        """Queue a snapshot for writing. Never waits and never fails. `last` is the revision of the previous one."""
        if len(self._waiting) >= MAX_WAITING and stream not in self._waiting:
            WRITTEN.labels("skipped").inc()
            return
        self._waiting[stream] = (decider, snapshot, last)
        self._idle.clear()
        self._work.set()

    def withdraw(self, stream: str) -> None:
        """Remove a stream's snapshot from the queue, because the log was replaced."""
        self._waiting.pop(stream, None)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write the queued snapshots while this context is open, and for at most a second after it.

        The rest is lost; only the next start is slower, because it reads a long stream once more.
        """
        async with beside(self._write_all()):
            try:
                yield
            finally:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._idle.wait(), AT_THE_END)

    async def _write_all(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._waiting:
                stream = next(iter(self._waiting))
                decider, snapshot, last = self._waiting.pop(stream)
                try:
                    await self.write(decider, stream, snapshot, is_first=last == NO_EVENTS)
                    WRITTEN.labels("written").inc()
                except Exception as error:  # noqa: BLE001  # snapshots are optional: a failure affects nothing else
                    WRITTEN.labels("failed").inc()
                    log.warning("snapshot not written", stream=stream, error=f"{type(error).__name__}: {error}")
            self._idle.set()

    async def write(self, decider: Decider[Any, Any, Any], stream: str, snapshot: Snapshot, *, is_first: bool) -> None:
        segments = len(snapshot.fingerprints) // (SEGMENT * FINGERPRINT_SIZE)
        await self._write_segments(stream, snapshot.fingerprints, segments)
        stored = Stored(
            stamp=self.shape(decider).stamp,
            revision=snapshot.revision,
            position=snapshot.position,
            event_id=snapshot.event_id,
            kind=type(snapshot.state).__name__,
            state=msgspec.Raw(_encoder.encode(snapshot.state)),
            segments=segments,
            fingerprints=snapshot.fingerprints[segments * SEGMENT * FINGERPRINT_SIZE :],
            fingerprints_hash=hashlib.sha256(snapshot.fingerprints).digest(),
        )
        event = _event("Snapshot", f"{stream}:{snapshot.revision}:{stored.stamp}", _encoder.encode(stored))
        await self._store.keep_newest(snapshot_stream(stream), event, is_first=is_first)

    async def _write_segments(self, stream: str, fingerprints: bytes, segments: int) -> None:
        if not segments:
            return
        name, size = fingerprints_stream(stream), SEGMENT * FINGERPRINT_SIZE
        there = await self._store.newest(name, 1)
        written = there[-1].stream_position + 1 if there else 0
        for number in range(written, segments):
            segment = _event("Receipts", f"{stream}:{number}", fingerprints[number * size : (number + 1) * size])
            await self._store.append(name, number - 1, [segment])

    async def find(self, decider: Decider[Any, Any, Any], stream: str) -> Snapshot | None:
        """The newest snapshot that this code can trust. The caller checks that it belongs to this history."""
        newest = await self._store.newest(snapshot_stream(stream), 1)
        return await self.opened(decider, stream, newest[-1]) if newest else None

    async def opened(self, decider: Decider[Any, Any, Any], stream: str, event: RecordedEvent) -> Snapshot | None:
        shape = self.shape(decider)
        try:
            stored = _decoder.decode(event.data)
            if stored.stamp != shape.stamp:
                return None
            state = shape.kinds[stored.kind].decode(stored.state)
        except (msgspec.DecodeError, KeyError) as error:
            log.warning("snapshot ignored", stream=stream, error=f"{type(error).__name__}: {error}")
            return None
        fingerprints = await self._segments(stream, stored.segments) + stored.fingerprints
        if (
            len(fingerprints) != (stored.revision + 1) * FINGERPRINT_SIZE
            or hashlib.sha256(fingerprints).digest() != stored.fingerprints_hash
        ):
            log.warning(
                "snapshot ignored", stream=stream, error="its fingerprints differ from those it was written with"
            )
            return None
        return Snapshot(
            revision=stored.revision,
            position=stored.position,
            event_id=stored.event_id,
            state=state,
            fingerprints=fingerprints,
        )

    def shape(self, decider: Decider[Any, Any, Any]) -> Shape:
        known = self._shapes.get(decider.category)
        if known is None:
            known = self._shapes[decider.category] = shape_of(decider)
        return known

    async def _segments(self, stream: str, wanted: int) -> bytes:
        if not wanted:
            return b""
        return b"".join([event.data async for event in self._store.read(fingerprints_stream(stream), 0, wanted)])


def snapshot_stream(stream: str) -> str:
    return SNAPSHOT + stream


def fingerprints_stream(stream: str) -> str:
    return RECEIPTS + stream


def shape_of(decider: Decider[Any, Any, Any]) -> Shape:
    """The stamp is a hash of the state's fields and of the code that reads and folds events. Another fold gives another
    state, and so does code that can read an event which was excluded because former code could not.
    """
    state = get_type_hints(decider.evolve)["return"]
    kinds = get_args(state) if isinstance(state, UnionType) else (state,)
    text = [_described(kind) for kind in kinds]
    for package in (decider.evolve.__module__.rpartition(".")[0], "core.domain"):
        modules = [file for file in files(package).iterdir() if file.name.endswith(".py")]
        text += [file.read_text() for file in sorted(modules, key=lambda file: file.name)]
    text += [files("core.eventstore").joinpath(name).read_text() for name in READING]
    stamp = hashlib.sha256("\n".join(text).encode()).hexdigest()
    return Shape(stamp, {kind.__name__: msgspec.msgpack.Decoder(kind) for kind in kinds})


def _described(kind: Any) -> str:
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        inner = ",".join(f"{field.name}:{_described(hints[field.name])}" for field in fields(kind))
        return f"{kind}({inner})"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"{kind}({','.join(f'{member.name}={member.value}' for member in kind)})"
    arguments = ",".join(_described(argument) for argument in get_args(kind))
    return f"{get_origin(kind)}[{arguments}]" if arguments else str(kind)


def _event(event_type: str, name: str, data: bytes) -> NewEvent:
    return NewEvent(type=event_type, data=data, content_type="application/octet-stream", id=uuid5(NAMESPACE_URL, name))
