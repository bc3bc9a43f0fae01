"""Keyset paging: a page token holds the end of the last page, and belongs to one query."""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from google.protobuf.message import Message

from core.eventstore.consistency_token import MAX_POSITION
from core.eventstore.log import LogPoint
from core.failures import InvalidRequest, PageTokenInvalid, ResumeTokenInvalid
from core.security.owners import restricted_to

DEFAULT_SIZE = 50
MAX_SIZE = 1_000
MAX_PAGE = 3 * 1024 * 1024  # bytes: with its envelope, below what clients of gRPC accept
NOT_THE_QUERY = ("page_size", "page_token", "resume_token", "consistency_token")


class _Token(msgspec.Struct, array_like=True):
    query: str
    last: list[str | int]


def page_size(wanted: int) -> int:
    """0 means the default; a larger number is cut to the maximum. Raises `InvalidRequest` for less than 0."""
    if wanted < 0:
        raise InvalidRequest({"page_size": "must not be negative"})
    return min(wanted or DEFAULT_SIZE, MAX_SIZE)


def fitting(messages: Sequence[Message]) -> int:
    """How many of them, from the first on, fit into one page; at least one."""
    size = 0
    for count, message in enumerate(messages):
        size += message.ByteSize()
        if size > MAX_PAGE and count:
            return count
    return len(messages)


def to_resume_token(request: Message, point: LogPoint) -> str:
    """A resume token: everything up to a point of the log has been sent."""
    return to_page_token(request, [point.position, point.event_id])


def from_resume_token(request: Any) -> LogPoint | None:
    """The point up to which everything has been sent; None at the beginning. Raises `ResumeTokenInvalid`."""
    if not request.resume_token:
        return None
    try:
        position, event_id = _read(request.resume_token, request, int, str)
    except PageTokenInvalid as error:
        raise ResumeTokenInvalid from error
    return LogPoint(position, event_id)


def to_page_token(request: Message, last: list[str | int]) -> str:
    raw = msgspec.json.encode(_Token(_fingerprint(request), last))
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def from_page_token(request: Any, *shape: type) -> list[Any] | None:
    """The end of the last page; None for the first page. Raises `PageTokenInvalid` if it belongs to another query."""
    return _read(request.page_token, request, *shape) if request.page_token else None


def _read(token: str, request: Message, *shape: type) -> list[Any]:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        found = msgspec.json.decode(raw, type=_Token)
    except (ValueError, RecursionError, msgspec.DecodeError) as error:
        raise PageTokenInvalid from error
    if found.query != _fingerprint(request) or [type(value) for value in found.last] != list(shape):
        raise PageTokenInvalid
    if not all(0 <= value <= MAX_POSITION for value in found.last if isinstance(value, int)):
        raise PageTokenInvalid
    return list(found.last)


def _fingerprint(request: Message) -> str:
    query = type(request)()
    query.CopyFrom(request)
    for field in set(NOT_THE_QUERY).intersection(query.DESCRIPTOR.fields_by_name):
        query.ClearField(field)
    owner = restricted_to().encode()  # a token of one customer is none of another's
    named = owner + type(request).DESCRIPTOR.full_name.encode() + query.SerializeToString(deterministic=True)
    return hashlib.sha256(named).hexdigest()[:16]
