"""The command handler: load, fold, decide, append, for all aggregates."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid5

from core.backoff import Backoff
from core.domain.decider import Decider
from core.domain.rejection import CommandRejected
from core.eventstore import codec
from core.eventstore.client import NewEvent
from core.eventstore.idempotency import CommandResult
from core.eventstore.registry import DomainEvent
from core.eventstore.repository import MAX_READS, Aggregate, Repository
from core.eventstore.store import NO_EVENTS, EventStore, SessionEnded, WrongRevision
from core.eventstore.unchanged import Known, UnchangedRequests
from core.failures import Contention, NotFound, RequestIdReused, RevisionConflict, StoreUnavailable
from core.locks import KeyedLocks

S = TypeVar("S")
C = TypeVar("C")
E = TypeVar("E", bound=DomainEvent)

MAX_ATTEMPTS = 10
FIRST_PAUSE, MAX_PAUSE = 0.002, 0.1  # seconds between two attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The metadata of a request. `at` is the time of its arrival, UTC.

    `correlation_text` is the caller's name of the conversation, if that is not its id. `causation_id` is the event to
    which a process reacts; "" if the request itself is the cause. `is_step`: a step of a process. If it changes
    nothing, it is not stored, since the process derives each step from the present state, and the same step may have to
    act later. `is_retry`: the caller has sent the request before. `via` is the caller, if it acts for the actor.
    """

    request_id: str
    payload_hash: str
    expected_revision: int | None
    actor: str
    correlation_id: str
    traceparent: str
    at: datetime
    correlation_text: str = ""
    causation_id: str = ""
    is_step: bool = False
    is_retry: bool = False
    via: str = ""


class CommandHandler:
    """Executes commands with optimistic concurrency (exact expected revisions) and idempotent requests.

    `at_once` makes two reads concurrently.
    """

    def __init__(
        self,
        store: EventStore,
        repository: Repository,
        unchanged: UnchangedRequests | None = None,
        *,
        at_once: Callable[
            [Coroutine[Any, Any, Any], Coroutine[Any, Any, Any]], Awaitable[Sequence[Any]]
        ] = asyncio.gather,
    ) -> None:
        self._store = store
        self._repository = repository
        self._unchanged = unchanged or UnchangedRequests(store)
        self._at_once = at_once
        self._locks = KeyedLocks()

    async def handle(
        self,
        decider: Decider[S, C, E],
        aggregate_id: str,
        envelope: Envelope,
        command: Callable[[S], Awaitable[C]],
        *,
        creates_stream: bool = False,
        require_own: Callable[[S], None] | None = None,
    ) -> CommandResult:
        """Decide and append. A repeated request returns the result of its first execution.

        `require_own` raises `NotFound` for the state of what is not the caller's. It comes before everything else that
        depends on the state, so that a request of one customer shows nothing about an order of another.

        With `creates_stream`, the command is first decided as if there were no stream; a repeat has the same event ids
        under the same expected revision, which the store answers with the first position.

        Raises `CommandRejected`, `RequestIdReused`, `RevisionConflict` (only if a revision was expected), `Contention`,
        `StoreUnavailable` (the outcome is unknown: repeat with the same request id).
        """
        stream = decider.stream(aggregate_id)
        async with self._locks.acquire(stream):
            must_be_fresh, was_sent = envelope.is_retry, False
            backoff = contended()
            for _ in range(MAX_ATTEMPTS):
                aggregate, known = await self._look(
                    decider, stream, envelope, creates_stream=creates_stream, must_be_fresh=must_be_fresh
                )
                try:
                    if require_own is not None:
                        require_own(aggregate.state)
                    outcome = await self._decide(decider, stream, aggregate, envelope, command, known=known)
                except (CommandRejected, NotFound, RevisionConflict):
                    if must_be_fresh and aggregate.session == self._store.session:
                        raise
                    must_be_fresh = True  # a refusal must be based on what the store says now
                    continue
                if isinstance(outcome, CommandResult):
                    return replace(outcome, is_repeat=not was_sent)
                if not outcome and not must_be_fresh:
                    must_be_fresh = True  # so must "nothing to do"
                    continue
                try:
                    return await self._write(decider, stream, aggregate, envelope, outcome)
                except WrongRevision as lost:
                    must_be_fresh, was_sent = True, was_sent or isinstance(lost, SessionEnded)
                    await backoff.rest()
            raise Contention(stream, MAX_ATTEMPTS)

    async def _look(
        self, decider: Decider[S, C, E], stream: str, envelope: Envelope, *, creates_stream: bool, must_be_fresh: bool
    ) -> tuple[Aggregate[S], Known | None]:
        """The aggregate, and its requests that changed nothing; None if it can have none.

        If the requests are not in memory, or must be fresh, the aggregate is read at the same time, to be equally
        fresh.
        """
        if creates_stream and not must_be_fresh:
            aggregate = self._repository.cached_or_initial(decider, stream)
            if aggregate.revision == NO_EVENTS:
                return aggregate, None  # if the stream exists, the store refuses the append
        if envelope.is_step:
            return await self._repository.load(decider, stream, max_age=0 if must_be_fresh else None), None
        known = None if must_be_fresh else self._unchanged.cached(stream)
        if known is not None:
            aggregate = await self._repository.load(decider, stream)
            if aggregate.session == known.session:
                return aggregate, known
        for _ in range(MAX_READS):
            aggregate, known = await self._at_once(
                self._repository.load(decider, stream, max_age=0), self._unchanged.read(stream)
            )
            if aggregate.session == known.session:
                return aggregate, known
        raise StoreUnavailable("event")  # the two may be of different logs

    async def _decide(
        self,
        decider: Decider[S, C, E],
        stream: str,
        aggregate: Aggregate[S],
        envelope: Envelope,
        command: Callable[[S], Awaitable[C]],
        *,
        known: Known | None,
    ) -> CommandResult | Sequence[E]:
        before = await self._repository.result(stream, aggregate, envelope.request_id)
        if before is None and known is not None:
            before = known.results.get(envelope.request_id)
        if before is not None:
            return _repeated(before, envelope, stream)
        if envelope.expected_revision is not None and envelope.expected_revision != aggregate.revision:
            raise RevisionConflict(stream, envelope.expected_revision, aggregate.revision)
        return decider.decide(aggregate.state, await command(aggregate.state))

    async def _write(
        self, decider: Decider[S, C, E], stream: str, aggregate: Aggregate[S], envelope: Envelope, events: Sequence[E]
    ) -> CommandResult:
        """Raises `WrongRevision`, `SessionEnded`."""
        if not events:
            return await self._nothing_to_do(stream, aggregate, envelope)
        return await self._append(decider, stream, aggregate, envelope, events)

    async def _nothing_to_do(self, stream: str, aggregate: Aggregate[Any], envelope: Envelope) -> CommandResult:
        result = CommandResult(aggregate.revision, aggregate.position, envelope.payload_hash, unchanged=True)
        if envelope.is_step:
            return result
        result = await self._unchanged.record(stream, envelope.request_id, result, aggregate.session)
        return _repeated(result, envelope, stream) if result.is_repeat else result

    async def _append(
        self, decider: Decider[S, C, E], stream: str, aggregate: Aggregate[S], envelope: Envelope, events: Sequence[E]
    ) -> CommandResult:
        new = new_events(stream, envelope, events)
        seen = self._unchanged.position
        position = await self._store.append(stream, aggregate.revision, new, session=aggregate.session)
        result = CommandResult(aggregate.revision + len(events), position, envelope.payload_hash)
        self._repository.appended(
            decider,
            stream,
            aggregate,
            events=events,
            event_id=new[-1].id.bytes,
            request_id=envelope.request_id,
            result=result,
        )
        if aggregate.revision == NO_EVENTS:
            self._unchanged.opened(stream, position)
        # the store has answered a repeat: it was in the log before it was sent now
        return replace(result, is_repeat=True) if position <= seen else result


