"""Causation in the life of an order: commands, their events, the process's reactions, and their results.

An event names its cause: the request that led to it, or the event to which a process reacted. The tree is built from
that alone. Its events are read from the order's own stream, from that of its process, and from the streams of the
reserved stock, without the events of other orders.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.domain.checkout import CHECKOUT
from core.domain.order.events import LineAdded, OrderPlaced
from core.domain.stock import STOCK
from core.eventstore import codec
from core.eventstore.client import RecordedEvent, position_of
from core.eventstore.log import EventLog
from protos.orders.v1 import queries_pb2 as pb
from server.queries import time_travel
from server.queries.event_entries import to_entries
from server.queries.paging import fitting

MAX_EVENTS = 10_000  # events in one tree, and events read in the stream of one product's stock
NEAR = 500  # events
UNKNOWN = ""


@dataclass(frozen=True, slots=True)
class Life:
    """Every event of an order, of its process and of its stock, in the order of the log."""

    events: Sequence[RecordedEvent]
    entries: Sequence[pb.HistoryEntry]  # of each event
    truncated: bool


async def life(log: EventLog, order_id: str) -> Life:
    """Raises `NotFound`."""
    of_order = await time_travel.history(log, order_id)
    own = of_order + (await log.complete_stream(CHECKOUT.stream(order_id)) or [])
    causes = {str(event.id) for event in own}
    first = position_of(of_order[0])
    truncated = False
    for sku in _skus(of_order):
        stream = STOCK.stream(sku)
        start = await _revision_at(log, stream, first)
        of_stock = [event async for event in log.events(stream, start, MAX_EVENTS + 1, may_be_deleted=True)]
        truncated = truncated or len(of_stock) > MAX_EVENTS
        for event in of_stock[:MAX_EVENTS]:
            metadata = codec.decode_metadata(event.metadata)
            if metadata is not None and metadata.causation_id in causes:
                own.append(event)
                causes.add(str(event.id))
    own.sort(key=position_of)
    events = own[:MAX_EVENTS]
    entries = await to_entries(log, events)
    most = fitting(entries)
    return Life(events[:most], entries[:most], truncated or len(own) > most)


def tree(life: Life) -> Iterator[pb.CausationNode]:
    """The nodes, depth first, each level in the order of the log."""
    events, entries = life.events, {entry.event_id: entry for entry in life.entries}
    known = {str(event.id) for event in events}
    commands: dict[tuple[str, str], list[RecordedEvent]] = {}
    caused: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for event in events:
        metadata = codec.decode_metadata(event.metadata)
        # an event that no command of ours has written is its own root
        key = (str(event.id) if metadata is None else metadata.request_id, event.stream_name)
        if key not in commands:
            cause = UNKNOWN if metadata is None else metadata.causation_id
            caused[cause if cause in known else UNKNOWN].append(key)
        commands.setdefault(key, []).append(event)
    # a stack and no recursion: chains may be long
    waiting: list[tuple[int, tuple[str, str] | RecordedEvent]] = [(0, key) for key in reversed(caused[UNKNOWN])]
    while waiting:
        depth, item = waiting.pop()
        if isinstance(item, RecordedEvent):
            caused_event = pb.CausedEvent(stream=item.stream_name, entry=entries[str(item.id)])
            yield pb.CausationNode(depth=depth, event=caused_event)
            waiting += [(depth + 1, key) for key in reversed(caused[str(item.id)])]
            continue
        first = commands[item][0]
        yield pb.CausationNode(depth=depth, command=_command(first.stream_name, entries[str(first.id)]))
        waiting += [(depth + 1, event) for event in reversed(commands[item])]


def _command(stream: str, entry: pb.HistoryEntry) -> pb.CausedCommand:
    """The command of its first event."""
    return pb.CausedCommand(
        request_id=entry.request_id,
        stream=stream,
        actor=entry.actor,
        occurred_at=entry.occurred_at if entry.HasField("occurred_at") else None,
        correlation_id=entry.correlation_id,
    )


def _skus(events: Sequence[RecordedEvent]) -> list[str]:
    """For every line that the order ever had."""
    skus: dict[str, None] = {}
    for event in events:
        try:
            data: Any = codec.decode(event.type, event.data)
        except codec.CodecError:
            continue  # the tree shows it as it is stored
        if isinstance(data, LineAdded):
            skus[data.sku] = None
        elif isinstance(data, OrderPlaced):
            skus |= dict.fromkeys(line.sku for line in data.lines)
    return list(skus)


async def _revision_at(log: EventLog, stream: str, position: int) -> int:
    """A revision shortly before a position of the log, found in a few reads of one event, however long the stream
    is.
    """

    async def is_behind(revision: int) -> bool:
        found = await log.stream(stream, revision, 1)
        return not found or position_of(found[0]) >= position

    low, high = 0, NEAR
    while not await is_behind(high):
        low, high = high, high * 2
    while low + NEAR < high:
        middle = (low + high) // 2
        low, high = (low, middle) if await is_behind(middle) else (middle, high)
    return low
