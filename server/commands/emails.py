"""One user per e-mail address, although no append spans two streams.

An address has its own stream, `useremail-<hash>`. A command first claims it there and then writes to the user's
stream; the user's former address is released last. No clock decides who has an address, the log does:

- A command reads the user's stream, then claims, then appends to the user's stream at the revision that it read. So an
  event in that stream which was written after the claim makes the claim void: either the command was earlier, and
  the user has the address, or the event store refuses the command's append.
- A claim of another user is taken over only if it is void and its user does not have the address. If it may still
  be used, an event in that user's stream makes it void (`EmailClaimRevoked`), once it is abandoned: older than
  any command, by the event store's time. A wrong clock can only make commands wait or fail.
- Every claim is an event of its own, written at an exact revision: one of many concurrent claims succeeds.
(docs/adr/0009, docs/adr/0019)
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

import structlog

from core.domain.decider import Decider
from core.domain.email import EMAIL
from core.domain.email.commands import ClaimEmail, ReleaseEmail
from core.domain.email.decide import ABANDONED_AFTER
from core.domain.email.normal_form import claim_keys
from core.domain.email.state import Claimed, EmailState
from core.domain.rejection import CommandRejected
from core.domain.user import USER
from core.domain.user.commands import RevokeEmailClaim
from core.domain.user.email import has_email
from core.domain.user.state import UserState
from core.eventstore.idempotency import CommandResult
from core.eventstore.registry import DomainEvent
from core.eventstore.repository import Aggregate, Repository
from core.eventstore.store import EventStore, WrongRevision
from core.eventstore.store_time import StoreTime
from core.failures import Contention, StoreFailure, StreamGone
from server.commands.handler import MAX_ATTEMPTS, Envelope, contended, new_events

log = structlog.get_logger()

S = TypeVar("S")
E = TypeVar("E", bound=DomainEvent)

FRESH = 0.0  # seconds of age


@dataclass(frozen=True, slots=True)
class _Reservation:
    """`is_new`: no other request of the same user can depend on the claim, so it may be released."""

    user_id: str
    revision: int
    is_new: bool


class EmailClaims:
    """The claims of all requests; `of` starts those of one. `time` decides whether a claim is abandoned."""

    def __init__(self, store: EventStore, repository: Repository, time: StoreTime) -> None:
        self._store = store
        self._repository = repository
        self._time = time

    def of(self, envelope: Envelope) -> "RequestClaims":
        return RequestClaims(self, envelope)

    async def claim(self, key: str, user_id: str, envelope: Envelope) -> Aggregate[EmailState]:
        """Claim an address; returns the state of its stream before. Raises `CommandRejected` with EMAIL_TAKEN,
        `Contention`.
        """
        stream = EMAIL.stream(key)
        # most addresses are new: the store refuses the append if this one is not
        address, is_fresh = self._repository.cached_or_initial(EMAIL, stream), False
        backoff = contended()
        for _ in range(MAX_ATTEMPTS):
            try:
                # the claim's user is read only if the store has confirmed that the claim is the newest
                is_void = is_fresh and await self._make_void(address, user_id, key, envelope)
                command = ClaimEmail(email_hash=key, user_id=user_id, is_void=is_void, at=envelope.at)
                await self._append(EMAIL, stream, address, envelope, EMAIL.decide(address.state, command))
            except CommandRejected:
                if is_fresh:
                    raise
            except WrongRevision:
                await backoff.rest()
            else:
                return address
            address, is_fresh = await self._repository.load(EMAIL, stream, max_age=FRESH), True
        raise Contention(stream, MAX_ATTEMPTS)

    async def release_void(self, key: str, user_id: str, envelope: Envelope) -> None:
        """Release a void claim of the user, so that the log shows the address as free. It may fail."""
        with _may_fail(key):
            address = await self._repository.load(EMAIL, EMAIL.stream(key), max_age=FRESH)
            if isinstance(address.state, Claimed) and address.state.user_id == user_id:
                holder = await self._holder(address.state)
                if _is_void(address, holder, key):
                    await self._release(key, user_id, address, envelope)

    async def release_unused(self, key: str, user_id: str, revision: int, envelope: Envelope) -> None:
        """Release a claim that no command depends on any more, unless there is a newer one. It may fail."""
        with _may_fail(key):
            address = await self._repository.load(EMAIL, EMAIL.stream(key), max_age=FRESH)
            if address.revision == revision:
                await self._release(key, user_id, address, envelope)

    async def is_unclaimed_by(self, key: str, user_id: str) -> bool:
        """Whether the address is not claimed by this user now."""
        state = (await self._repository.load(EMAIL, EMAIL.stream(key), max_age=FRESH)).state
        return not isinstance(state, Claimed) or state.user_id != user_id

    async def holders_among(self, key: str, user_ids: Sequence[str]) -> frozenset[str]:
        """Those of the users who have the address now."""
        states = {
            user_id: (await self._repository.load(USER, USER.stream(user_id), max_age=FRESH)).state
            for user_id in user_ids
        }
        return frozenset(user_id for user_id, state in states.items() if has_email(state, key))

    async def is_void(self, key: str, besides: Sequence[str], envelope: Envelope) -> bool:
        """Whether the claim belongs to a user not named, and is void or was just made void."""
        address = await self._repository.load(EMAIL, EMAIL.stream(key), max_age=FRESH)
        if not isinstance(address.state, Claimed) or address.state.user_id in besides:
            return False
        try:
            return await self._make_void(address, "", key, envelope)
        except WrongRevision:  # the command that depends on the claim is being executed
            return False

    async def _release(self, key: str, user_id: str, address: Aggregate[EmailState], envelope: Envelope) -> None:
        command = ReleaseEmail(email_hash=key, user_id=user_id, at=envelope.at)
        await self._append(EMAIL, EMAIL.stream(key), address, envelope, EMAIL.decide(address.state, command))

    async def _holder(self, claim: Claimed) -> Aggregate[UserState] | None:
        """None if the events of the user were deleted: the claim is then unused."""
        try:
            return await self._repository.load(USER, USER.stream(claim.user_id), max_age=FRESH)
        except StreamGone:
            return None

    async def _make_void(self, address: Aggregate[EmailState], user_id: str, key: str, envelope: Envelope) -> bool:
        """Whether the claim of another user is void, or was just made void. Raises `WrongRevision`.

        The order matters: `address` was read before the claim's user.
        """
        claim = address.state
        if not isinstance(claim, Claimed) or claim.user_id == user_id:
            return False
        holder = await self._holder(claim)
        if holder is None or _is_void(address, holder, key):
            return True
        if has_email(holder.state, key) or not await self._is_abandoned(EMAIL.stream(key), address.revision):
            return False
        command = RevokeEmailClaim(user_id=claim.user_id, email_hash=key, at=envelope.at)
        events = USER.decide(holder.state, command)
        await self._append(USER, USER.stream(claim.user_id), holder, envelope, events)
        return True

    async def _is_abandoned(self, stream: str, revision: int) -> bool:
        """Whether the newest claim, at this revision, is older than any running command, by the store's time."""
        newest = await self._store.newest(stream, 1)
        if not newest or newest[-1].stream_position != revision:
            raise WrongRevision
        claimed_at = newest[-1].recorded_at
        return claimed_at is not None and await self._time.has_passed(claimed_at + ABANDONED_AFTER)

    async def _append(
        self,
        decider: Decider[S, Any, E],
        stream: str,
        aggregate: Aggregate[S],
        envelope: Envelope,
        events: Sequence[E],
    ) -> None:
        if not events:
            return
        # New ids each time. If they were derived from the request, the store would accept a repeat as the
        # claim of the first time, which may have been taken over since.
        new = new_events(stream, envelope, events, salt=f":{uuid4()}")
        position = await self._store.append(stream, aggregate.revision, new, session=aggregate.session)
        self._repository.appended(
            decider,
            stream,
            aggregate,
            events=events,
            event_id=new[-1].id.bytes,
            request_id=envelope.request_id,
            result=CommandResult(aggregate.revision + len(events), position, envelope.payload_hash),
        )