def contended() -> Backoff:
    """The pauses of a command that loses races, between nothing and all of each: its competitors rest too."""
    return Backoff(FIRST_PAUSE, MAX_PAUSE, jitter=1.0)


def _repeated(before: CommandResult, envelope: Envelope, stream: str) -> CommandResult:
    if before.payload_hash != envelope.payload_hash:
        raise RequestIdReused(envelope.request_id, stream)
    return replace(before, is_repeat=True)


def new_events(stream: str, envelope: Envelope, events: Sequence[DomainEvent], salt: str = "") -> list[NewEvent]:
    """The events to append. Ids are derived from stream, request, payload and index.

    The store treats events with known ids at a passed revision as a repeat; the payload is part of the id, so that the
    store never treats another payload under the same request id as one. `salt` is for requests that write to a stream
    again.
    """
    new = []
    for index, event in enumerate(events):
        event_type, data = codec.encode(event)
        metadata = codec.Metadata(
            correlation_id=envelope.correlation_id,
            correlation_text=envelope.correlation_text,
            causation_id=envelope.causation_id or envelope.request_id,
            request_id=envelope.request_id,
            payload_hash=envelope.payload_hash,
            schema_version=codec.schema_version(event_type),
            actor=envelope.actor,
            occurred_at=envelope.at,
            traceparent=envelope.traceparent,
            via=envelope.via,
        )
        new.append(
            NewEvent(
                type=event_type,
                data=data,
                metadata=codec.encode_metadata(metadata),
                content_type="application/json",
                id=uuid5(UUID(envelope.request_id), f"{stream}:{envelope.payload_hash}:{index}{salt}"),
            )
        )
    return new
