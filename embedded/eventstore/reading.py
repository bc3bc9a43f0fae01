"""The Read RPC: finite reads both ways, and catch-up subscriptions."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NamedTuple

import grpc

from embedded.eventstore.errors import HandlerError, RefusalError, invalid, stream_deleted
from embedded.eventstore.event_encoding import EventEncoder, is_hidden
from embedded.eventstore.filtering import Wanted, filter_of, require_window
from embedded.eventstore.live_feed import LiveFeed, Subscriber
from embedded.eventstore.log import Log
from embedded.eventstore.messages import streams_pb2
from embedded.eventstore.positions import last_number, number_of, offset
from embedded.eventstore.records import TOMBSTONE, Entry, Retention
from embedded.eventstore.requests import END, name_of, none_of
from embedded.eventstore.wire import MESSAGES

PAGE = 500
SMALL_PAGE = 4  # entries; the next page is twice as large, until one has enough that pass the filter
DEFAULT_WINDOW = 32
FIRST_PAGE = 32  # revisions; if none of them can be read, newer clients get the next readable revision
DIRECTIONS = {0: "Forwards", 1: "Backwards"}
NAMES = {
    "stream": "Stream", "all": "All", "count": "Count", "subscription": "Subscription", "filter": "Filter",
    "no_filter": "NoFilter", None: "None",
}  # fmt: skip
MATCHES = 32  # events that pass the filter, after which a page of a filtered subscription ends
Position = tuple[int, int]  # commit and prepare


class Reading:
    """The handler of the RPC."""

    def __init__(self, log: Log, feed: LiveFeed) -> None:
        self._log, self._feed = log, feed

    async def read(self, request: Any, _: Any) -> AsyncGenerator[bytes, None]:
        options = request.options
        _check(request)
        source, count, forwards = (
            options.WhichOneof("stream_option"),
            _chosen(options, "count"),
            not options.read_direction,
        )
        structured = not options.uuid_option.HasField("string")
        encode = EventEncoder(self._log, structured=structured, links=options.resolve_links)
        wanted = filter_of(options.filter) if _chosen(options, "filter") == "filter" else None
        if wanted is not None:
            require_window(options.filter)
        if source == "stream":
            stream = name_of(options.stream.stream_identifier)
            produced = (
                self._subscribe_stream(stream, options.stream, encode)
                if count == "subscription"
                else self._read_stream(stream, options, encode, forwards=forwards)
            )
        elif count == "subscription":
            produced = self._subscribe_all(options, wanted, encode)
        else:
            produced = self._read_all(options, wanted, encode, forwards=forwards)
        async with aclosing(produced):  # a subscription leaves the feed as soon as its caller goes
            async for message in produced:
                yield message

    # -------------------------------------------------------------- finite

    async def _read_stream(
        self, stream: str, options: Any, encode: EventEncoder, *, forwards: bool
    ) -> AsyncGenerator[bytes, None]:
        asked = _revision(options.stream)
        last, retention = self._state_to_read(stream, from_end=forwards and asked == END)
        if last < 0 or retention.soft_deleted:
            response = streams_pb2.ReadResp()
            response.stream_not_found.stream_identifier.stream_name = stream.encode()
            yield response.SerializeToString()
            return
        low, oldest = self._log.visible(stream, retention, last)
        at = max(asked, low) if forwards else min(asked, last)
        positions = options.control_option.compatibility >= 1
        unread = forwards and positions  # and nothing was found to read yet
        first_page_end = asked + min(options.count, FIRST_PAGE)
        left = min(options.count, TOMBSTONE)
        while left > 0 and low <= at <= last:
            page = self._log.stream_page(stream, at, forwards=forwards, count=min(left, PAGE))
            for entry in page:
                if entry.revision >= low and entry.created >= oldest:
                    if unread and entry.revision >= first_page_end:
                        yield _first_position(entry.revision)
                    unread = False
                    left -= 1
                    yield encode(entry)
            if not page:
                break
            at = page[-1].revision + (1 if forwards else -1)
            await asyncio.sleep(0)
        for position in _first_positions(asked, low, last) if unread else ():
            yield position
        if positions:
            yield streams_pb2.ReadResp(last_stream_position=last).SerializeToString()

    def _state_to_read(self, stream: str, *, from_end: bool) -> tuple[int, Retention]:
        """The same as `_state`; raises for what a real server cannot read."""
        if not from_end:
            last, retention = self._state(stream)
            if not retention.is_unreadable:
                return last, retention
        raise _unexpected("ReadStreamResult", "Error")

    async def _read_all(
        self, options: Any, wanted: Wanted | None, encode: EventEncoder, *, forwards: bool
    ) -> AsyncGenerator[bytes, None]:
        place = _place(options.all)
        if place.is_beyond(self._log.head):
            if not forwards:
                raise _unexpected(_result_of_all(wanted), "Error")
            return
        if place.number is None:
            raise _unexpected(_result_of_all(wanted), "InvalidPosition")
        at = place.number - 1 if forwards and place.number > 0 else place.number
        left = min(options.count, TOMBSTONE)
        size = min(max(left, SMALL_PAGE), PAGE)  # who asks for one event does not pay for a page of them
        while left > 0 and (page := self._log.all_page(at, forwards=forwards, count=size)):
            for entry in page:
                if not is_hidden(entry.stream) and (wanted is None or wanted(entry)):
                    yield encode(entry)
                    left -= 1
                    if not left:
                        return
            at = page[-1].position
            size = min(2 * size, PAGE)
            await asyncio.sleep(0)

    # -------------------------------------------------------------- endless

    async def _subscribe_stream(self, stream: str, options: Any, encode: EventEncoder) -> AsyncGenerator[bytes, None]:
        last, _ = self._state(stream)
        asked = _revision(options)
        at = {"start": -1, "end": last}.get(options.WhichOneof("revision_option"), last if asked == END else asked)
        seen = at  # the last revision that was sent
        subscriber = Subscriber(stream)
        self._feed.add(subscriber)
        try:
            yield _confirmation()
            is_live = False
            while True:
                subscriber.arm()
                page = self._log.stream_page(stream, at + 1, forwards=True, count=PAGE)
                if not page:
                    if not is_live:
                        is_live = True
                        yield _caught_up(revision=seen)
                    await subscriber.wait()
                    continue
                low, oldest = (0, 0)
                if not is_live:  # a live subscription gets every event, as if it had never been slow
                    low, oldest = self._log.visible(stream, self._log.retention(stream), self._last(stream))
                    if page[-1].revision < low <= self._last(stream):
                        at = low - 1
                        continue
                for entry in page:
                    if entry.revision == TOMBSTONE:
                        yield encode(entry)
                        raise stream_deleted(stream)
                    if entry.revision >= low and entry.created >= oldest:
                        seen = entry.revision
                        yield encode(entry)
                at = page[-1].revision
                await asyncio.sleep(0)
        finally:
            self._feed.remove(subscriber)

    async def _subscribe_all(
        self, options: Any, wanted: Wanted | None, encode: EventEncoder
    ) -> AsyncGenerator[bytes, None]:
        place = _place(options.all)
        at = self._log.head if place.is_end else place.after(self._log.head)
        start = (offset(at or 0),) * 2 if place.is_end else (place.commit, place.prepare)
        after_event = place.number == at and at != 0
        passage = _Passage(options.filter if wanted else None, wanted, start, after_event=after_event)
        subscriber = Subscriber(None, passage.skips_not)
        subscriber.at = at or 0
        self._feed.add(subscriber)
        try:
            yield _confirmation()
            if at is None:
                raise invalid("Trying to read from an invalid position.")
            if passage.begins_with_checkpoint:
                yield _checkpoint(passage.place)
            while True:
                subscriber.arm()
                page = self._log.all_page(subscriber.at, forwards=True, count=PAGE)
                for entry in page:
                    due = passage.consider(entry)
                    if passage.matches:
                        yield encode(entry)
                    if due:
                        yield _checkpoint(passage.place)
                    subscriber.at = entry.position
                if page:
                    await asyncio.sleep(0)
                    continue
                if not passage.is_live:
                    if passage.end_history():
                        yield _checkpoint(passage.place)
                    yield _caught_up(position=passage.place)
                    continue  # what came while the client took this has not been looked at
                await subscriber.wait()
        finally:
            self._feed.remove(subscriber)

    def _last(self, stream: str) -> int:
        newest = self._log.last_of(stream)
        return -1 if newest is None else newest.revision

    def _state(self, stream: str) -> tuple[int, Retention]:
        """Last revision (-1: none) and limits; raises for a tombstoned stream, and for the metadata of one."""
        newest = self._log.last_of(stream)
        owner = stream.removeprefix("$$")
        dead = newest if owner == stream else self._log.last_of(owner)
        if (dead is not None and dead.revision == TOMBSTONE) or (newest and newest.revision == TOMBSTONE):
            raise stream_deleted(stream)
        return (-1 if newest is None else newest.revision), self._log.retention(stream)


class _Passage:
    """What one subscription makes of each entry: is it wanted, is a checkpoint due, and where does it stand.

    History is gone through in pages: of as many events as the window of the filter holds, or as 32 that pass it. A
    page can make a checkpoint due, which then says where its last event stands that passed, or else its first one,
    with a prepare position of 0. Live, a checkpoint says where the last event stands that was considered.
    """

    def __init__(self, filter_: Any, wanted: Wanted | None, start: Position, *, after_event: bool) -> None:
        self._wanted = wanted
        self._interval = self._window = 0
        if filter_ is not None:
            self._window = filter_.max if filter_.WhichOneof("window") == "max" else DEFAULT_WINDOW
            self._interval = max(self._window, 1) * filter_.checkpointIntervalMultiplier
            if not self._interval:
                raise HandlerError("no checkpoint interval")
        self._considered = 0  # since a checkpoint was due
        self._of_page = int(after_event)  # the event that it begins after counts
        self._matches_of_page = 0
        self._is_first_page = True
        self._place: Position | int = start  # a number stands for both positions of that record
        self.is_live = False
        self.matches = False
        self.begins_with_checkpoint = after_event and 0 < self._window <= self._of_page and self._end_page()

    @property
    def place(self) -> Position:
        """Its position, as callers see it."""
        if isinstance(self._place, int):
            self._place = (offset(self._place),) * 2
        return self._place

    def consider(self, entry: Entry) -> bool:
        """Take one more entry; sets `matches`, returns whether a checkpoint is due after it."""
        if is_hidden(entry.stream):
            self.matches = False
            return False
        self.matches = self._wanted is None or self._wanted(entry)
        if not self._interval:
            self._place = entry.position
            return False
        if not self.is_live:
            return self._consider_in_page(entry)
        self._considered += 1
        self._place = entry.position
        if self._considered < self._interval:
            return False
        self._considered = 0
        return True

    def _consider_in_page(self, entry: Entry) -> bool:
        if not self._window:
            raise HandlerError("a page of nothing")
        if self.matches:
            self._place = entry.position
            self._matches_of_page += 1
        elif not self._of_page and not self._is_first_page:
            self._place = (offset(entry.position), 0)
        self._of_page += 1
        if self._of_page < self._window and self._matches_of_page < MATCHES:
            return False
        return self._end_page()

    def _end_page(self) -> bool:
        self._considered += self._of_page
        self._of_page, self._matches_of_page, self._is_first_page = 0, 0, False
        due = self._considered >= self._interval
        self._considered %= self._interval
        return due

    def skips_not(self, entry: Entry) -> bool:
        """Whether there is something to send for the entry. If not, it counts as considered."""
        if not self.is_live:
            return True
        if is_hidden(entry.stream):
            return False
        due = self._interval and self._considered + 1 >= self._interval
        try:
            if due or self._wanted is None or self._wanted(entry):
                return True
        except RefusalError:
            return True  # the subscription itself is to meet it, not who wrote the entry
        self._considered += 1
        return False

    def end_history(self) -> bool:
        """From here on it is live; returns whether that calls for a checkpoint."""
        self.is_live = True
        due = self._interval > 0 and self._considered + self._of_page > 0
        self._considered = 0
        return due


class _Place(NamedTuple):
    """Where in `$all` a caller wants to begin: a position as it was sent, or the end."""

    commit: int
    prepare: int

    @property
    def is_end(self) -> bool:
        return self == (END, END)

    @property
    def number(self) -> int | None:
        """The record there, beyond all for the end; None if there can be none."""
        return TOMBSTONE if self.is_end else number_of(self.commit)

    def is_beyond(self, head: int) -> bool:
        """Whether the log ends before it."""
        return offset(head + 1) <= self.commit <= TOMBSTONE

    def after(self, head: int) -> int | None:
        """The last record that a subscription leaves out; None if no record is there, though the log goes on.

        A position whose prepare is smaller, as that of some checkpoints, stands before the record at its commit.
        """
        if self.is_beyond(head):
            return last_number(self.commit)
        number = self.number
        return max(number - 1, 0) if number is not None and self.prepare < self.commit else number


def _place(options: Any) -> _Place:
    match options.WhichOneof("all_option"):
        case "start":
            return _Place(0, 0)
        case "end":
            return _Place(END, END)
        case None:
            raise HandlerError("no position")
    commit, prepare = options.position.commit_position, options.position.prepare_position
    if commit < prepare:
        raise HandlerError("commit before prepare")
    if TOMBSTONE < commit < END:
        raise HandlerError("out of range")
    return _Place(commit, prepare)


def _result_of_all(wanted: Wanted | None) -> str:
    return "ReadAllResult" if wanted is None else "FilteredReadAllResult"


def _unexpected(kind: str, result: str) -> RefusalError:
    return RefusalError(grpc.StatusCode.UNKNOWN, f"Unexpected {kind}: {result}")


def _check(request: Any) -> None:
    """Refuse what says too little, or what does not go together."""
    if not request.HasField("options"):
        raise HandlerError("no options")
    options = request.options
    source, count, filtered = (_chosen(options, option) for option in ("stream", "count", "filter"))
    if source is None:
        raise none_of(options, "stream_option")
    if not options.HasField("uuid_option"):
        raise invalid(
            " `uuidOption` is a required argument of type "
            "EventStore.Client.Streams.ReadReq+Types+Options+Types+UUIDOption"
        )
    direction = DIRECTIONS.get(options.read_direction, str(options.read_direction))
    legal = count and filtered and direction in DIRECTIONS.values() and (source, filtered) != ("stream", "filter")
    if not legal or (count == "subscription" and direction != "Forwards"):
        names = (NAMES[source], NAMES[count], direction, NAMES[filtered])
        raise invalid(f"The combination of ({', '.join(names)}) is invalid.")


def _chosen(options: Any, option: str) -> str | None:
    chosen: str | None = options.WhichOneof(f"{option}_option")
    return chosen


def _revision(options: Any) -> int:
    """The revision that was asked for; `END` for the end."""
    match options.WhichOneof("revision_option"):
        case "start":
            return 0
        case "end":
            return END
        case "revision":
            if TOMBSTONE < options.revision < END:
                raise HandlerError("out of range")
            return int(options.revision)
        case _:
            raise HandlerError("no revision")


def _first_position(revision: int) -> bytes:
    return bytes(streams_pb2.ReadResp(first_stream_position=revision).SerializeToString())


def _first_positions(asked: int, low: int, last: int) -> list[bytes]:
    """Where a stream goes on that has no event to read from the one that was asked for."""
    if asked == last + 1:
        return []
    beyond = [low] if asked <= last and low > last + 1 else []
    return [_first_position(revision) for revision in (*beyond, last + 1)]


def _confirmation() -> bytes:
    response = streams_pb2.ReadResp()
    response.confirmation.subscription_id = str(uuid.uuid4())
    return bytes(response.SerializeToString())


def _checkpoint(place: Position) -> bytes:
    newer = MESSAGES["Checkpoint"](commit_position=place[0], prepare_position=place[1])
    newer.timestamp.GetCurrentTime()
    response = streams_pb2.ReadResp()
    response.checkpoint.MergeFromString(newer.SerializeToString())
    return bytes(response.SerializeToString())


def _caught_up(*, revision: int = -1, position: Position | None = None) -> bytes:
    """Of a stream to a revision, -1 for none, or of `$all` to a position."""
    newer = MESSAGES["CaughtUp"]()
    newer.timestamp.GetCurrentTime()
    if position is not None:
        newer.position.SetInParent()
        newer.position.commit_position, newer.position.prepare_position = position
    elif revision >= 0:
        newer.stream_revision = revision
    response = streams_pb2.ReadResp()
    response.caught_up.MergeFromString(newer.SerializeToString())
    return bytes(response.SerializeToString())
