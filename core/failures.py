"""Failures outside the domain. `core.rpc.errors` maps each stable reason to one status code.

ServiceFailure
├── InvalidRequest          FIELD_INVALID, REQUEST_ID_INVALID     the caller must change the request
├── TokenInvalid            CONSISTENCY_TOKEN_INVALID             not issued by this system
├── PageTokenInvalid        PAGE_TOKEN_INVALID                    malformed, or of another query
├── RequestIdReused         REQUEST_ID_REUSED                     same request_id, another payload
├── RevisionConflict        REVISION_CONFLICT                     the caller's expected revision is not the actual one
├── Unauthenticated         UNAUTHENTICATED                       the caller is not known, or not proven
├── AccessDenied            ACCESS_DENIED                         the caller lacks the role for this call
├── CallerLimited           CALLER_LIMITED                        the caller uses as much of this process as it may
├── ServerBusy              SERVER_BUSY                           more concurrent calls than this process accepts
├── RequestTooLarge         REQUEST_TOO_LARGE                     a message with more bytes than this process accepts
├── ReplyTooLarge           REPLY_TOO_LARGE                       more bytes than clients of gRPC accept
├── EventsTooLarge          EVENTS_TOO_LARGE                      more than the event store accepts in one append
├── Contention              CONTENTION                            other writers won each of several attempts
├── UnreadableEvent                                               the stream holds an event that this code cannot read
│   ├── EventTypeUnknown    EVENT_TYPE_UNKNOWN                    written by a newer release; ask a newer server
│   └── EventMalformed      EVENT_MALFORMED                       an operator has to exclude it
├── NotFound                …_NOT_FOUND                           a query for what the view does not hold
├── NotFreshEnough          NOT_FRESH_ENOUGH                      the view did not reach the token in time
├── ResumeTokenInvalid      RESUME_TOKEN_INVALID                  malformed, of another watch, or of another log
├── WatchTooSlow            WATCH_TOO_SLOW                        more changes than the client received; resume
├── TooManyWatches          TOO_MANY_WATCHES                      as many watches as this process may serve
├── Draining                SERVER_DRAINING                       this process stops; resume
├── DeadlinePassed          DEADLINE_EXCEEDED                     too late to start, or outcome unknown
├── LogMismatch             LOG_MISMATCH                          a position is of another log, or of one since restored
├── StreamGone              STREAM_DELETED, STREAM_TRUNCATED      the stream's events, or the first of them, are deleted
└── StoreFailure                                                  a store does not do what it is asked
    ├── StoreUnavailable    STORE_UNAVAILABLE                     it does not answer; try again
    │   └── StoreNotLeader  STORE_NOT_LEADER                      the node is not the leader; the leader is looked for
    └── StoreRefusal                                              waiting does not help: an operator has to act
        ├── StoreTlsFailed          STORE_TLS_FAILED              it cannot be spoken to over TLS, or without
        ├── StoreUnauthenticated    STORE_UNAUTHENTICATED         it does not know us, or not by this password
        └── StorePermissionDenied   STORE_PERMISSION_DENIED       we lack a right on a stream
"""

from collections.abc import Mapping
from itertools import islice

MAX_VIOLATIONS = 10


class ServiceFailure(Exception):  # the leaves name what happened
    """`metadata` has every value of the message; `retry_after` is in seconds, None if a retry does not help."""

    reason: str
    retry_after: float | None = None

    def __init__(self, message: str, **metadata: object) -> None:
        super().__init__(message)
        self.metadata: Mapping[str, str] = {name: str(value) for name, value in metadata.items()}


class InvalidRequest(ServiceFailure):
    """`violations` maps a field's path to its first problem, for `MAX_VIOLATIONS` fields. The rest is counted."""

    reason = "FIELD_INVALID"

    def __init__(self, violations: Mapping[str, str], reason: str = "FIELD_INVALID") -> None:
        self.violations = dict(islice(violations.items(), MAX_VIOLATIONS))
        further = len(violations) - len(self.violations)
        text = "; ".join(f"{field}: {problem}" for field, problem in self.violations.items())
        counted = {"further_violations": further} if further else {}
        super().__init__(
            f"{text}; and {further} more" if further else text, fields=", ".join(self.violations), **counted
        )
        self.reason = reason


class TokenInvalid(ServiceFailure):
    reason = "CONSISTENCY_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("consistency_token was not issued by this system; pass one from a command's reply, unchanged")


class PageTokenInvalid(ServiceFailure):
    reason = "PAGE_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("page_token does not belong to this query; start again without one")


