"""The configuration of a persistent subscription, read from requests and stored as JSON."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import grpc

from embedded.eventstore.errors import HandlerError, RefusalError, invalid
from embedded.eventstore.filtering import Wanted, matching
from embedded.eventstore.log import Log
from embedded.eventstore.positions import number_of, offset
from embedded.eventstore.records import Entry
from embedded.eventstore.requests import END

ALL = "$all"
FROM_END = -1
NOWHERE = -2  # the start of a group on `$all` that was created from a position without an event
LEAST_INT32 = -(2**31)  # how a time is shown that the message cannot hold
NEVER = LEAST_INT32
SERVER_NAMESPACE = "EventStore.Client.PersistentSubscriptions"
STRATEGIES = ("DispatchToSingle", "RoundRobin", "Pinned", "PinnedByCorrelation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """`start` is a revision or the number of a record, inclusive, FROM_END or NOWHERE.

    `first` is where delivery began when it was made. `start_position` is what the client gave for `$all`: commit and
    prepare position.
    """

    source: str
    group: str
    start: int
    first: int
    strategy: str
    resolve_links: bool
    extra_statistics: bool
    message_timeout_ms: int
    max_retry_count: int
    checkpoint_after_ms: int
    min_checkpoint_count: int
    max_checkpoint_count: int
    max_subscriber_count: int
    live_buffer_size: int
    read_batch_size: int
    history_buffer_size: int
    by_type: bool | None = None  # None: not filtered
    regex: str = ""
    prefixes: list[str] = field(default_factory=list)
    start_position: list[int] | None = None

    @property
    def key(self) -> str:
        return f"{self.source}::{self.group}"

    @property
    def parked_stream(self) -> str:
        return f"$persistentsubscription-{self.key}-parked"

    @property
    def checkpoint_stream(self) -> str:
        return f"$persistentsubscription-{self.key}-checkpoint"

    @property
    def reads(self) -> bool:
        """A group with a negative size never reads its source, as on the real server."""
        return self.live_buffer_size >= 0 and self.read_batch_size >= 0

    def wanted(self) -> Wanted:
        """Which entries it delivers, of those that are not hidden."""
        if self.source != ALL or self.by_type is None:
            return lambda _: True
        return matching(by_type=self.by_type, regex=self.regex, prefixes=self.prefixes)

    def order(self, entry: Entry) -> int:
        return entry.position if self.source == ALL else entry.revision

    def place(self, number: int) -> str:
        """A place in the source as clients read it."""
        if self.source != ALL:
            return str(number)
        position = FROM_END if number == FROM_END else offset(number)
        return f"C:{position}/P:{position}"

    @property
    def start_from(self) -> str:
        """`start` as clients read it."""
        if self.start_position is None:
            return self.place(self.start)
        commit, prepare = self.start_position
        return f"C:{commit}/P:{prepare}"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Config":
        return Config(**json.loads(text))


def refusal(code: grpc.StatusCode, exception: str, text: str, source: str, group: str, **more: str) -> RefusalError:
    detail = f"Subscription group {group} on stream {source} {text}"
    return RefusalError(code, detail, exception=exception, stream_name=source, group_name=group, **more)


def failed(source: str, group: str, reason: str) -> RefusalError:
    return refusal(
        grpc.StatusCode.INTERNAL,
        "persistent-subscription-failed",
        f"failed: '{reason}'",
        source,
        group,
        reason=reason,
    )


def missing(source: str, group: str) -> RefusalError:
    text = "does not exist."
    return refusal(grpc.StatusCode.NOT_FOUND, "persistent-subscription-does-not-exist", text, source, group)


def dropped(source: str, group: str) -> RefusalError:
    return refusal(grpc.StatusCode.CANCELLED, "persistent-subscription-dropped", "was dropped.", source, group)


def source_of(options: Any, named: str = "stream_identifier") -> str:
    """`$all` or the name of a stream, of any request but Create and Update."""
    kind = options.WhichOneof("stream_option")
    if kind is None:
        raise HandlerError("neither a stream nor $all")
    return ALL if kind == "all" else _name(getattr(options, named))


def _name(identifier: Any) -> str:
    return str(identifier.stream_name.decode(errors="replace"))


def target(options: Any) -> tuple[str, int]:
    """Source and start of a Create or Update, in their present and deprecated forms; of `$all` a commit position."""
    if not options.HasField("settings"):
        raise HandlerError("no settings")
    match options.WhichOneof("stream_option"):
        case "all":
            source, kind = ALL, options.all.WhichOneof("all_option")
            position = options.all.position
            number = position.commit_position if kind == "position" else 0
            if number < position.prepare_position:
                raise HandlerError("prepare is beyond commit")
        case "stream":
            source, kind = _name(options.stream.stream_identifier), options.stream.WhichOneof("revision_option")
            number = options.stream.revision if kind == "revision" else 0
        case _:
            if not options.HasField("stream_identifier"):
                raise HandlerError("neither a stream nor $all")
            kind, number, source = "revision", options.settings.revision, _name(options.stream_identifier)
    if kind is None:
        raise _no_start(options)
    return source, FROM_END if kind == "end" or number == END else number


def _no_start(options: Any) -> RefusalError:
    """The text names the class of the real server's own that has the field that is not set."""
    of = "AllOptions+AllOption" if options.WhichOneof("stream_option") == "all" else "StreamOptions+RevisionOption"
    request = options.DESCRIPTOR.containing_type.name
    return invalid(f"'None' is not a valid {SERVER_NAMESPACE}.{request}+Types+{of}OneofCase")


