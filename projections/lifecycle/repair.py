"""Repairs documents of a running view: replays them from the log, and puts them in place between two batches.

The long part runs beside the runner; later events are folded while the runner writes nothing. Documents are written
first, then the parked events are removed: a crash between the two leaves them parked, to be retried.
"""

import time
from collections.abc import Mapping, Sequence, Set
from contextlib import aclosing
from typing import Any

from pymongo import DeleteOne, InsertOne, ReplaceOne

from core.eventstore import codec
from core.eventstore.codec import CodecError
from core.eventstore.log import EventLog
from core.readmodel.checkpoints import Checkpoint
from core.readmodel.view import View
from projections.engine.applier import BatchApplier, Partition, Write, WriteConflict
from projections.engine.parked_events import ParkedEvents
from projections.engine.runner import Runner
from projections.lifecycle.owner_requests import DONE, FAILED, Request
from projections.stores import Stores
from projections.verification.replay import EventFailed, KeyReplay

SHORT = 0.2  # seconds that the rest of the fold may take between two batches
MAX_ROUNDS = 10
MAX_TRIES = 3  # attempts at a stream that is written meanwhile, before the view waits for it
STREAMS_AT_ONCE = 100  # parked streams in one fold
NEVER = 2**63


class DocumentRepair:
    """Of one view."""

    def __init__(self, view: View[Any], stores: Stores) -> None:
        self._view = view
        self._stores = stores
        self._state = stores.checkpoints
        self._log = stores.leader_log

    async def repair(self, runner: Runner, request: Request) -> tuple[str, str]:
        """The state of the request afterwards, and the outcome. Raises `Fenced` if the view was lost meanwhile."""
        outcome, state = [], DONE
        try:
            for start in range(0, len(request.streams), STREAMS_AT_ONCE):
                streams = request.streams[start : start + STREAMS_AT_ONCE]
                for stream, left in (await self._retry(runner, streams)).items():
                    outcome.append(f"{stream}: {left or 'applied'}")
                    state = FAILED if left else state
            if request.keys:
                await self._replay(runner, _Documents(self._view, self._log, runner.partition, keys=request.keys), {})
                outcome.append(f"{len(request.keys)} rebuilt")
        except EventFailed as failure:  # of another stream: the requested documents stay as they are
            return FAILED, "; ".join([*outcome, str(failure)])
        return state, "; ".join(outcome)

    async def _retry(self, runner: Runner, streams: Sequence[str]) -> dict[str, str]:
        """Apply the streams' events as far as possible; the error at which each stays parked, or "".

        All of them in one fold: where documents share streams, a fold reads the log from its beginning.
        """
        documents = _Documents(self._view, self._log, runner.partition, streams)
        await documents.read_on()
        until: dict[str, EventFailed | None] = dict.fromkeys(streams)
        rounds = 0
        while True:
            rounds += 1
            try:
                if await self._replay(runner, documents, until, at_any_price=rounds >= MAX_TRIES):
                    return {stream: "" if failed is None else str(failed) for stream, failed in until.items()}
            except EventFailed as failure:
                if failure.stream in until and until[failure.stream] is None:
                    until[failure.stream] = failure
                elif (
                    failure.position < runner.parked_events.first.get(failure.stream, NEVER)
                    or rounds > len(streams) + MAX_ROUNDS
                ):
                    raise  # otherwise it was parked since this fold began, and the next fold stops there

    async def _replay(
        self,
        runner: Runner,
        documents: "_Documents",
        streams: Mapping[str, EventFailed | None],
        *,
        at_any_price: bool = False,
    ) -> bool:
        """Fold the documents and put them in place; with the events of `streams`, up to the failing one of each.

        False, and nothing is done, if waiting events have arrived meanwhile whose documents are not among
        those folded. Then it has to be repeated, the last time `at_any_price`: while the view waits.
        """
        skipped = await self._stores.skipped.of(self._view.name)
        first = {name: position for name, position in runner.parked_events.first.items() if name not in streams}
        first |= {name: failed.position for name, failed in streams.items() if failed is not None}

        def folding() -> KeyReplay:
            return KeyReplay(self._view, self._log, frozenset(documents.keys), first, skipped)

        fold = folding()
        for _ in range(MAX_ROUNDS):
            assert runner.checkpoint is not None, "a view is repaired by its owner"
            started = time.monotonic()
            await fold.advance(runner.checkpoint.position)
            if time.monotonic() - started < SHORT:
                break
        done = True

        async def put(applier: BatchApplier, parked_events: ParkedEvents, checkpoint: Checkpoint) -> None:
            nonlocal fold, done
            if await documents.read_on():
                if not at_any_price:
                    done = False
                    return
                fold = folding()
            await fold.advance(checkpoint.position)
            await self._write(checkpoint, documents.keys, fold)
            applier.forget(documents.keys)
            for stream, failed in streams.items():
                await parked_events.release(stream, None if failed is None else (failed.position, failed.error))

        await runner.run_between_batches(put)
        return done

    async def _write(self, checkpoint: Checkpoint, keys: Set[str], fold: KeyReplay) -> None:
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
            raise WriteConflict(f"{self._view.name}: others changed the documents that were repaired")


class _Documents:
    """The documents to be rebuilt: those of chosen keys, and all that the events of some streams change."""

    def __init__(
        self,
        view: View[Any],
        log: EventLog,
        partition: Partition,
        streams: Sequence[str] = (),
        keys: Sequence[str] = (),
    ) -> None:
        self.keys = set(keys)
        self._view = view
        self._log = log
        self._partition = partition
        self._next = dict.fromkeys(streams, 0)  # the revision from which on a stream has not been read

    async def read_on(self) -> bool:
        """Read the new events of the streams; whether documents were added."""
        before = len(self.keys)
        for stream in self._next:
            if self._view.own_streams:
                self._add(stream.partition("-")[2])
            else:
                await self._read(stream)
        return len(self.keys) > before

    async def _read(self, stream: str) -> None:
        # to the end as it was; continuous writes do not keep us here
        async with aclosing(self._log.events(stream, self._next[stream], may_be_deleted=True)) as events:
            async for event in events:
                self._next[stream] = event.stream_position + 1
                try:
                    handled = self._view.handler(codec.recorded(event))
                except CodecError:
                    continue
                if handled is not None:
                    self._add(handled[0])

    def _add(self, key: str) -> None:
        if self._partition.owns(key):
            self.keys.add(key)
