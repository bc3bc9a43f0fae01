"""Entries in the form for the caller: as stored, or with binary ids, or with links resolved; and hidden ones."""

import re
import uuid
from typing import Any

from embedded.eventstore.log import Log
from embedded.eventstore.messages import streams_pb2
from embedded.eventstore.records import TOMBSTONE, Entry
from embedded.eventstore.requests import set_structured

LINK = "$>"
_TARGET = re.compile(rb"\s*([+-]?\d{1,19})\s*(?:(@)(.*))?", re.DOTALL)
_HIDDEN = re.compile(
    r"\$epoch-information|\$empty-appends|\$persistentsubscription-\$all::.*-(checkpoint|parked)", re.DOTALL
)


def is_hidden(stream: str) -> bool:
    """True for the node's own book-keeping, which no reader of everything ever sees."""
    return stream.startswith(("$e", "$p")) and _HIDDEN.fullmatch(stream) is not None


def target_of(data: bytes) -> tuple[str, int] | None:
    """Stream and revision that the data of a link name, -1 for its last event; no name if they name no stream.

    None if they do not begin with a number: then it is no link, whatever its type says.
    """
    match = _TARGET.fullmatch(data)
    if match is None or not -TOMBSTONE <= int(match[1]) <= TOMBSTONE:
        return None
    return (match[3] or b"").decode(errors="replace"), int(match[1]) if match[2] else -1


def resolve(log: Log, link: Entry) -> tuple[bool, Entry | None]:
    """Whether the entry counts as a link, and the event it leads to if that can be read."""
    if link.type != LINK:
        return False, None
    target = target_of(streams_pb2.ReadResp.FromString(link.encoded).event.event.data)
    return target is not None, None if target is None else readable(log, *target)


def readable(log: Log, stream: str, revision: int) -> Entry | None:
    newest = log.last_of(stream)
    if newest is None or newest.revision == TOMBSTONE:
        return None
    if revision == -1:  # the last one
        revision = newest.revision
    if not 0 <= revision <= newest.revision:
        return None
    low, oldest = log.retention(stream).visible(newest.revision)
    entry = log.at(stream, revision)
    return entry if entry is not None and revision >= low and entry.created >= oldest else None


class EventEncoder:
    """Call it with an entry for the bytes to send."""

    def __init__(self, log: Log, *, structured: bool, links: bool) -> None:
        self._log, self._structured, self._links = log, structured, links

    def __call__(self, entry: Entry) -> bytes:
        if not self._structured and not (self._links and entry.type == LINK):
            return entry.encoded
        response = streams_pb2.ReadResp.FromString(entry.encoded)
        event = response.event
        if self._links:
            is_link, target = resolve(self._log, entry)
            if is_link:
                event.link.CopyFrom(event.event)
                event.ClearField("event")
                if target is not None:
                    event.event.CopyFrom(streams_pb2.ReadResp.FromString(target.encoded).event.event)
        if self._structured:
            make_structured(event)
        return bytes(response.SerializeToString())


def make_structured(event: Any) -> None:
    for record in (event.event, event.link):
        if record.HasField("id"):
            set_structured(record.id, uuid.UUID(record.id.string).bytes)