class RequestIdReused(ServiceFailure):
    reason = "REQUEST_ID_REUSED"

    def __init__(self, request_id: str, stream: str) -> None:
        super().__init__(
            "request_id was used before with another payload; a new command needs a new id",
            request_id=request_id,
            stream=stream,
        )


class RevisionConflict(ServiceFailure):
    """Revisions as callers see them; -1 means that there is no event yet."""

    reason = "REVISION_CONFLICT"

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        super().__init__(
            f"expected revision {expected} but the stream is at {actual}; read it again and decide again",
            stream=stream,
            expected=expected,
            actual=actual,
        )


class Contention(ServiceFailure):
    reason = "CONTENTION"
    retry_after = 0.1

    def __init__(self, stream: str, attempts: int) -> None:
        super().__init__(
            f"other writers won each of {attempts} tries; nothing was written, repeat it with the same request_id",
            stream=stream,
            attempts=attempts,
        )


class Unauthenticated(ServiceFailure):
    reason = "UNAUTHENTICATED"

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}; show a token, an API key or a client certificate that is known here")


class AccessDenied(ServiceFailure):
    reason = "ACCESS_DENIED"

    def __init__(self, method: str, role: str) -> None:
        super().__init__(f"{method} needs the role {role}", method=method, role=role)


class CallerLimited(ServiceFailure):
    """`limit` is "calls" (concurrent), or the class of calls of which there are too many in a second."""

    reason = "CALLER_LIMITED"

    def __init__(self, limit: str, most: float, retry_after: float) -> None:
        what = "concurrent calls" if limit == "calls" else f"{limit} per second"
        super().__init__(
            f"this caller may have {most:g} {what}; nothing was done, try again", limit=limit, most=f"{most:g}"
        )
        self.retry_after = retry_after


class ServerBusy(ServiceFailure):
    reason = "SERVER_BUSY"
    retry_after = 0.2

    def __init__(self, most: int) -> None:
        super().__init__(f"this server works on {most} calls already; nothing was done, try again", most=most)


class RequestTooLarge(ServiceFailure):
    """In bytes."""

    reason = "REQUEST_TOO_LARGE"

    def __init__(self, size: int, most: int) -> None:
        super().__init__(f"the request has {size} bytes; this server takes {most}", size=size, most=most)


class ReplyTooLarge(ServiceFailure):
    """In bytes."""

    reason = "REPLY_TOO_LARGE"

    def __init__(self, size: int, most: int) -> None:
        super().__init__(
            f"the reply has {size} bytes, more than the {most} of one message; ask for less, or for pages",
            size=size,
            most=most,
        )


class EventsTooLarge(ServiceFailure):
    """The size of a command's events, in bytes: no retry makes it smaller."""

    reason = "EVENTS_TOO_LARGE"

    def __init__(self, stream: str, size: int, most: int) -> None:
        super().__init__(
            f"the events have {size} bytes; the event store takes {most} at once. Nothing was written: ask for less",
            stream=stream,
            size=size,
            most=most,
        )


class UnreadableEvent(ServiceFailure):  # the leaves name what was met
    """No decision is made on a stream with an event that this code cannot read, and that no operator has excluded."""

    def __init__(self, message: str, *, stream: str, revision: int, event_type: str) -> None:
        super().__init__(message, stream=stream, revision=revision, event_type=event_type)
        self.stream = stream
        self.revision = revision
        self.event_type = event_type


class EventTypeUnknown(UnreadableEvent):
    reason = "EVENT_TYPE_UNKNOWN"
    retry_after = 1.0

    def __init__(self, *, stream: str, revision: int, event_type: str) -> None:
        super().__init__(
            f"a newer version wrote {event_type} at revision {revision} of {stream}; ask a newer server",
            stream=stream,
            revision=revision,
            event_type=event_type,
        )


class EventMalformed(UnreadableEvent):
    reason = "EVENT_MALFORMED"

    def __init__(self, *, stream: str, revision: int, event_type: str) -> None:
        super().__init__(
            f"{event_type} at revision {revision} of {stream} is not what its type says; an operator can exclude it",
            stream=stream,
            revision=revision,
            event_type=event_type,
        )


class NotFound(ServiceFailure):
    def __init__(self, reason: str, **metadata: object) -> None:
        super().__init__(f"{reason}: " + ", ".join(f"{k}={v}" for k, v in metadata.items()), **metadata)
        self.reason = reason


