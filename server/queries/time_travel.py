"""Time travel: an order at any moment of its past, folded from the log by the view's own code, and differences."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from google.protobuf import json_format

from core.eventstore import codec
from core.eventstore.client import RecordedEvent
from core.eventstore.codec import CodecError
from core.eventstore.exclusions import Excluded, is_excluded, unreadable
from core.eventstore.log import EventLog
from core.eventstore.recorded import Recorded
from core.eventstore.registry import BY_EVENT
from core.failures import InvalidRequest, NotFound, UnreadableEvent
from core.readmodel.views.order_detail import OrderDetail, order_detail
from core.security.owners import require_own_order, restricted_to
from protos.orders.v1 import queries_pb2 as pb
from protos.orders.v1 import types_pb2 as types
from server.queries import mapping
from server.queries.event_entries import unread_reason

log = structlog.get_logger()

KEYS = {
    "lines": "line_id",
    "shipments": "shipment_id",
    "authorisations": "authorisation_id",
    "captures": "capture_id",
    "refunds": "refund_id",
    "discounts": "discount_id",
    "cancellations": "cancellation_id",
    "returns": "return_id",
    "notes": "note_id",
}  # lists whose elements have a name of their own


async def history(log: EventLog, order_id: str) -> list[RecordedEvent]:
    """Every event of the order. Raises `NotFound`.

    In a restricted call, the owner is checked before anything else can fail. An order whose first event cannot be read
    has no known owner, so it is not found either.
    """
    events = await log.complete_stream(f"order-{order_id}")
    if events is None:
        raise NotFound("ORDER_NOT_FOUND", order_id=order_id)
    if restricted_to():
        first, _ = (await known(log, events[:1])).folded(1)
        require_own_order("" if first is None else first["customer_id"], order_id)
    return events


def until(events: Sequence[RecordedEvent], moment: pb.Moment, field: str) -> Sequence[RecordedEvent]:
    """The events up to the moment. `field` is named if there is no such moment."""
    match moment.WhichOneof("moment"):
        case "revision":
            if moment.revision >= len(events):
                last = len(events) - 1
                raise InvalidRequest({f"{field}.revision": f"the order's last revision is {last}"})
            return events[: moment.revision + 1]
        case "time":
            return events[: _count_until(events, moment.time.ToDatetime(tzinfo=UTC))]
        case _:
            raise InvalidRequest({field: "needs a revision or a time"})


def between(events: Sequence[RecordedEvent], request: pb.DiffOrderRequest) -> tuple[int, int]:
    """The number of events up to each of the two moments. Raises `InvalidRequest` if they are in the wrong order."""
    start = until(events, request.since, "since") if request.HasField("since") else []
    end = until(events, request.until, "until") if request.HasField("until") else events
    if len(end) < len(start):
        raise InvalidRequest({"until": "must not be before since"})
    return len(start), len(end)


def _count_until(events: Sequence[RecordedEvent], at: datetime) -> int:
    """The number of events up to the last one that was recorded not later than `at`.

    The clock of the store can go back. A moment is still a prefix of the stream: an event is decided on all
    events before it, so a fold that skips one of these shows an order that never existed.
    """
    recorded = (
        n for n, event in enumerate(events, start=1) if event.recorded_at is not None and event.recorded_at <= at
    )
    return max(recorded, default=0)


@dataclass(frozen=True, slots=True)
class Known:
    """The readable events of an order, up to the first unreadable one; `unread` is that one.

    An order without one of its events may never have existed, so the order is shown as it was before that event.
    """

    events: Sequence[Recorded[Any]]
    failure: UnreadableEvent | None = None
    unread: pb.Unread | None = None

    def folded(self, events: int) -> tuple[OrderDetail | None, pb.Unread | None]:
        """The order's document, and what it lacks of so many events."""
        document: OrderDetail | None = None
        for event in self.events:
            try:
                document = order_detail.fold(document, [event])
            except Exception as error:  # noqa: BLE001  # as in the view, the order is shown as it was before
                log.error("an event cannot be folded", stream=event.stream, revision=event.revision, error=str(error))
                return document, pb.Unread(
                    revision=event.revision,
                    event_type=BY_EVENT[type(event.data)].name,
                    reason=pb.UNREAD_REASON_FAILED,
                    events=events - event.revision,
                )
        return document, self.unread


async def known(log: EventLog, events: Sequence[RecordedEvent]) -> Known:
    """The readable events of one order, in their order."""
    excluded: Excluded | None = None
    found: list[Recorded[Any]] = []
    for index, event in enumerate(events):
        if codec.is_of_the_store(event.type):
            continue
        try:
            found.append(codec.recorded(event))
        except CodecError as error:
            if excluded is None:
                excluded = await log.excluded(event.stream_name)
            if not is_excluded(event, excluded):
                return Known(found, unreadable(event, error), to_unread(event, len(events) - index))
    return Known(found)


def to_unread(event: RecordedEvent, events: int) -> pb.Unread:
    """`events` is the number of events that are not shown: this event, and those behind it."""
    return pb.Unread(revision=event.stream_position, event_type=event.type, reason=unread_reason(event), events=events)


async def order_of(
    log: EventLog, order_id: str, events: Sequence[RecordedEvent]
) -> tuple[types.Order | None, pb.Unread | None]:
    """The order after these events, None before the first; and what it lacks.

    Raises `UnreadableEvent` if no event can be read.
    """
    read = await known(log, events)
    if read.failure is not None and not read.events:
        raise read.failure
    document, unread = read.folded(len(events))
    return None if document is None else mapping.order({"_id": order_id, **document}), unread


def changes(before: types.Order | None, after: types.Order | None) -> list[pb.FieldChange]:
    was, now = dict(_fields(before)), dict(_fields(after))
    return [
        pb.FieldChange(path=path, before_json=was.get(path, ""), after_json=now.get(path, ""))
        for path in sorted(was.keys() | now.keys())
        if was.get(path) != now.get(path)
    ]


def _fields(order: types.Order | None) -> Iterator[tuple[str, str]]:
    """Each field that is set, by its path, as JSON."""
    if order is not None:
        yield from _leaves("", json_format.MessageToDict(order, preserving_proto_field_name=True))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(f"{path}.{name}" if path else name, inner)
    elif isinstance(value, list):
        key = KEYS.get(path.rpartition(".")[2])
        for index, inner in enumerate(value):
            name = inner[key] if key and isinstance(inner, dict) else index
            yield from _leaves(f"{path}[{name}]", inner)
    else:
        yield path, json.dumps(value, ensure_ascii=False)