def _is_void(address: Aggregate[EmailState], holder: Aggregate[UserState] | None, key: str) -> bool:
    """Whether the newest claim can no longer be used. Its user, `holder`, was read after `address`.

    A position of 0 was not given by the store, and proves nothing.
    """
    if holder is None:
        return True
    return not has_email(holder.state, key) and 0 < address.position < holder.position


@contextmanager
def _may_fail(key: str) -> Iterator[None]:
    """Nothing waits for a release: an unreleased claim is taken over when it is needed."""
    try:
        yield
    except WrongRevision:
        return
    except (StoreFailure, StreamGone) as error:
        log.warning("an e-mail address was not released", stream=EMAIL.stream(key), error=str(error))


class RequestClaims:
    """The addresses that one request reserves and vacates, until it is committed or rolled back."""

    def __init__(self, emails: EmailClaims, envelope: Envelope) -> None:
        self._emails = emails
        self._envelope = envelope
        self._reserved: dict[str, _Reservation] = {}
        self._vacated: dict[str, str] = {}  # by the hash of the address: the user who had it

    async def reserve(self, email: str, user_id: str) -> None:
        """Claim an address. Call it after the user's stream was read, before each attempt to write the address there.

        It is claimed under the hash of its former normal form too: claims of former releases are still valid.
        """
        for key in claim_keys(email):
            before = await self._emails.claim(key, user_id, self._envelope)
            self._reserved[key] = _Reservation(user_id, before.revision + 1, self._is_new(key, user_id, before))

    def _is_new(self, key: str, user_id: str, before: Aggregate[EmailState]) -> bool:
        if not isinstance(before.state, Claimed) or before.state.user_id != user_id:
            return True
        mine = self._reserved.get(key)  # of an earlier attempt, unless another request has claimed since
        return mine is not None and mine.is_new and mine.revision == before.revision

    def vacate(self, email: str, user_id: str) -> None:
        """Register the user's present address, which the request will take from the user."""
        self._vacated.update(dict.fromkeys(claim_keys(email), user_id))

    async def holders_among(self, email_hash: str, user_ids: Sequence[str]) -> frozenset[str]:
        """Those of the users who have the address now."""
        return await self._emails.holders_among(email_hash, user_ids)

    async def is_void(self, email_hash: str, besides: Sequence[str]) -> bool:
        """Whether the claim of a user not named can no longer be used; it is made void if it is abandoned."""
        return await self._emails.is_void(email_hash, besides, self._envelope)

    async def commit(self) -> None:
        """The user has the address that was reserved last: release the vacated ones."""
        for key, user_id in self._vacated.items():
            if key not in self._reserved:
                await self._emails.release_void(key, user_id, self._envelope)

    async def rollback(self) -> None:
        """Nothing was written: release the reservations of this request."""
        for key, claim in self._reserved.items():
            if claim.is_new:
                await self._emails.release_unused(key, claim.user_id, claim.revision, self._envelope)