class NotFreshEnough(ServiceFailure):
    """Positions are commit positions of the log."""

    reason = "NOT_FRESH_ENOUGH"
    retry_after = 0.2

    def __init__(self, view: str, wanted: int, position: int) -> None:
        super().__init__(
            f"{view} is at {position} and did not reach {wanted} within the deadline",
            view=view,
            wanted=wanted,
            position=position,
        )


class ResumeTokenInvalid(ServiceFailure):
    reason = "RESUME_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("resume_token does not belong to this watch; start again without one")


class WatchTooSlow(ServiceFailure):
    reason = "WATCH_TOO_SLOW"
    retry_after = 0.1

    def __init__(self, most: int) -> None:
        super().__init__(f"more than {most} changes were waiting to be taken; resume with the last token", most=most)


class TooManyWatches(ServiceFailure):
    reason = "TOO_MANY_WATCHES"
    retry_after = 1.0

    def __init__(self, most: int) -> None:
        super().__init__(f"this server serves {most} watches already; try another one", most=most)


class Draining(ServiceFailure):
    reason = "SERVER_DRAINING"
    retry_after = 0.5

    def __init__(self) -> None:
        super().__init__("this server stops; ask another, a watch with its last token")


class DeadlinePassed(ServiceFailure):
    reason = "DEADLINE_EXCEEDED"

    def __init__(self) -> None:
        super().__init__("the deadline passed; if this was a command, repeat it with the same request_id")


class LogMismatch(ServiceFailure):
    """Waiting does not help. `view` is the one that was made from another log, if it is known."""

    reason = "LOG_MISMATCH"

    def __init__(self, view: str = "") -> None:
        if view:
            super().__init__(f"{view} was made from another log than the event store serves: rebuild it", view=view)
        else:
            super().__init__(
                "the event store has no record at a position that was kept: it serves another log, rebuild it"
            )


class StreamGone(ServiceFailure):
    """Waiting does not help. `first` is the revision of the first event left, None if the stream is deleted."""

    reason = "STREAM_DELETED"

    def __init__(self, stream: str, first: int | None = None) -> None:
        if first is None:
            super().__init__(
                f"{stream} was deleted from the event store for good: nothing can be done with it", stream=stream
            )
        else:
            super().__init__(
                f"{stream} was truncated: its events before revision {first} are deleted, so its state is not known",
                stream=stream,
                first=first,
            )
            self.reason = "STREAM_TRUNCATED"
        self.stream = stream


class StoreFailure(ServiceFailure):  # the leaves name what happened
    """The request was not carried out, or its outcome is unknown. `store` is "event" or "view"."""


class StoreUnavailable(StoreFailure):
    reason = "STORE_UNAVAILABLE"
    retry_after = 0.5

    def __init__(self, store: str) -> None:
        super().__init__(f"the {store} store does not answer; try again", store=store)


class StoreNotLeader(StoreUnavailable):
    reason = "STORE_NOT_LEADER"

    def __init__(self) -> None:
        StoreFailure.__init__(
            self, "this node of the event store is not the leader, which is looked for; try again", store="event"
        )


class StoreRefusal(StoreFailure):  # the leaves name what is refused
    """Waiting does not help. `remedy` is for the operator of this process: it may name files and users."""

    def __init__(self, message: str, store: str, remedy: str, **metadata: object) -> None:
        super().__init__(message, store=store, **metadata)
        self.remedy = remedy

    @property
    def complaint(self) -> str:
        """One line for the log and the terminal of an operator."""
        return f"{self}; {self.remedy}" if self.remedy else str(self)


def words_of(failure: BaseException) -> str:
    """A failure in the words for operators."""
    return failure.complaint if isinstance(failure, StoreRefusal) else str(failure)


class StoreTlsFailed(StoreRefusal):
    """`check` is the failed check, in the words of the TLS library."""

    reason = "STORE_TLS_FAILED"

    def __init__(self, store: str, check: str, remedy: str) -> None:
        super().__init__(f"the {store} store cannot be spoken to: {check}", store, remedy)


class StoreUnauthenticated(StoreRefusal):
    reason = "STORE_UNAUTHENTICATED"

    def __init__(self, store: str, remedy: str) -> None:
        super().__init__(f"the {store} store does not accept the credentials of this process", store, remedy)


class StorePermissionDenied(StoreRefusal):
    """`right` is a verb, like "read"; `on` is the stream, the group or the collection."""

    reason = "STORE_PERMISSION_DENIED"

    def __init__(self, store: str, right: str, on: str, remedy: str) -> None:
        what = f"{right} {on}" if on else "do this"
        super().__init__(f"the {store} store does not permit this process to {what}", store, remedy, right=right, on=on)
