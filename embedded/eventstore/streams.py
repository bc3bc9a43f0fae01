"""The Streams service: append, read, subscribe, delete."""

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from esdbclient.protos.Grpc import shared_pb2, status_pb2, streams_pb2
from google.protobuf import any_pb2

from embedded.eventstore.log import (
    ANY,
    NO_STREAM,
    STREAM_EXISTS,
    TOMBSTONE,
    Deleted,
    Entry,
    Limits,
    Log,
    Outcome,
    Proposed,
    Written,
    WrongVersion,
    ticks,
)

Context = Any
MOST_BYTES = 1_048_576
PAGE = 500
END = 2**64 - 1
HIDDEN = re.compile(r"^(\$epoch-information|\$persistentsubscription-\$all::.*-(checkpoint|parked))$")


class HandlerError(Exception):
    """What the real server answers with "Exception was thrown by handler."."""


class RefusalError(Exception):
    """A failure that the protocol defines: code, text and trailers."""

    def __init__(self, code: grpc.StatusCode, detail: str, **trailers: object) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail
        self.trailers = tuple((k.replace("_", "-"), _ascii(str(v))) for k, v in trailers.items())


def _ascii(text: str) -> str:
    return "".join(c if 32 <= ord(c) < 127 and c != "%" else "".join(f"%{b:02X}" for b in c.encode()) for c in text)


def stream_deleted(stream: str) -> RefusalError:
    return RefusalError(
        grpc.StatusCode.FAILED_PRECONDITION,
        f"Event stream '{stream}' is deleted.",
        exception="stream-deleted",
        stream_name=stream,
    )


def uuid_bytes(message: shared_pb2.UUID) -> bytes:
    kind = message.WhichOneof("value")
    if kind == "string":
        try:
            raw = uuid.UUID(message.string).bytes
        except ValueError as error:
            raise HandlerError("not a UUID") from error
    elif kind == "structured":
        s = message.structured
        raw = s.most_significant_bits.to_bytes(8, "big", signed=True) + s.least_significant_bits.to_bytes(
            8, "big", signed=True
        )
    else:
        raise HandlerError("no id")
    if raw == bytes(16):
        raise HandlerError("empty id")
    return raw


def name_of(identifier: shared_pb2.StreamIdentifier) -> str:
    name = identifier.stream_name.decode()
    if name in ("", "$$"):
        raise HandlerError("bad stream name")
    return name


def expected_of(options: Any, oneof: str, number: str) -> int:
    match options.WhichOneof(oneof):
        case "no_stream":
            return NO_STREAM
        case "any":
            return ANY
        case "stream_exists":
            return STREAM_EXISTS
        case None:
            raise RefusalError(grpc.StatusCode.INVALID_ARGUMENT, "no expected revision")
        case _:
            return clamp(getattr(options, number))


def clamp(value: int) -> int:
    if value == END:
        return TOMBSTONE
    if value > TOMBSTONE:
        raise HandlerError("out of range")
    return value


def proposed_of(message: Any) -> Proposed:
    for key in ("type", "content-type"):
        if key not in message.metadata:
            raise RefusalError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"Required Metadata Property '{key}' is missing",
                exception="missing-required-metadata-property",
                required_metadata_properties="type,content-type",
            )
    if not message.metadata["type"]:
        raise HandlerError("empty type")
    return Proposed(
        uuid_bytes(message.id),
        message.metadata["type"],
        message.metadata["content-type"] == "application/json",
        message.data,
        message.custom_metadata,
    )


def size_of(event: Proposed) -> int:
    return len(event.data) + len(event.metadata) + len(event.type.encode("utf-16-le"))


def too_large() -> RefusalError:
    return RefusalError(
        grpc.StatusCode.INVALID_ARGUMENT,
        f"Maximum Append Size of {MOST_BYTES} Exceeded.",
        exception="maximum-append-size-exceeded",
        maximum_append_size=MOST_BYTES,
    )


