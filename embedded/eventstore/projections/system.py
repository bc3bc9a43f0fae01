"""The links that the five system projections add for an event. Pure functions, one table."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from embedded.eventstore.event_encoding import LINK
from embedded.eventstore.positions import offset
from embedded.eventstore.records import (
    TOMBSTONE,
    Entry,
    Proposed,
    decode,
    iso_time,
    system_event,
    to_retention,
    uuid_text,
)

CORRELATION = "$correlationId"
STREAM_REFERENCE = "$@"
NO_TARGET = b"-1@"
READABLE_BY_ALL = {"$acl": {"$r": "$all", "$mr": "$all"}}  # metadata of every stream of links
IDS = {"$streams": 1, "$stream_by_category": 2, "$by_category": 3, "$by_event_type": 4, "$by_correlation_id": 5}

Resolve = Callable[[Entry], tuple[bool, Entry | None]]


class Emitted(NamedTuple):
    """An event for a stream of links."""

    stream: str
    type: str
    data: bytes
    metadata: dict[str, Any]

    def proposed(self) -> Proposed:
        metadata = json.dumps(self.metadata, separators=(",", ":"), ensure_ascii=False).encode()
        return system_event(self.type, None)._replace(is_json=False, data=self.data, metadata=metadata)


@dataclass(slots=True)
class Source:
    """An event as the projections look at it; what is inside is decoded once. `entry` None: a link leads to nothing."""

    entry: Entry | None
    record: Any = field(init=False, default=None)
    correlation: str | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.entry is not None:
            self.record = decode(self.entry)
            self.correlation = _correlation(self.record.custom_metadata)

    @property
    def is_readable(self) -> bool:
        """Whether its data is what its label says."""
        is_json = self.record is not None and self.record.metadata["content-type"] == "application/json"
        return not is_json or _is_json(self.record.data)

    @property
    def reference(self) -> bytes:
        """What a link to it says; what it says itself, if it is a link."""
        if self.entry is None:
            return NO_TARGET
        if self.entry.type == LINK:
            return bytes(self.record.data)
        return f"{self.entry.revision}@{self.entry.stream}".encode()


@dataclass(slots=True)
class Cause:
    """The entry that a projection has reached. `version` is that of the projection."""

    entry: Entry
    version: str
    resolve: Resolve
    source: Source = field(init=False)

    def __post_init__(self) -> None:
        self.source = Source(self.entry)

    @property
    def owner(self) -> str:
        """Its stream, or the one that its stream is the metadata of."""
        return self.entry.stream.removeprefix("$$")

    @property
    def deletes(self) -> bool:
        """Whether it deletes its owner, softly or with a tombstone."""
        if self.owner == self.entry.stream:
            return self.entry.revision == TOMBSTONE
        return self.entry.type == "$metadata" and to_retention(self.entry).soft_deleted

    def resolved(self) -> Source:
        """Where it leads, if it is a link."""
        is_link, target = self.resolve(self.entry)
        return Source(target) if is_link else self.source

    def link(self, stream: str, data: bytes, more: Mapping[str, object] | None = None) -> Emitted:
        """A link that is caused by it, with `more` in its metadata."""
        return self.link_about(self.source, stream, data, more)

    def link_about(self, source: Source, stream: str, data: bytes, more: Mapping[str, object] | None = None) -> Emitted:
        """The same with another event as what the link is about."""
        at = offset(self.entry.position)
        metadata: dict[str, Any] = {"$v": self.version, "$c": at, "$p": at, **(more or {})}
        if source.entry is not None:
            metadata["$causedBy"] = uuid_text(source.entry.id)
        if source.correlation is not None:
            metadata[CORRELATION] = source.correlation
        return Emitted(stream, LINK, data, metadata)


def is_visible(stream: str) -> bool:
    """True for the streams of users and their metadata; the projections see no other, their own output included."""
    return not stream.removeprefix("$$").startswith("$")


def category_of(stream: str) -> str | None:
    """The text before the first hyphen of the stream's name; system streams and their metadata have none."""
    before, hyphen, _ = stream.partition("-")
    return before if hyphen and before and not before.startswith("$") else None


def _by_category(cause: Cause) -> Iterator[Emitted]:
    deletes = cause.deletes
    origin = cause.owner if deletes else cause.entry.stream
    category = category_of(origin)
    if category is None:
        return
    stream = f"$ce-{category}"
    if deletes:
        yield cause.link(stream, cause.source.reference, {"$o": origin, "$deleted": -1})
        return
    source = cause.resolved()
    if source.is_readable:
        yield cause.link_about(source, stream, source.reference, {"$o": origin})


def _by_event_type(cause: Cause) -> Iterator[Emitted]:
    entry = cause.entry
    reference = f"{entry.revision}@{cause.owner}".encode()
    if cause.deletes:
        yield cause.link("$et-$deleted", reference, {"$deleted": -1})
    elif entry.type != LINK and cause.source.is_readable:
        yield cause.link(f"$et-{entry.type}", reference)


def _stream_by_category(cause: Cause) -> Iterator[Emitted]:
    category = category_of(cause.entry.stream)
    if category is not None and cause.entry.revision == 0 and cause.source.is_readable:
        about = cause.link("", b"")
        yield about._replace(stream=f"$category-{category}", type=STREAM_REFERENCE, data=cause.entry.stream.encode())


def _streams(cause: Cause) -> Iterator[Emitted]:
    if cause.entry.revision == 0 and cause.source.is_readable:
        yield cause.link("$streams", f"0@{cause.entry.stream}".encode())


def _by_correlation_id(cause: Cause) -> Iterator[Emitted]:
    source = cause.source
    if source.correlation and source.is_readable:
        when = iso_time(cause.entry.created, "Z")
        yield cause.link(f"$bc-{source.correlation}", source.reference, {"$eventTimestamp": when})


PROJECTIONS: dict[str, Callable[[Cause], Iterator[Emitted]]] = {
    "$by_category": _by_category,
    "$by_event_type": _by_event_type,
    "$stream_by_category": _stream_by_category,
    "$streams": _streams,
    "$by_correlation_id": _by_correlation_id,
}


def emitted(name: str, entry: Entry, resolve: Resolve, *, version: int = 1) -> list[Emitted]:
    """What the projection of that name adds because of an event."""
    if not is_visible(entry.stream):
        return []
    return list(PROJECTIONS[name](Cause(entry, f"{IDS[name]}:-1:{version}:4", resolve)))


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data.decode())
    except (ValueError, RecursionError):
        return False
    return True


def _correlation(metadata: bytes) -> str | None:
    """The id of what an event belongs to, as text that can be the name of a stream. A number counts as text."""
    if CORRELATION.encode() not in metadata:
        return None
    try:
        about = json.loads(metadata)
    except (ValueError, RecursionError):
        return None
    found = about.get(CORRELATION) if isinstance(about, dict) else None
    if isinstance(found, bool) or not isinstance(found, str | int | float) or found == "":
        return None
    return str(found).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
