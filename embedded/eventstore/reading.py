"""The Read RPC: finite reads both ways, and catch-up subscriptions."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NamedTuple

import grpc
from esdbclient.protos.Grpc import streams_pb2

from embedded.eventstore.errors import HandlerError, RefusalError, invalid, stream_deleted
from embedded.eventstore.filtering import Wanted, filter_of
from embedded.eventstore.following import Feed, Follower
from embedded.eventstore.log import Log
from embedded.eventstore.positions import last_number, number_of, offset
from embedded.eventstore.records import TOMBSTONE, Entry, Limits
from embedded.eventstore.requests import END, clamp, name_of
from embedded.eventstore.shaping import Shape, is_hidden

PAGE = 500
DEFAULT_WINDOW = 32


class Reading:
    """The handler of the RPC."""

    def __init__(self, log: Log, feed: Feed) -> None:
        self._log, self._feed = log, feed

    async def read(self, request: Any, _: Any) -> AsyncGenerator[bytes, None]:
        options = request.options
        source, count, filtering = (options.WhichOneof(n) for n in ("stream_option", "count_option", "filter_option"))
        forwards = options.read_direction == 0
        legal = source and count and filtering and not (source == "stream" and filtering == "filter")
        if not legal or (count == "subscription" and not forwards) or options.read_direction not in (0, 1):
            raise invalid(f"The combination of {source}, {count}, {filtering} is invalid.")
        if options.uuid_option.WhichOneof("content") is None:
            raise invalid("no uuid option")
        shape = Shape(self._log, structured=options.uuid_option.HasField("structured"), links=options.resolve_links)
        wanted = filter_of(options.filter) if filtering == "filter" else None
        if source == "stream":
            stream = name_of(options.stream.stream_identifier)
            produced = (
                self._subscribe_stream(stream, options.stream, shape)
                if count == "subscription"
                else self._read_stream(stream, options, shape, forwards=forwards)
            )
        elif count == "subscription":
            produced = self._subscribe_all(options, wanted, shape)
        else:
            produced = self._read_all(options, wanted, shape, forwards=forwards)
        async with aclosing(produced):  # a subscription leaves the feed as soon as its caller goes
            async for message in produced:
                yield message

    # -------------------------------------------------------------- finite

    async def _read_stream(
        self, stream: str, options: Any, shape: Shape, *, forwards: bool
    ) -> AsyncGenerator[bytes, None]:
        last, limits = self._state(stream)
        if last < 0 or limits.soft_deleted:
            response = streams_pb2.ReadResp()
            response.stream_not_found.stream_identifier.stream_name = stream.encode()
            yield response.SerializeToString()
            return
        low, oldest = limits.visible(last)
        asked = _revision(options.stream)
        at = max(asked, low) if forwards else min(asked, last)
        first_page, positions = True, options.control_option.compatibility >= 1
        left = min(options.count, TOMBSTONE)
        while left > 0 and low <= at <= last:
            page = self._log.stream_page(stream, at, forwards=forwards, count=min(left, PAGE))
            for entry in page:
                if entry.revision >= low and entry.created >= oldest:
                    first_page = False
                    left -= 1
                    yield shape(entry)
            if not page:
                break
            at = page[-1].revision + (1 if forwards else -1)
            await asyncio.sleep(0)
        if positions:
            if forwards and first_page:
                beyond = last + 1 if asked > last else low
                if asked != beyond:
                    yield streams_pb2.ReadResp(first_stream_position=beyond).SerializeToString()
            yield streams_pb2.ReadResp(last_stream_position=last).SerializeToString()

    async def _read_all(
        self, options: Any, wanted: Wanted | None, shape: Shape, *, forwards: bool
    ) -> AsyncGenerator[bytes, None]:
        place = _place(options.all)
        if place.is_beyond(self._log.head):
            if not forwards:
                raise _unexpected(wanted, "Error")
            return
        if place.number is None:
            raise _unexpected(wanted, "InvalidPosition")
        at = place.number - 1 if forwards and place.number > 0 else place.number
        left = min(options.count, TOMBSTONE)
        while left > 0 and (page := self._log.all_page(at, forwards=forwards, count=PAGE)):
            for entry in page:
                if not is_hidden(entry.stream) and (wanted is None or wanted(entry)):
                    yield shape(entry)
                    left -= 1
                    if not left:
                        return
            at = page[-1].position
            await asyncio.sleep(0)

    # -------------------------------------------------------------- endless

    async def _subscribe_stream(self, stream: str, options: Any, shape: Shape) -> AsyncGenerator[bytes, None]:
        last, _ = self._state(stream)
        asked = _revision(options)
        at = -1 if options.WhichOneof("revision_option") == "start" else (last if asked == TOMBSTONE else asked)
        follower = Follower(stream)
        self._feed.add(follower)
        try:
            yield _confirmation()
            told = False
            while True:
                follower.arm()
                page = self._log.stream_page(stream, at + 1, forwards=True, count=PAGE)
                if not page:
                    if not told:
                        told = True
                        yield CAUGHT_UP
                    await follower.wait()
                    continue
                low, oldest = (0, 0)
                if not told:  # live, every event is delivered, as it would be had nobody been slow
                    newest = self._log.last_of(stream)
                    low, oldest = self._log.limits(stream).visible(newest.revision if newest else -1)
                for entry in page:
                    if entry.revision == TOMBSTONE:
                        yield shape(entry)
                        raise stream_deleted(stream)
                    if entry.revision >= low and entry.created >= oldest:
                        yield shape(entry)
                at = page[-1].revision
                await asyncio.sleep(0)
        finally:
            self._feed.remove(follower)

    async def _subscribe_all(self, options: Any, wanted: Wanted | None, shape: Shape) -> AsyncGenerator[bytes, None]:
        place = _place(options.all)
        at = self._log.head if place.is_end else place.after(self._log.head)
        passage = _Passage(options.filter if wanted else None, wanted, start=at or 0)
        follower = Follower(None, passage.skips_not)
        follower.at = at or 0
        self._feed.add(follower)
        try:
            yield _confirmation()
            if at is None:
                raise invalid("Trying to read from an invalid position.")
            live = False
            while True:
                follower.arm()
                page = self._log.all_page(follower.at, forwards=True, count=PAGE)
                for entry in page:
                    due = passage.consider(entry)
                    if passage.matches:
                        yield shape(entry)
                    if due:
                        yield _checkpoint(entry.position)
                    follower.at = entry.position
                if page:
                    await asyncio.sleep(0)
                    continue
                if not live:
                    live = True
                    if passage.owes_checkpoint():
                        yield _checkpoint(passage.at)
                    yield CAUGHT_UP
                    continue  # what came while the client took this has not been looked at
                await follower.wait()
        finally:
            self._feed.remove(follower)

    def _state(self, stream: str) -> tuple[int, Limits]:
        """Last revision (-1: none) and limits; raises for a tombstoned stream, and for the metadata of one."""
        newest = self._log.last_of(stream)
        owner = stream.removeprefix("$$")
        dead = newest if owner == stream else self._log.last_of(owner)
        if (dead is not None and dead.revision == TOMBSTONE) or (newest and newest.revision == TOMBSTONE):
            raise stream_deleted(stream)
        return (-1 if newest is None else newest.revision), self._log.limits(stream)


class _Passage:
    """What one subscription makes of each entry: is it wanted, is a checkpoint due."""

    def __init__(self, filter_: Any, wanted: Wanted | None, start: int) -> None:
        self._wanted = wanted
        self._interval = 0
        if filter_ is not None:
            window = filter_.max if filter_.WhichOneof("window") == "max" else DEFAULT_WINDOW
            self._interval = window * filter_.checkpointIntervalMultiplier
            if not self._interval:
                raise HandlerError("no checkpoint interval")
        self._considered, self._last_checkpoint = 0, start
        self.at = start  # the last event considered; what is hidden is not
        self.matches = False

    def consider(self, entry: Entry) -> bool:
        """Take one more entry; sets `matches`, returns whether a checkpoint is due after it."""
        if is_hidden(entry.stream):
            self.matches = False
            return False
        self.matches = self._wanted is None or self._wanted(entry)
        self.at = entry.position
        self._considered += 1
        if not self._interval or self._considered < self._interval:
            return False
        self._considered, self._last_checkpoint = 0, entry.position
        return True

    def skips_not(self, entry: Entry) -> bool:
        """Whether there is something to send for the entry. If not, it counts as considered."""
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

    def owes_checkpoint(self) -> bool:
        """Whether the end of history calls for one."""
        if not self._interval or self.at <= self._last_checkpoint:
            return False
        self._last_checkpoint = self.at
        return True


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
            raise invalid("no position")
    commit, prepare = options.position.commit_position, options.position.prepare_position
    if commit < prepare:
        raise HandlerError("commit before prepare")
    if TOMBSTONE < commit < END:
        raise HandlerError("out of range")
    return _Place(commit, prepare)


def _unexpected(wanted: Wanted | None, result: str) -> RefusalError:
    kind = "ReadAllResult" if wanted is None else "FilteredReadAllResult"
    return RefusalError(grpc.StatusCode.UNKNOWN, f"Unexpected {kind}: {result}")


def _revision(options: Any) -> int:
    match options.WhichOneof("revision_option"):
        case "start":
            return 0
        case "end":
            return TOMBSTONE
        case "revision":
            return clamp(options.revision)
        case _:
            raise invalid("no revision")


def _confirmation() -> bytes:
    response = streams_pb2.ReadResp()
    response.confirmation.subscription_id = str(uuid.uuid4())
    return bytes(response.SerializeToString())


def _checkpoint(number: int) -> bytes:
    response = streams_pb2.ReadResp()
    response.checkpoint.commit_position = response.checkpoint.prepare_position = offset(number)
    return bytes(response.SerializeToString())


def _caught_up() -> bytes:
    response = streams_pb2.ReadResp()
    response.caught_up.SetInParent()
    return bytes(response.SerializeToString())


CAUGHT_UP = _caught_up()