class Streams:
    """Handlers for every RPC of the service; `node.py` registers them."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._stop_listening = log.on_commit(self._committed)

    def close(self) -> None:
        self._stop_listening()

    def _committed(self) -> None:
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _write(self, run: Callable[[Any], Outcome]) -> Written | WrongVersion | Deleted:
        future: asyncio.Future[Outcome] = self._loop.create_future()

        def done(outcome: Outcome) -> None:
            self._loop.call_soon_threadsafe(_settle, future, outcome)

        self._log.submit(run, done)
        outcome = await future
        if isinstance(outcome, BaseException):
            raise RefusalError(grpc.StatusCode.UNAVAILABLE, f"the log cannot be written: {outcome}") from outcome
        return outcome

    # -------------------------------------------------------------- Append

    async def append(self, requests: AsyncIterator[Any], _: Context) -> Any:
        stream, expected, options, events, size = "", ANY, None, [], 0
        async for request in requests:
            kind = request.WhichOneof("content")
            if (options is None) != (kind == "options"):
                raise HandlerError("options come first, and once")
            if kind == "options":
                options = request.options
                stream = name_of(options.stream_identifier)
                expected = expected_of(options, "expected_stream_revision", "revision")
                continue
            event = proposed_of(request.proposed_message)
            size += size_of(event)
            if size > MOST_BYTES:
                raise too_large()
            events.append(event)
        if options is None:
            raise HandlerError("no options")
        outcome = await self._write(lambda writer: writer.append(stream, expected, events))
        response = streams_pb2.AppendResp()
        match outcome:
            case Written(revision, position):
                _set_written(response.success, revision, position)
            case WrongVersion(actual):
                _set_wrong(response.wrong_expected_version, expected, actual)
            case Deleted():
                raise stream_deleted(stream)
        return response

    # -------------------------------------------------------------- BatchAppend

    async def batch_append(self, requests: AsyncIterator[Any], _: Context) -> AsyncIterator[Any]:
        answers: asyncio.Queue[Any] = asyncio.Queue()
        reading = asyncio.create_task(self._read_batches(requests, answers))
        try:
            while (answer := await answers.get()) is not None:
                yield answer
        finally:
            reading.cancel()

    async def _read_batches(self, requests: AsyncIterator[Any], answers: asyncio.Queue[Any]) -> None:
        pending: dict[bytes, _Batch] = {}
        in_flight = 0
        ended = False

        def answer(response: Any) -> None:
            nonlocal in_flight
            in_flight -= 1
            answers.put_nowait(response)
            if ended and not in_flight:
                answers.put_nowait(None)

        async for request in requests:
            key = request.correlation_id.SerializeToString(deterministic=True)
            batch = pending.get(key)
            if batch is None:
                if not request.HasField("options"):
                    continue
                batch = pending[key] = _Batch(request)
            problem = batch.take(request)
            if problem is not None:
                del pending[key]
                in_flight += 1
                answer(batch.error(*problem))
            elif request.is_final:
                del pending[key]
                in_flight += 1
                self._log.submit(batch.run, self._answering(batch, answer))
        ended = True
        if not in_flight:
            answers.put_nowait(None)

    def _answering(self, batch: "_Batch", answer: Callable[[Any], None]) -> Callable[[Outcome], None]:
        def done(outcome: Outcome) -> None:
            self._loop.call_soon_threadsafe(lambda: answer(batch.answer(outcome)))

        return done

    # -------------------------------------------------------------- Delete, Tombstone

    async def delete(self, request: Any, _: Context) -> Any:
        return await self._remove(request, "delete", streams_pb2.DeleteResp())

    async def tombstone(self, request: Any, _: Context) -> Any:
        return await self._remove(request, "tombstone", streams_pb2.TombstoneResp())

    async def _remove(self, request: Any, how: str, response: Any) -> Any:
        stream = name_of(request.options.stream_identifier)
        expected = expected_of(request.options, "expected_stream_revision", "revision")
        outcome = await self._write(lambda writer: getattr(writer, how)(stream, expected))
        match outcome:
            case Written(_, position):
                response.position.commit_position = response.position.prepare_position = position
            case WrongVersion(actual):
                raise RefusalError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Delete failed due to WrongExpectedVersion. Stream: {stream}, "
                    f"Expected version: {expected}, Actual version: {actual}",
                    exception="wrong-expected-version",
                    stream_name=stream,
                    expected_version=expected,
                    actual_version=actual,
                )
            case Deleted():
                raise stream_deleted(stream)
        return response

    # -------------------------------------------------------------- Read

    async def read(self, request: Any, _: Context) -> AsyncIterator[Any]:
        options = request.options
        kinds = (options.WhichOneof(name) for name in ("stream_option", "count_option", "filter_option"))
        source, count, filtering = kinds
        forwards = options.read_direction == 0
        legal = source and count and filtering and not (source == "stream" and filtering == "filter")
        if not legal or (count == "subscription" and not forwards):
            raise RefusalError(
                grpc.StatusCode.INVALID_ARGUMENT, f"The combination of {source}, {count}, {filtering} is invalid."
            )
        if options.uuid_option.WhichOneof("content") is None:
            raise RefusalError(grpc.StatusCode.INVALID_ARGUMENT, "no uuid option")
        shape = _Shape(self._log, structured=options.uuid_option.HasField("structured"), links=options.resolve_links)
        if source == "stream":
            stream = name_of(options.stream.stream_identifier)
            if count == "subscription":
                produced = self._subscribe_stream(stream, options.stream, shape)
            else:
                produced = self._read_stream(stream, options, shape, forwards=forwards)
        else:
            wanted = _filter_of(options) if filtering == "filter" else None
            if count == "subscription":
                produced = self._subscribe_all(options, wanted, shape)
            else:
                produced = self._read_all(options, wanted, shape, forwards=forwards)
        async for message in produced:
            yield message

    async def _read_stream(self, stream: str, options: Any, shape: "_Shape", *, forwards: bool) -> AsyncIterator[Any]:
        last, limits = self._state(stream)
        if last < 0 or limits.soft_deleted:
            response = streams_pb2.ReadResp()
            response.stream_not_found.stream_identifier.stream_name = stream.encode()
            yield response.SerializeToString()
            return
        low, oldest = _visible(stream, last, limits)
        match options.stream.WhichOneof("revision_option"):
            case "start":
                at = 0
            case "end":
                at = TOMBSTONE
            case "revision":
                at = clamp(options.stream.revision)
            case _:
                raise RefusalError(grpc.StatusCode.INVALID_ARGUMENT, "no revision")
        left = min(options.count, TOMBSTONE)
        at = max(at, low) if forwards else min(at, last)
        while left > 0:
            page = self._log.stream_page(stream, at, forwards=forwards, count=min(left, PAGE))
            for entry in page:
                if entry.revision < low:
                    return
                if entry.created >= oldest:
                    yield shape(entry)
            if len(page) < min(left, PAGE) or (not forwards and page[-1].revision == 0):
                return
            left -= len(page)
            at = page[-1].revision + (1 if forwards else -1)
            await asyncio.sleep(0)

    async def _read_all(
        self, options: Any, wanted: Callable[[Entry], bool] | None, shape: "_Shape", *, forwards: bool
    ) -> AsyncIterator[Any]:
        match options.all.WhichOneof("all_option"):
            case "start":
                at = 0
            case "end":
                at = TOMBSTONE
            case "position":
                at = _position(options.all.position)
            case _:
                raise RefusalError(grpc.StatusCode.INVALID_ARGUMENT, "no position")
        at = at - 1 if forwards else at
        left = min(options.count, TOMBSTONE)
        while left > 0:
            page = self._log.all_page(at, forwards=forwards, count=PAGE)
            for entry in page:
                if not HIDDEN.match(entry.stream) and (wanted is None or wanted(entry)):
                    yield shape(entry)
                    left -= 1
                    if not left:
                        return
            if len(page) < PAGE:
                return
            at = page[-1].position
            await asyncio.sleep(0)

    async def _subscribe_stream(self, stream: str, options: Any, shape: "_Shape") -> AsyncIterator[Any]:
        last, _ = self._state(stream)
        match options.WhichOneof("revision_option"):
            case "end":
                at = last
            case "revision":
                at = clamp(options.revision)
                at = last if at == TOMBSTONE else at
            case _:
                at = -1
        yield _confirmation()
        told = False
        while True:
            changed = self._changed
            page = self._log.stream_page(stream, at + 1, forwards=True, count=PAGE)
            if page:
                low, oldest = (
                    _visible(stream, page[-1].revision, self._log.limits(stream)) if stream[:2] != "$$" else (0, 0)
                )
                for entry in page:
                    if entry.revision == TOMBSTONE:
                        yield shape(entry)
                        raise stream_deleted(stream)
                    if entry.revision >= low and entry.created >= oldest:
                        yield shape(entry)
                at = page[-1].revision
            if len(page) < PAGE:
                if not told:
                    told = True
                    yield _CAUGHT_UP
                await changed.wait()

    async def _subscribe_all(  # noqa: C901, PLR0912  # one loop, from history into live
        self, options: Any, wanted: Callable[[Entry], bool] | None, shape: "_Shape"
    ) -> AsyncIterator[Any]:
        match options.all.WhichOneof("all_option"):
            case "end":
                at = self._log.head
            case "position":
                at = _position(options.all.position)
                at = self._log.head if at == TOMBSTONE else at
            case _:
                at = 0
        interval = 0
        if wanted is not None:
            window = options.filter.max if options.filter.WhichOneof("window") == "max" else 32
            interval = window * options.filter.checkpointIntervalMultiplier
            if not interval:
                raise HandlerError("no checkpoint interval")
        yield _confirmation()
        live, considered, last_checkpoint, start = False, 0, -1, at
        while True:
            changed = self._changed
            page = self._log.all_page(at, forwards=True, count=PAGE)
            for entry in page:
                if HIDDEN.match(entry.stream):
                    continue
                if wanted is None or wanted(entry):
                    yield shape(entry)
                considered += 1
                if interval and considered >= interval and entry.position > last_checkpoint:
                    considered, last_checkpoint = 0, entry.position
                    yield _checkpoint(entry.position)
            if page:
                at = page[-1].position
            if len(page) < PAGE:
                if not live:
                    live = True
                    if interval and at > max(start, last_checkpoint):
                        last_checkpoint = at
                        yield _checkpoint(at)
                    yield _CAUGHT_UP
                await changed.wait()
            else:
                await asyncio.sleep(0)

    def _state(self, stream: str) -> tuple[int, Limits]:
        """Last revision (-1: none) and limits; raises for a tombstoned stream, and for the metadata of one."""
        newest = self._log.last_of(stream)
        owner = stream.removeprefix("$$")
        dead = newest if owner == stream else self._log.last_of(owner)
        if dead is not None and dead.revision == TOMBSTONE:
            raise stream_deleted(stream)
        return (-1 if newest is None else newest.revision), self._log.limits(stream)


def _settle(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():  # the caller may have gone
        future.set_result(outcome)


class _Batch:
    """One append out of a BatchAppend call, until it is answered."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._stream = ""
        self._expected = ANY
        self._events: list[Proposed] = []
        self._size = 0
        self._opened = False
        self._deadline: float | None = None

    def take(self, request: Any) -> tuple[int, str, Any] | None:
        """A chunk; what is wrong with it, if anything."""
        try:
            if not self._opened:
                self._opened = True
                options = self._request.options
                self._stream = name_of(options.stream_identifier)
                self._expected = expected_of(options, "expected_stream_position", "stream_position")
                kind = options.WhichOneof("deadline_option")
                if kind == "deadline":
                    self._deadline = time.monotonic() + options.deadline.seconds + options.deadline.nanos / 1e9
                elif kind == "deadline_21_10_0":
                    self._deadline = time.monotonic() + options.deadline_21_10_0.ToNanoseconds() / 1e9 - time.time()
            for message in request.proposed_messages:
                event = proposed_of(message)
                self._size += size_of(event)
                self._events.append(event)
        except (HandlerError, RefusalError, UnicodeDecodeError) as error:
            return 3, "BadRequest", shared_pb2.BadRequest(message=str(error))
        if self._size > MOST_BYTES:
            return 3, "MaximumAppendSizeExceeded", shared_pb2.MaximumAppendSizeExceeded(maxAppendSize=MOST_BYTES)
        if self._deadline is not None and self._deadline <= time.monotonic():
            return 4, "Timeout", shared_pb2.Timeout()
        return None

    def run(self, writer: Any) -> Outcome:
        outcome: Outcome = writer.append(self._stream, self._expected, self._events)
        return outcome

    def answer(self, outcome: Outcome) -> Any:
        match outcome:
            case Written(revision, position):
                response = self._response()
                _set_written(response.success, revision, position)
                return response
            case WrongVersion(actual):
                return self.error(6, "WrongExpectedVersion", self._wrong(actual))
            case Deleted():
                detail = shared_pb2.StreamDeleted()
                detail.stream_identifier.stream_name = self._stream.encode()
                return self.error(5, "StreamDeleted", detail)
            case _:
                return self.error(2, "Unknown", shared_pb2.Unknown())

    def error(self, code: int, message: str, detail: Any) -> Any:
        response = self._response()
        packed = any_pb2.Any(
            type_url="type.googleapis.com/event_store.client." + type(detail).__name__, value=detail.SerializeToString()
        )
        response.error.CopyFrom(
            status_pb2.Status(code=code, message=message, details=packed)  # type: ignore[arg-type]  # an enum's number
        )
        return response

    def _response(self) -> Any:
        response = streams_pb2.BatchAppendResp()
        response.correlation_id.CopyFrom(self._request.correlation_id)
        response.stream_identifier.CopyFrom(self._request.options.stream_identifier)
        return response

    def _wrong(self, actual: int) -> Any:
        detail = shared_pb2.WrongExpectedVersion()
        if actual < 0:
            detail.current_no_stream.SetInParent()
        else:
            detail.current_stream_revision = actual
        match self._expected:
            case -1:
                detail.expected_no_stream.SetInParent()
            case -2:
                detail.expected_any.SetInParent()
            case -4:
                detail.expected_stream_exists.SetInParent()
            case number:
                detail.expected_stream_position = number
        return detail


