"""The Projections service: the system projections run; any other is stored and managed, but cannot run here."""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import grpc

from embedded.eventstore.errors import HandlerError, RefusalError
from embedded.eventstore.log import Log
from embedded.eventstore.messages import projections_pb2 as pb
from embedded.eventstore.messages import shared_pb2
from embedded.eventstore.positions import offset
from embedded.eventstore.projections.running import KIND, Place, Running, WriteActivity
from embedded.eventstore.projections.system import IDS, PROJECTIONS
from embedded.eventstore.records import NO_STREAM, system_event
from embedded.eventstore.writer import Outcome, Writer, Written
from embedded.eventstore.writing import Serialized, write

QUERY_KIND = "projection"
NO_ENGINE = "This node has no JavaScript engine: the projection is kept but not run."
NO_QUERY = "The query is empty."
RESTARTS_FOR = 0.1  # seconds, in which no second restart of the subsystem is begun
PROJECTION_STREAM = "$projections-$all"
MODES = {"transient": "Transient", "continuous": "Continuous", "one_time": "OneTime"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A projection that a user created."""

    name: str
    mode: str
    text: str
    emit_enabled: bool = False
    track_emitted_streams: bool = False
    enabled: bool = True
    aborted: bool = False
    version: int = 0

    @property
    def status(self) -> str:
        return "Faulted" if self.enabled else _stopped(aborted=self.aborted)

    @property
    def reason(self) -> str:
        if not self.enabled:
            return ""
        return NO_ENGINE if self.text.strip() else NO_QUERY


class Projections:
    """All projections of a node, as kept in its log. `start_system` enables the five system ones."""

    def __init__(self, log: Log, *, start_system: bool) -> None:
        self._log = log
        self._serialized = Serialized()
        self._activity = WriteActivity(log)
        kept = {name: Place(**json.loads(text)) for name, text in log.state(KIND).items()}
        self._system: dict[str, Running] = {}
        for name in PROJECTIONS:
            place = kept.get(name, Place())
            place.deleted = False  # a deleted one is there again after a start, as on the real server
            place.enabled = place.enabled or start_system
            self._system[name] = Running(log, self._activity, name, place)
            if place.enabled:
                self._system[name].start()
        self._queries = {name: Query(**json.loads(text)) for name, text in log.state(QUERY_KIND).items()}
        self._is_restarting = False
        if start_system:
            log.submit(_write_projections, lambda _: None)

    async def close(self) -> None:
        await self._serialized.close()
        for running in self._system.values():
            await running.stop()
        self._activity.close()

    # -------------------------------------------------------------- the service

    async def create(self, request: Any, _: Any) -> Any:
        return await self._serialized(self._create(request))

    async def _create(self, request: Any) -> Any:
        options = request.options
        kind = options.WhichOneof("mode")
        if kind is None:
            raise HandlerError("no mode")
        mode = getattr(options, kind)
        if kind != "one_time" and not mode.name:
            raise _unexpected("OperationFailed")
        query = Query(
            name=getattr(mode, "name", "") or str(uuid.uuid4()),
            mode=MODES[kind],
            text=options.query,
            emit_enabled=getattr(mode, "emit_enabled", False),
            track_emitted_streams=getattr(mode, "track_emitted_streams", False),
        )
        if query.track_emitted_streams and not query.emit_enabled:
            raise HandlerError("only emitted streams can be tracked")
        if self._has(query.name):
            raise _unexpected("Conflict")
        await self._keep(query)
        return pb.CreateResp()

    async def update(self, request: Any, _: Any) -> Any:
        return await self._serialized(self._update(request))

    async def _update(self, request: Any) -> Any:
        options = request.options
        if options.WhichOneof("emit_option") is None:
            raise HandlerError("no emit option")
        found = self._find(options.name)
        if isinstance(found, Running):
            raise _unexpected("OperationFailed")  # what a system projection does is fixed
        changed = replace(found, text=options.query, version=found.version + 1)
        if options.WhichOneof("emit_option") == "emit_enabled":
            changed = replace(changed, emit_enabled=options.emit_enabled)
        await self._keep(changed)
        return pb.UpdateResp()

    async def delete(self, request: Any, _: Any) -> Any:
        return await self._serialized(self._delete(request))

    async def _delete(self, request: Any) -> Any:
        found = self._find(_options(request).name)
        if isinstance(found, Running):
            if found.is_running:
                raise _unexpected("OperationFailed")
            await found.keep(deleted=True, enabled=False, at=0)
        else:
            if found.enabled and found.text.strip():  # it would run, where there is an engine
                raise _unexpected("OperationFailed")
            await write(self._log, lambda writer: writer.keep(QUERY_KIND, found.name, None))
            self._queries.pop(found.name, None)
        return pb.DeleteResp()

    async def enable(self, request: Any, _: Any) -> Any:
        await self._serialized(self._switch(_options(request).name, on=True, aborted=False))
        return pb.EnableResp()

    async def disable(self, request: Any, _: Any) -> Any:
        aborted = not _options(request).write_checkpoint
        await self._serialized(self._switch(request.options.name, on=False, aborted=aborted))
        return pb.DisableResp()

    async def reset(self, request: Any, _: Any) -> Any:
        return await self._serialized(self._reset(request))

    async def _reset(self, request: Any) -> Any:
        found = self._find(_options(request).name)
        if isinstance(found, Running):
            was_running = found.is_running
            await found.stop()
            await found.keep(at=0, aborted=False)
            if was_running:
                found.start()
        else:
            await self._keep(replace(found, version=found.version + 1, aborted=False))
        return pb.ResetResp()

    async def statistics(self, request: Any, _: Any) -> AsyncGenerator[bytes, None]:
        kind = _options(request).WhichOneof("mode")
        if kind == "name":
            chosen = [_details(self._find(request.options.name))]
        else:
            chosen = [d for d in self._every() if kind in ("all", None) or d.mode == MODES[kind]]
        for details in chosen:
            yield bytes(pb.StatisticsResp(details=details).SerializeToString())

    async def state(self, request: Any, context: Any) -> Any:
        await self._has_state(_options(request).name, context)
        response = pb.StateResp()
        response.state.struct_value.SetInParent()
        return response

    async def result(self, request: Any, context: Any) -> Any:
        await self._has_state(_options(request).name, context)
        response = pb.ResultResp()
        response.result.struct_value.SetInParent()
        return response

    async def restart(self, _request: Any, _: Any) -> Any:
        if self._is_restarting:
            detail = "Projection Subsystem cannot be restarted as it is in the wrong state: Restarting"
            raise RefusalError(grpc.StatusCode.FAILED_PRECONDITION, detail)
        self._is_restarting = True
        return await self._serialized(self._restart())

    async def _restart(self) -> Any:
        try:
            enabled = [running for running in self._system.values() if running.place.enabled]
            for running in enabled:
                await running.stop()
            await asyncio.sleep(RESTARTS_FOR)
            for running in enabled:
                running.start()
        finally:
            self._is_restarting = False
        return shared_pb2.Empty()

    # -------------------------------------------------------------- what there is

    def _has(self, name: str) -> bool:
        system = self._system.get(name)
        return name in self._queries or (system is not None and not system.place.deleted)

    def _find(self, name: str) -> Running | Query:
        if not self._has(name):
            raise RefusalError(grpc.StatusCode.NOT_FOUND, f"Projection '{name}' not found")
        return self._queries[name] if name in self._queries else self._system[name]

    def _every(self) -> Iterator[Any]:
        for running in self._system.values():
            if self._has(running.name):
                yield _details(running)
        for query in self._queries.values():
            yield _details(query)

    async def _keep(self, query: Query) -> None:
        await write(self._log, lambda writer: writer.keep(QUERY_KIND, query.name, json.dumps(asdict(query))))
        self._queries[query.name] = query

    async def _switch(self, name: str, *, on: bool, aborted: bool) -> None:
        found = self._find(name)
        if isinstance(found, Query):
            await self._keep(replace(found, enabled=on, aborted=aborted))
            return
        if not on:
            await found.finish()
        version = found.place.version + (2 if on and not found.is_running else 0)
        await found.keep(enabled=on, aborted=aborted, version=version)
        if on:
            found.start()

    async def _has_state(self, name: str, context: Any) -> None:
        """Come back if there is an answer, which none of these projections has anything in.

        The real server never answers for a projection without a query, and clients count on their deadline then.
        """
        found = self._find(name)
        if isinstance(found, Query) and found.reason == NO_QUERY and context.time_remaining() is not None:
            await asyncio.Event().wait()


def _details(projection: Running | Query) -> Any:
    details = pb.StatisticsResp.Details(
        name=projection.name, effectiveName=projection.name, epoch=-1, progress=-1.0, mode="Continuous"
    )
    if isinstance(projection, Query):
        details.status, details.stateReason = projection.status, projection.reason
        details.mode, details.version = projection.mode, projection.version
        return details
    at = offset(projection.place.at)
    place = f"C:{at}/P:{at}"
    details.position = details.lastCheckpoint = place
    details.progress = projection.progress
    details.eventsProcessedAfterRestart = projection.processed
    details.version, details.partitionsCached = projection.place.version, 1
    details.stateReason = projection.error
    if projection.is_running:
        details.status = "Running"
    else:
        details.status = "Faulted" if projection.error else _stopped(aborted=projection.place.aborted)
    return details


def _options(request: Any) -> Any:
    if not request.HasField("options"):
        raise HandlerError("no options")
    return request.options


def _write_projections(writer: Writer) -> Outcome:
    """Say once which projections there are, as the real server does at its first start."""
    written: Outcome = Written(-1, None)
    if writer.last_of(PROJECTION_STREAM) < 0 and not writer.is_tombstoned(PROJECTION_STREAM):
        contents = [("$ProjectionsInitialized", ""), *(("$ProjectionCreated", name) for name in IDS)]
        events = [system_event(type_, None)._replace(is_json=False, data=data.encode()) for type_, data in contents]
        written = writer.append(PROJECTION_STREAM, NO_STREAM, events)
    return written


def _stopped(*, aborted: bool) -> str:
    return "Aborted/Stopped" if aborted else "Stopped"


def _unexpected(received: str) -> RefusalError:
    return RefusalError(grpc.StatusCode.UNKNOWN, f"Envelope callback expected Updated, received {received} instead")
