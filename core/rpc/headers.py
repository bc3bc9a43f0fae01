"""The metadata that every call may carry: the caller, and the conversation that it belongs to."""

import re
from dataclasses import dataclass
from uuid import NAMESPACE_URL, uuid5

from core.domain.text import as_stored
from core.failures import InvalidRequest
from core.rpc import validation
from core.rpc.typing import Context
from core.security.principal import CALLER, IMPERSONATE

ACTOR, CORRELATION_ID, TRACE = "x-orderstream-actor", "x-correlation-id", "traceparent"
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Correlation:
    """A conversation. `text` is the caller's name of it if that is no UUID; "" otherwise.

    `id` is a UUID, since everything that uses `$correlationId` relies on one.
    """

    id: str
    text: str = ""


def headers_of(context: Context) -> dict[str, str]:
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


def actor_of(context: Context) -> str:
    """The actor of the call. Raises `InvalidRequest`, also for a name that is reserved for us.

    If callers are authenticated, the actor is the caller itself: the header counts only for a caller that may
    impersonate others. Without authentication, the header counts.
    """
    caller, actor = CALLER.get(), headers_of(context).get(ACTOR)
    if caller is not None and (IMPERSONATE not in caller.roles or not actor):
        return as_stored(caller.name)
    actor = actor or "anonymous"
    if problem := validation.actor(actor):
        raise InvalidRequest({ACTOR: problem})
    return as_stored(actor)


def via_of(actor: str) -> str:
    """The caller, if it acts for another one; "" otherwise."""
    caller = CALLER.get()
    return "" if caller is None or as_stored(caller.name) == actor else as_stored(caller.name)


def correlation_of(context: Context, request_id: str) -> Correlation:
    """The conversation; without one the request is its own. Raises `InvalidRequest`.

    The id of a text is the same everywhere: the UUIDv5 of `x-correlation-id:<text>` in the namespace of URLs.
    """
    text = headers_of(context).get(CORRELATION_ID)
    if text is None:
        return Correlation(request_id)
    if problem := validation.correlation_id(text):
        raise InvalidRequest({CORRELATION_ID: problem})
    if validation.uuid(text) is None:
        return Correlation(text)
    return Correlation(str(uuid5(NAMESPACE_URL, f"{CORRELATION_ID}:{text}")), text)


def traceparent_of(context: Context) -> str:
    """The trace that the call is part of (W3C Trace Context). A malformed one is ignored, as the standard says."""
    trace = headers_of(context).get(TRACE, "")
    return trace if _TRACE.fullmatch(trace) else ""