class _Shape:
    """Entries as the caller wants them: as stored, or with binary ids, or with links resolved."""

    def __init__(self, log: Log, *, structured: bool, links: bool) -> None:
        self._log, self._structured, self._links = log, structured, links

    def __call__(self, entry: Entry) -> bytes:
        if not self._structured and not (self._links and entry.type == "$>"):
            return entry.encoded
        response = streams_pb2.ReadResp.FromString(entry.encoded)
        event = response.event
        if self._links and entry.type == "$>":
            self._resolve(event)
        if self._structured:
            for record in (event.event, event.link):
                if record.HasField("id"):
                    raw = uuid.UUID(record.id.string).bytes
                    record.id.structured.most_significant_bits = int.from_bytes(raw[:8], "big", signed=True)
                    record.id.structured.least_significant_bits = int.from_bytes(raw[8:], "big", signed=True)
        encoded: bytes = response.SerializeToString()
        return encoded

    def _resolve(self, event: Any) -> None:
        match = re.match(rb"\s*(\d+)(@?)(.*)", event.event.data, re.DOTALL)
        if match is None:
            return
        target = None
        if match[2]:
            stream, revision = match[3].decode(errors="replace"), int(match[1])
            target = self._readable(stream, revision)
        event.link.CopyFrom(event.event)
        event.ClearField("event")
        if target is not None:
            event.event.CopyFrom(streams_pb2.ReadResp.FromString(target.encoded).event.event)

    def _readable(self, stream: str, revision: int) -> Entry | None:
        newest = self._log.last_of(stream)
        if newest is None or newest.revision == TOMBSTONE or revision > newest.revision:
            return None
        low, oldest = _visible(stream, newest.revision, self._log.limits(stream))
        entry = self._log.at(stream, revision)
        return entry if entry is not None and revision >= low and entry.created >= oldest else None


