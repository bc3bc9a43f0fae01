"""Entries as the caller wants them: as stored, or with binary ids, or with links resolved. And which are wanted."""

import re
import uuid
from collections.abc import Callable
from typing import Any

from esdbclient.protos.Grpc import streams_pb2

from embedded.eventstore.errors import HandlerError, invalid
from embedded.eventstore.log import Log
from embedded.eventstore.records import TOMBSTONE, Entry
from embedded.eventstore.requests import set_structured

Wanted = Callable[[Entry], bool]
LINK = "$>"
_TARGET = re.compile(rb"\s*(-?\d+)(@?)(.*)", re.DOTALL)
_HIDDEN = re.compile(r"\$epoch-information|\$persistentsubscription-\$all::.*-(checkpoint|parked)", re.DOTALL)

_DIALECT = re.compile(
    r"(?P<escaped>\\\\)|(?P<named>\(\?<[A-Za-z_]\w*>)|(?P<reference>\\k<\w+>)|(?P<end>\\z)|(?P<last>\\Z)"
)
_SPELLING = {"escaped": r"\\", "named": "(?P<{}>", "reference": "(?P={})", "end": r"\Z", "last": r"(?=\n?\Z)"}


def is_hidden(stream: str) -> bool:
    """True for the node's own book-keeping, which no reader of everything ever sees."""
    return stream.startswith(("$e", "$p")) and _HIDDEN.fullmatch(stream) is not None


def target_of(data: bytes) -> tuple[str, int] | None:
    """Stream and revision a link names; None if it names none."""
    match = _TARGET.match(data)
    if match is None or not match[2]:
        return None
    return match[3].decode(errors="replace"), int(match[1])


def resolve(log: Log, link: Entry) -> tuple[bool, Entry | None]:
    """Whether the entry counts as a link, and the event it leads to if that can be read."""
    if link.type != LINK:
        return False, None
    data = streams_pb2.ReadResp.FromString(link.encoded).event.event.data
    if _TARGET.match(data) is None:
        return False, None
    target = target_of(data)
    return True, None if target is None else readable(log, *target)


def readable(log: Log, stream: str, revision: int) -> Entry | None:
    newest = log.last_of(stream)
    if newest is None or newest.revision == TOMBSTONE or not 0 <= revision <= newest.revision:
        return None
    low, oldest = log.limits(stream).visible(newest.revision)
    entry = log.at(stream, revision)
    return entry if entry is not None and revision >= low and entry.created >= oldest else None


class Shape:
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


def filter_of(filter_: Any) -> Wanted:
    """The test of a filter message. Regular expressions are searched for, as .NET does."""
    kind = filter_.WhichOneof("filter")
    if kind is None or filter_.WhichOneof("window") is None:
        raise invalid("a filter needs an expression and a window")
    return matching(
        by_type=kind == "event_type", regex=getattr(filter_, kind).regex, prefixes=getattr(filter_, kind).prefix
    )


def _as_python(regex: str) -> str:
    """What .NET writes otherwise: named groups, references to them, the ends of the text."""
    return _DIALECT.sub(lambda m: _SPELLING[m.lastgroup or ""].format(m[0][3:-1]), regex)


def matching(*, by_type: bool, regex: str, prefixes: Any) -> Wanted:
    if regex:
        try:
            search = re.compile(_as_python(regex)).search
        except (re.error, RecursionError, OverflowError) as error:
            raise HandlerError("bad regex") from error
        return (lambda e: search(e.type) is not None) if by_type else (lambda e: search(e.stream) is not None)
    starts = tuple(prefixes)
    return (lambda e: e.type.startswith(starts)) if by_type else (lambda e: e.stream.startswith(starts))
