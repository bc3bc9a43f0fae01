"""An event in memory and on disk, and the stream metadata that hides it."""

import json
import time
import uuid
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from embedded.eventstore.messages import streams_pb2
from embedded.eventstore.positions import offset
from embedded.eventstore.stream_metadata import parse

NO_STREAM, ANY, STREAM_EXISTS = -1, -2, -4
TOMBSTONE = 2**63 - 1  # the revision of $streamDeleted, and the $tb of a soft-deleted stream
EMPTY_APPENDS = "$empty-appends"  # a stream that `$all` does not show
TICKS_PER_SECOND = 10_000_000
MAX_AGE = 63_000_000_000  # seconds; the years since the first one are hardly more


class Proposed(NamedTuple):
    """An event to write. `id` is the 16 bytes of the UUID."""

    id: bytes
    type: str
    is_json: bool
    data: bytes
    metadata: bytes


class Entry(NamedTuple):
    """An event in the log.

    `position` is its number in the log, from 1 on and dense: callers see `offset(position)`. `encoded` is its ReadResp
    as it goes over the wire; `created` is in ticks of 100 ns.
    """

    position: int
    stream: str
    revision: int
    id: bytes
    type: str
    created: int
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Retention:
    """What stream metadata hides. `raw` is the JSON object, None if there is none or it is not valid."""

    max_count: int | None = None
    max_age: int | None = None  # seconds
    truncate_before: int = 0
    raw: dict[str, object] | None = None

    @property
    def is_unreadable(self) -> bool:
        """Whether the age is more than a calendar holds: a real server cannot read such a stream."""
        return self.max_age is not None and self.max_age > MAX_AGE

    @property
    def soft_deleted(self) -> bool:
        return self.truncate_before == TOMBSTONE

    def visible(self, last: int) -> tuple[int, int]:
        """The lowest readable revision of a stream that ends at `last`, and the oldest readable time in ticks."""
        low = self.truncate_before
        if self.max_count is not None:
            low = max(low, last - self.max_count + 1)
        return low, 0 if self.max_age is None else ticks() - self.max_age * TICKS_PER_SECOND


NO_LIMITS = Retention()
NEWEST_ONLY = Retention(max_count=1)  # what holds for every metadata stream, whatever its own metadata says


def ticks() -> int:
    """Now, in units of 100 ns since the Unix epoch."""
    return time.time_ns() // 100


def iso_time(at: int, zone: str) -> str:
    """A time in ticks as .NET writes it: to 100 ns, without zeros at the end."""
    seconds, rest = divmod(at, TICKS_PER_SECOND)
    fraction = f".{rest:07}".rstrip("0").rstrip(".")
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}{zone}"


def uuid_text(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def system_event(type_: str, content: object) -> Proposed:
    """An event of the node's own, with a new id and JSON data."""
    data = json.dumps(content, separators=(",", ":")).encode()
    return Proposed(uuid.uuid4().bytes, type_, is_json=True, data=data, metadata=b"")


def encode(proposed: Proposed, stream: str, revision: int, position: int, created: int) -> bytes:
    """The event as every reader gets it: a ReadResp with the id as text, and with the position as callers see it."""
    response = streams_pb2.ReadResp()
    event = response.event
    shown = event.commit_position = offset(position)
    record = event.event
    record.id.string = uuid_text(proposed.id)
    record.stream_identifier.stream_name = stream.encode()
    record.stream_revision = revision
    record.prepare_position = record.commit_position = shown
    metadata = record.metadata
    metadata["type"] = proposed.type
    metadata["created"] = str(created)
    metadata["content-type"] = "application/json" if proposed.is_json else "application/octet-stream"
    record.custom_metadata = proposed.metadata
    record.data = proposed.data
    return response.SerializeToString()


def with_offset(entry: Entry) -> Entry:
    """An entry of layout 3, whose `encoded` shows the number as the position, with the position that callers see."""
    response = streams_pb2.ReadResp.FromString(entry.encoded)
    event = response.event
    shown = event.commit_position = offset(entry.position)
    event.event.prepare_position = event.event.commit_position = shown
    return entry._replace(encoded=response.SerializeToString())


def decode(entry: Entry) -> streams_pb2.ReadResp.ReadEvent.RecordedEvent:
    return streams_pb2.ReadResp.FromString(entry.encoded).event.event


def checksum(entry: Entry) -> int:
    """Over everything that is stored of it, the name of its stream included."""
    columns = f"{entry.position} {entry.revision} {entry.created} {entry.type} {entry.stream}".encode()
    return zlib.crc32(entry.encoded, zlib.crc32(columns + entry.id))


def to_retention(entry: Entry | None) -> Retention:
    """From the newest event of a metadata stream."""
    if entry is None:
        return NO_LIMITS
    record = decode(entry)
    if record.metadata["content-type"] != "application/json":
        return NO_LIMITS
    raw = parse(record.data)
    return NO_LIMITS if raw is None else Retention(raw.get("$maxCount"), raw.get("$maxAge"), raw.get("$tb", 0), raw)