def _visible(stream: str, last: int, limits: Limits) -> tuple[int, int]:
    """The lowest readable revision, and the oldest readable creation time in ticks."""
    if stream.startswith("$$"):
        return last, 0
    low = limits.truncate_before
    if limits.max_count is not None:
        low = max(low, last - limits.max_count + 1)
    oldest = 0 if limits.max_age is None else ticks() - limits.max_age * 10_000_000
    return low, oldest


def _filter_of(options: Any) -> Callable[[Entry], bool]:
    filter_ = options.filter
    kind, window = filter_.WhichOneof("filter"), filter_.WhichOneof("window")
    if kind is None or window is None:
        raise RefusalError(grpc.StatusCode.INVALID_ARGUMENT, "a filter needs an expression and a window")
    expression = getattr(filter_, kind)
    by_type = kind == "event_type"
    if expression.regex:
        try:
            search = re.compile(expression.regex).search
        except re.error as error:
            raise HandlerError("bad regex") from error
        return (lambda e: bool(search(e.type))) if by_type else (lambda e: bool(search(e.stream)))
    prefixes = tuple(expression.prefix)
    return (lambda e: e.type.startswith(prefixes)) if by_type else (lambda e: e.stream.startswith(prefixes))


def _position(position: Any) -> int:
    if position.commit_position < position.prepare_position:
        raise HandlerError("commit before prepare")
    return clamp(position.commit_position)


