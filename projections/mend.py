"""Mends documents of a view that runs: folds them anew from the log, and puts them in place between two batches.

The long part is done beside the runner; what has come meanwhile is folded when it is the runner's turn to write nothing
else. Documents first, then the parked events go: a crash between the two leaves them parked, to be retried once more.
"""

import time
from collections.abc import Mapping, Sequence, Set
from typing import Any

from pymongo import DeleteOne, InsertOne, ReplaceOne
from pymongo.asynchronous.database import AsyncDatabase

from projections.batch import Applier, Contested, Write
from projections.failure import ParkingLot, Skips
from projections.refold import Refold, Unfoldable
from projections.requests import DONE, FAILED, Request
from projections.runner import Runner
from projections.view import View
from server.eventstore import codec
from server.eventstore.codec import CodecError
from server.readmodel.log import Log
from server.readmodel.state import Checkpoint, ViewState

SHORT = 0.2  # seconds that the rest of the fold may take between two batches
MOST_ROUNDS = 10
STREAMS_AT_ONCE = 100  # parked streams in one fold
PAGE = 1_000  # events of one stream read at once


class Mender:
    """Of one view."""

    def __init__(self, view: View[Any], database: AsyncDatabase[Any], log: Log) -> None:
        self._view = view
        self._database = database
        self._state = ViewState(database)
        self._log = log

    async def mend(self, runner: Runner, request: Request) -> tuple[str, str]:
        """The state of the request afterwards, and what to tell. Raises `Fenced` if the view was lost meanwhile."""
        told, state = [], DONE
        for start in range(0, len(request.streams), STREAMS_AT_ONCE):
            for stream, left in (await self._retry(runner, request.streams[start : start + STREAMS_AT_ONCE])).items():
                told.append(f"{stream}: {left or 'taken in'}")
                state = FAILED if left else state
        if request.keys:
            try:
                await self._anew(runner, set(request.keys), {})
            except Unfoldable as failure:
                return FAILED, str(failure)
            told.append(f"{len(request.keys)} made anew")
        return state, "; ".join(told)

    async def _retry(self, runner: Runner, streams: Sequence[str]) -> dict[str, str]:
        """Take the streams' events in as far as they go; the error at which each stays parked, or "".

        All of them in one fold: where documents share streams, a fold reads the log from its beginning.
        """
        keys: set[str] = set()
        for stream in streams:
            keys |= await self._keys_of(runner, stream)
        until: dict[str, Unfoldable | None] = dict.fromkeys(streams)
        while True:
            try:
                await self._anew(runner, keys, until)
            except Unfoldable as failure:
                if failure.stream not in until or until[failure.stream] is not None:
                    raise
                until[failure.stream] = failure
            else:
                return {stream: "" if failed is None else str(failed) for stream, failed in until.items()}

    async def _keys_of(self, runner: Runner, stream: str) -> Set[str]:
        """The documents that the stream's events change, as far as they can be read."""
        own = stream.partition("-")[2]
        keys = {own} if self._view.own_streams and runner.share.has(own) else set()
        start = 0
        while page := await self._log.stream(stream, start, PAGE):
            for event in page:
                try:
                    handled = self._view.handler(codec.recorded(event))
                except CodecError:
                    continue
                if handled is not None and runner.share.has(handled[0]):
                    keys.add(handled[0])
            start = page[-1].stream_position + 1
        return keys

    async def _anew(self, runner: Runner, keys: Set[str], streams: Mapping[str, Unfoldable | None]) -> None:
        """Fold the keys and put them in place; with the events of `streams`, each up to the one that does not fold."""
        skipped = await Skips(self._database).of(self._view.name)
        first = {name: position for name, position in runner.lot.first.items() if name not in streams}
        first |= {name: failed.position for name, failed in streams.items() if failed is not None}
        fold = Refold(self._view, self._log, keys, first, skipped)
        for _ in range(MOST_ROUNDS):
            assert runner.checkpoint is not None, "a view is mended by its owner"
            started = time.monotonic()
            await fold.advance(runner.checkpoint.position)
            if time.monotonic() - started < SHORT:
                break

        async def put(applier: Applier, lot: ParkingLot, checkpoint: Checkpoint) -> None:
            await fold.advance(checkpoint.position)
            await self._write(checkpoint, keys, fold)
            applier.forget(keys)
            for stream, failed in streams.items():
                await lot.release(stream, None if failed is None else (failed.position, failed.error))

        await runner.between_batches(put)

    async def _write(self, checkpoint: Checkpoint, keys: Set[str], fold: Refold) -> None:
        documents = self._state.documents(self._view.name, checkpoint.generation)
        stored = {x["_id"]: x["position"] async for x in documents.find({"_id": {"$in": sorted(keys)}})}
        writes: list[Write] = []
        for key in keys:
            body, guard = fold.bodies.get(key), {"_id": key, "position": stored.get(key)}
            document = None if body is None else {"_id": key, "position": fold.positions[key], **body}
            if document is None:
                writes += [DeleteOne(guard)] if key in stored else []
            else:
                writes.append(ReplaceOne(guard, document) if key in stored else InsertOne(document))
        if not writes:
            return
        done = await documents.bulk_write(writes, ordered=False)
        if done.matched_count + done.deleted_count + done.inserted_count != len(writes):
            raise Contested(f"{self._view.name}: others changed the documents that were mended")