def config_of(log: Log, options: Any, old: Config | None) -> Config:
    """From a Create or (with `old`) an Update. Raises what the protocol has for each wrong value."""
    source, start = target(options)
    group, settings = options.group_name, options.settings
    strategy = getattr(settings, "consumer_strategy", "")
    if not strategy:
        enum = settings.named_consumer_strategy
        strategy = STRATEGIES[enum] if 0 <= enum < 3 else str(enum)
    if not source or (source == ALL and options.WhichOneof("stream_option") != "all"):
        raise failed(source, group, "Bad stream name.")
    if strategy not in STRATEGIES:
        raise failed(source, group, f"Consumer strategy {strategy} does not exist.")
    if start >= 2**63:
        raise HandlerError("out of range")
    if source == ALL and start > offset(log.head):
        raise failed(
            source,
            group,
            "Invalid Start From position: commit position must be less than or equal to the last commit position "
            "in the transaction file.",
        )
    start_position = None
    if source == ALL and start != FROM_END:
        number = number_of(start)
        if options.all.WhichOneof("all_option") == "position":
            start_position = [start, options.all.position.prepare_position]
        start = NOWHERE if number is None else number
    return Config(
        source=source,
        group=group,
        start=start,
        first=_end(log, source) if start == FROM_END else start,
        strategy=strategy,
        resolve_links=settings.resolve_links,
        extra_statistics=settings.extra_statistics,
        message_timeout_ms=_milliseconds(settings, "message_timeout"),
        max_retry_count=settings.max_retry_count,
        checkpoint_after_ms=_milliseconds(settings, "checkpoint_after"),
        min_checkpoint_count=settings.min_checkpoint_count,
        max_checkpoint_count=settings.max_checkpoint_count,
        max_subscriber_count=settings.max_subscriber_count,
        live_buffer_size=settings.live_buffer_size,
        read_batch_size=settings.read_batch_size,
        history_buffer_size=settings.history_buffer_size,
        start_position=start_position,
        **_filter(options, old),
    )


def check_sizes(config: Config) -> None:
    if config.read_batch_size >= config.history_buffer_size:
        reason = "ReadBatchSize may not be greater than or equal to BufferSize"
        reason = f"Specified argument was out of the range of valid values. (Parameter '{reason}')"
        raise failed(config.source, config.group, reason)


def _end(log: Log, source: str) -> int:
    if source == ALL:
        return log.head + 1
    newest = log.last_of(source)
    return 0 if newest is None else newest.revision + 1


def _milliseconds(settings: Any, name: str) -> int:
    ticks, milliseconds = f"{name}_ticks", f"{name}_ms"
    if settings.WhichOneof(name) == ticks:
        return int(getattr(settings, ticks) / 10_000)  # towards 0
    return int(getattr(settings, milliseconds))


def shown(milliseconds: int) -> int:
    """A time as the information of a group has it."""
    return milliseconds if LEAST_INT32 <= milliseconds < -LEAST_INT32 else LEAST_INT32


def _filter(options: Any, old: Config | None) -> dict[str, Any]:
    if old is not None:
        return {"by_type": old.by_type, "regex": old.regex, "prefixes": old.prefixes}
    if options.WhichOneof("stream_option") != "all" or options.all.WhichOneof("filter_option") != "filter":
        return {}
    filter_ = options.all.filter
    kind = filter_.WhichOneof("filter")
    if kind is None:
        raise invalid("a filter needs an expression")
    expression = getattr(filter_, kind)
    wanted = {"by_type": kind == "event_type", "regex": expression.regex, "prefixes": list(expression.prefix)}
    matching(**wanted)  # raises for what cannot be used
    return wanted
