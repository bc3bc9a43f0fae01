"""Waiting for a write, and reporting its outcome."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import grpc

from embedded.eventstore.committer import NotWrittenError
from embedded.eventstore.errors import HandlerError, RefusalError, stream_deleted
from embedded.eventstore.log import Log
from embedded.eventstore.messages import streams_pb2
from embedded.eventstore.positions import offset
from embedded.eventstore.records import ANY
from embedded.eventstore.requests import (
    END,
    MAX_BYTES,
    expected_of,
    name_of,
    name_to_write,
    proposed_of,
    size_of,
    too_large,
)
from embedded.eventstore.writer import Deleted, Outcome, Writer, Written, WrongVersion

T = TypeVar("T")
Settled = Written | WrongVersion | Deleted


async def write(log: Log, run: Callable[[Writer], Outcome], stream: str | None = None) -> Settled:
    """Let the committer run it. Raises what `run` raised, or UNAVAILABLE when the disk did not take it.

    Once handed over it is written even if the caller goes away meanwhile.
    """
    future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def done(outcome: Outcome) -> None:
        if not future.done():  # the caller may have gone
            future.set_result(outcome)

    log.submit(run, done, stream)
    outcome = await future
    if isinstance(outcome, NotWrittenError):
        raise RefusalError(grpc.StatusCode.UNAVAILABLE, str(outcome))
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


class Serialized:
    """Steps that belong together: one at a time, and to the end, even if the caller goes away meanwhile."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._going: set[asyncio.Task[Any]] = set()

    async def __call__(self, steps: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(self._run(steps))
        self._going.add(task)
        task.add_done_callback(self._going.discard)
        return await asyncio.shield(task)

    async def _run(self, steps: Coroutine[Any, Any, T]) -> T:
        async with self._lock:
            return await steps

    async def close(self) -> None:
        """Wait for what is going on."""
        await asyncio.gather(*self._going, return_exceptions=True)


class Writing:
    """Append, Delete and Tombstone."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def append(self, requests: AsyncIterator[Any], _: Any) -> Any:
        stream, expected, options, size = "", ANY, None, 0
        events = []
        async for request in requests:
            kind = request.WhichOneof("content")
            if kind is None or (options is None) != (kind == "options"):
                raise HandlerError("options come first, and once")
            if kind == "options":
                options = request.options
                stream = name_to_write(options.stream_identifier)
                expected = expected_of(options, "expected_stream_revision", "revision")
                continue
            event = proposed_of(request.proposed_message)
            size += size_of(event)
            if size > MAX_BYTES:
                raise too_large()
            events.append(event)
        if options is None:
            raise HandlerError("no options")
        outcome = await write(self._log, lambda writer: writer.append(stream, expected, events), stream)
        # 2^64-1 counts as no stream, and is sent back as it came
        is_end = options.WhichOneof("expected_stream_revision") == "revision" and options.revision == END
        return _appended(outcome, stream, END if is_end else expected)

    async def delete(self, request: Any, _: Any) -> Any:
        return await self._remove(request.options, Writer.delete, streams_pb2.DeleteResp())

    async def tombstone(self, request: Any, _: Any) -> Any:
        name_to_write(request.options.stream_identifier)
        return await self._remove(request.options, Writer.tombstone, streams_pb2.TombstoneResp())

    async def _remove(self, options: Any, how: Callable[[Writer, str, int], Outcome], response: Any) -> Any:
        stream = name_of(options.stream_identifier)
        expected = expected_of(options, "expected_stream_revision", "revision")
        match await write(self._log, lambda writer: how(writer, stream, expected), stream):
            case Written(_, position):
                assert position is not None  # what was just written can be read
                _set_position(response.position, position)
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


def _appended(outcome: Settled, stream: str, expected: int) -> Any:
    response = streams_pb2.AppendResp()
    match outcome:
        case Written(revision, position):
            set_written(response.success, revision, position)
        case WrongVersion(actual):
            _set_wrong(response.wrong_expected_version, expected, actual)
        case Deleted():
            raise stream_deleted(stream)
    return response


def set_written(success: Any, revision: int, position: int | None) -> None:
    if revision < 0:
        success.no_stream.SetInParent()
    else:
        success.current_revision = revision
    if position is None:
        success.no_position.SetInParent()
    else:
        _set_position(success.position, position)


def _set_position(message: Any, number: int) -> None:
    message.commit_position = message.prepare_position = offset(number)


def _set_wrong(wrong: Any, expected: int, actual: int) -> None:
    # both the fields of today and those of 20.6, as the real server sends them
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
