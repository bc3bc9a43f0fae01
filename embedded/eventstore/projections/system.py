"""What the five system projections make of an event: the links they add, and where. Pure functions, one table."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from embedded.eventstore.positions import offset
from embedded.eventstore.records import TOMBSTONE, Entry, Proposed, decode, system_event, uuid_text
from embedded.eventstore.shaping import LINK

CORRELATION = "$correlationId"
STREAM_REFERENCE = "$@"


class Emitted(NamedTuple):
    """An event for a stream of links."""

    stream: str
    type: str
    data: bytes
    metadata: dict[str, Any]

    def proposed(self) -> Proposed:
        metadata = json.dumps(self.metadata, separators=(",", ":")).encode()
        return system_event(self.type, None)._replace(is_json=False, data=self.data, metadata=metadata)


@dataclass(slots=True)
class Source:
    """An event as the projections look at it; what is inside is decoded once."""

    entry: Entry
    record: Any = field(init=False)
    about: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.record = decode(self.entry)
        self.about = _object(self.record.custom_metadata)

    @property
    def is_readable(self) -> bool:
        """Whether its data is what its label says."""
        return self.record.metadata["content-type"] != "application/json" or _is_json(self.record.data)

    @property
    def correlation(self) -> str | None:
        """The id of what it belongs to, as text that can be the name of a stream."""
        found = self.about.get(CORRELATION)
        if not isinstance(found, str):
            return None
        return found.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    @property
    def category(self) -> str | None:
        """The text before the first hyphen of the stream's name; metadata streams have none."""
        before, hyphen, _ = self.entry.stream.partition("-")
        return before if hyphen and before and not before.startswith("$") else None

    def link(self, stream: str, **more: object) -> Emitted:
        """A link to it; if it is a link itself, one to where that leads."""
        entry = self.entry
        data = self.record.data if entry.type == LINK else f"{entry.revision}@{entry.stream}".encode()
        at = offset(entry.position)
        metadata = {"$v": "1:-1:1:4", "$c": at, "$p": at, **more}
        metadata["$causedBy"] = uuid_text(entry.id)
        if self.correlation is not None:
            metadata[CORRELATION] = self.correlation
        return Emitted(stream, LINK, data, metadata)


def is_visible(stream: str) -> bool:
    """True for the streams of users and their metadata; the projections see no other, their own output included."""
    return not stream.removeprefix("$$").startswith("$")


def _by_category(source: Source) -> Iterator[Emitted]:
    if source.category is not None:
        yield source.link(f"$ce-{source.category}", **{"$o": source.entry.stream})


def _by_event_type(source: Source) -> Iterator[Emitted]:
    if source.entry.type != LINK:
        yield source.link(f"$et-{source.entry.type}")


def _stream_by_category(source: Source) -> Iterator[Emitted]:
    if source.category is not None and source.entry.revision == 0:
        about = source.link("").metadata
        yield Emitted(f"$category-{source.category}", STREAM_REFERENCE, source.entry.stream.encode(), about)


def _streams(source: Source) -> Iterator[Emitted]:
    if source.entry.revision == 0:
        yield source.link("$streams")._replace(data=f"0@{source.entry.stream}".encode())


def _by_correlation_id(source: Source) -> Iterator[Emitted]:
    if source.correlation:
        yield source.link(f"$bc-{source.correlation}")


PROJECTIONS: dict[str, Callable[[Source], Iterator[Emitted]]] = {
    "$by_category": _by_category,
    "$by_event_type": _by_event_type,
    "$stream_by_category": _stream_by_category,
    "$streams": _streams,
    "$by_correlation_id": _by_correlation_id,
}


def emitted(name: str, entry: Entry) -> list[Emitted]:
    """What the projection of that name adds because of an event."""
    if entry.revision == TOMBSTONE or not is_visible(entry.stream):
        return []
    source = Source(entry)
    return list(PROJECTIONS[name](source)) if source.is_readable else []


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data.decode())
    except (ValueError, RecursionError):
        return False
    return True


def _object(data: bytes) -> dict[str, Any]:
    if CORRELATION.encode() not in data:  # nothing else of it is used
        return {}
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