def _set_written(success: Any, revision: int, position: int) -> None:
    if revision < 0:
        success.no_stream.SetInParent()
    else:
        success.current_revision = revision
    success.position.commit_position = success.position.prepare_position = position


def _set_wrong(wrong: Any, expected: int, actual: int) -> None:
    if actual < 0:
        wrong.current_no_stream.SetInParent()
        wrong.no_stream_20_6_0.SetInParent()
    else:
        wrong.current_revision = wrong.current_revision_20_6_0 = actual
    match expected:
        case -1:
            wrong.expected_no_stream.SetInParent()
            wrong.expected_revision_20_6_0 = END
        case -2:
            wrong.expected_any.SetInParent()
            wrong.any_20_6_0.SetInParent()
        case -4:
            wrong.expected_stream_exists.SetInParent()
            wrong.stream_exists_20_6_0.SetInParent()
        case number:
            wrong.expected_revision = wrong.expected_revision_20_6_0 = number


def _confirmation() -> bytes:
    response = streams_pb2.ReadResp()
    response.confirmation.subscription_id = str(uuid.uuid4())
    encoded: bytes = response.SerializeToString()
    return encoded


def _checkpoint(position: int) -> bytes:
    response = streams_pb2.ReadResp()
    response.checkpoint.commit_position = response.checkpoint.prepare_position = position
    encoded: bytes = response.SerializeToString()
    return encoded


def _caught_up() -> bytes:
    response = streams_pb2.ReadResp()
    response.caught_up.SetInParent()
    encoded: bytes = response.SerializeToString()
    return encoded


_CAUGHT_UP = _caught_up()
