"""BatchAppend: many appends over one long call, answered in any order, each exactly once."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf import any_pb2

from embedded.eventstore.committer import NotWrittenError
from embedded.eventstore.errors import HandlerError, RefusalError
from embedded.eventstore.log import Log
from embedded.eventstore.messages import shared_pb2, status_pb2, streams_pb2
from embedded.eventstore.records import ANY, Proposed
from embedded.eventstore.requests import (
    MAX_BYTES,
    expected_of,
    name_to_write,
    proposed_of,
    size_of,
    uuid_bytes,
)
from embedded.eventstore.writer import Deleted, Outcome, Writer, Written, WrongVersion
from embedded.eventstore.writing import set_written

MAX_IN_FLIGHT = 2_048  # appends of one call that wait for the disk, or for the client to take their answer
MAX_OPEN = 1_024  # appends of one call whose last chunk has not arrived
CHUNKS_WITHIN = 2.0  # seconds, from the options to the last chunk, unless the client gives a deadline
MAX_DEADLINE = 60.0  # seconds; clients without patience of their own ask for ten thousand years
TIMEOUT = (4, "Timeout", shared_pb2.Timeout())
ACCESS_DENIED = (7, "AccessDenied", shared_pb2.AccessDenied())
NO_GUID = "Unrecognized Guid format."
OUT_OF_RANGE = "Specified argument was out of the range of valid values. (Parameter 'eventStreamId')"
_USUAL_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch  # and the fast way
PREFIX = "type.googleapis.com/event_store.client."


class Batches:
    """The handler of the RPC. `may_append` says of each stream whether the caller may append to it; None: all may."""

    def __init__(self, log: Log, may_append: Callable[[str], bool] | None = None) -> None:
        self._log, self._may_append = log, may_append

    async def append(self, requests: AsyncIterator[Any], _: Any) -> AsyncGenerator[bytes, None]:
        call = _Call(self._log, self._may_append)
        reading = asyncio.create_task(call.read(requests))
        try:
            while (answer := await call.next_answer()) is not None:
                yield answer
            await reading
        finally:
            reading.cancel()


class _Call:
    def __init__(self, log: Log, may_append: Callable[[str], bool] | None) -> None:
        self._log, self._may_append = log, may_append
        self._open: dict[bytes, _Batch] = {}
        self._answers: asyncio.Queue[bytes | RefusalError | None] = asyncio.Queue()
        self._in_flight = 0
        self._room = asyncio.Event()
        self._ended = False

    async def next_answer(self) -> bytes | None:
        answer = await self._answers.get()
        if isinstance(answer, RefusalError):
            raise answer
        if answer is not None:
            self._in_flight -= 1
            self._room.set()
        self._finish()
        return answer

    async def read(self, requests: AsyncIterator[Any]) -> None:
        """Take chunks until the client has no more; whatever happens, the answering side learns of the end."""
        try:
            async for request in requests:
                while self._in_flight >= MAX_IN_FLIGHT:
                    self._room.clear()
                    await self._room.wait()
                self._take(request)
        finally:
            self._ended = True
            self._finish()

    def _take(self, request: Any) -> None:
        key = request.correlation_id.SerializeToString(deterministic=True)
        problem = _problem_of_id(request)
        if problem is not None and not request.HasField("options"):
            raise HandlerError(problem)  # there is nothing to answer with
        batch = self._open.pop(key, None)
        if batch is None:
            if not request.HasField("options"):
                return  # a late chunk of an append that was answered already
            batch = _Batch(request)
        refused = batch.take(request) if problem is None else _bad_request(problem)
        if refused is None and self._may_append is not None and not self._may_append(batch.stream):
            refused = ACCESS_DENIED
        if refused is not None:
            self._in_flight += 1
            self._answers.put_nowait(batch.error(*refused))
        elif request.is_final:
            self._in_flight += 1
            self._log.submit(batch.run, self._answering(batch), batch.stream)
        else:
            self._open[key] = batch
            if request.HasField("options"):
                asyncio.get_running_loop().call_later(batch.seconds_left(), self._give_up, key, batch)
            if len(self._open) > MAX_OPEN:
                self._give_up(*next(iter(self._open.items())))

    def _give_up(self, key: bytes, batch: "_Batch") -> None:
        """Answer for an append whose last chunk did not arrive in time, unless it has been answered."""
        if self._open.get(key) is batch:
            del self._open[key]
            self._in_flight += 1
            self._answers.put_nowait(batch.error(*TIMEOUT))

    def _answering(self, batch: "_Batch") -> Callable[[Outcome], None]:
        def done(outcome: Outcome) -> None:
            if isinstance(outcome, NotWrittenError):  # none of the answers would say why; the real server is gone then
                self._answers.put_nowait(RefusalError(grpc.StatusCode.UNAVAILABLE, str(outcome)))
            else:
                self._answers.put_nowait(batch.answer(outcome))

        return done

    def _finish(self) -> None:
        if self._ended and not self._in_flight and not self._open:
            self._answers.put_nowait(None)


class _Batch:
    """One append out of the call, until it is answered."""

    __slots__ = ("_deadline", "_events", "_expected", "_opened", "_request", "_size", "stream")

    def __init__(self, request: Any) -> None:
        self._request = request  # the first chunk: options and correlation id
        self.stream = ""
        self._expected = ANY
        self._events: list[Proposed] = []
        self._size = 0
        self._opened = False
        self._deadline = 0.0

    def take(self, request: Any) -> tuple[int, str, Any] | None:
        """A chunk; what is wrong with it, if anything: code, message, detail."""
        try:
            if not self._opened:
                self._opened = True
                self._open()
            for message in request.proposed_messages:
                event = _proposed(message)
                self._size += size_of(event)
                self._events.append(event)
        except (_BadRequestError, HandlerError, RefusalError) as error:
            return _bad_request(str(error))
        if self._size > MAX_BYTES:
            return 3, "MaximumAppendSizeExceeded", shared_pb2.MaximumAppendSizeExceeded(maxAppendSize=MAX_BYTES)
        if self.is_overdue():
            return TIMEOUT
        return None

    def is_overdue(self) -> bool:
        return self.seconds_left() <= 0

    def seconds_left(self) -> float:
        return self._deadline - time.monotonic()

    def _open(self) -> None:
        options = self._request.options
        self._deadline = time.monotonic() + min(_seconds(options), MAX_DEADLINE)
        if not options.HasField("stream_identifier"):
            raise _BadRequestError("Object reference not set to an instance of an object.")
        try:
            self.stream = name_to_write(options.stream_identifier)
        except HandlerError as error:
            raise _BadRequestError(OUT_OF_RANGE) from error
        try:
            self._expected = expected_of(options, "expected_stream_position", "stream_position")
        except RefusalError as error:
            raise _BadRequestError(f'Status(StatusCode="InvalidArgument", Detail="{error}")') from error

    def run(self, writer: Writer) -> Outcome:
        return writer.append(self.stream, self._expected, self._events)

    def answer(self, outcome: Outcome) -> bytes:
        match outcome:
            case Written(revision, position):
                response = self._response()
                set_written(response.success, revision, position)
                return bytes(response.SerializeToString())
            case WrongVersion(actual):
                return self.error(6, "WrongExpectedVersion", self._wrong(actual))
            case Deleted():
                detail = shared_pb2.StreamDeleted()
                detail.stream_identifier.stream_name = self.stream.encode()
                return self.error(5, "StreamDeleted", detail)
            case _:
                return self.error(2, "Unknown", shared_pb2.Unknown())

    def error(self, code: int, message: str, detail: Any) -> bytes:
        response = self._response()
        packed = any_pb2.Any(type_url=PREFIX + type(detail).__name__, value=detail.SerializeToString())
        response.error.CopyFrom(
            status_pb2.Status(code=code, message=message, details=packed)  # type: ignore[arg-type]  # an enum's number
        )
        return bytes(response.SerializeToString())

    def _response(self) -> Any:
        response = streams_pb2.BatchAppendResp()
        if self._request.HasField("correlation_id"):
            response.correlation_id.CopyFrom(self._request.correlation_id)
        if self._request.options.HasField("stream_identifier"):
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


class _BadRequestError(Exception):
    """What a batch says that cannot be carried out, in the words of the real server."""


def _bad_request(text: str) -> tuple[int, str, Any]:
    return 3, "BadRequest", shared_pb2.BadRequest(message=text)


def _problem_of_id(request: Any) -> str | None:
    """What is wrong with a message's correlation id."""
    if not request.HasField("correlation_id"):
        return "Value cannot be null. (Parameter 'dto')"
    return None if _USUAL_ID(request.correlation_id.string) else _problem_of_uuid(request.correlation_id)


def _problem_of_uuid(message: Any) -> str | None:
    try:
        uuid_bytes(message)
    except HandlerError:
        return NO_GUID
    return None


def _proposed(message: Any) -> Proposed:
    metadata = message.metadata
    if "type" not in metadata or "content-type" not in metadata:
        raise _BadRequestError("The given key was not present in the dictionary.")
    try:
        return proposed_of(message)
    except HandlerError as error:
        if _problem_of_uuid(message.id):
            raise _BadRequestError(NO_GUID) from error
        what = "eventId" if metadata["type"] else "eventType"
        raise _BadRequestError(f"Empty {what} provided. (Parameter '{what}')") from error


def _seconds(options: Any) -> float:
    """How long the client gives this append from now on."""
    match options.WhichOneof("deadline_option"):
        case "deadline":
            return float(options.deadline.seconds + options.deadline.nanos / 1e9)
        case "deadline_21_10_0":
            until = options.deadline_21_10_0
            return float(until.seconds + until.nanos / 1e9 - time.time())
        case _:
            return CHUNKS_WITHIN
