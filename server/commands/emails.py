"""One user per e-mail address, although no append spans two streams.

An address has a stream of its own, `useremail-<hash>`. A command claims it there first and then writes to the user's
stream; the address that the user had before is released last. Whatever is in between when a process dies, no two users
ever have one address, and none is lost for ever: a claim that its user did not use counts for `ABANDONED_AFTER` only.
Every claim is a new event, and a release expects exactly the revision that its claim was seen at, so that no release
undoes a later claim. (docs/adr/0009)
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from server.commands.handler import LONGEST_PAUSE, MOST_ATTEMPTS, Envelope, new_events
from server.domain.email import EMAIL
from server.domain.email.commands import ClaimEmail, ReleaseEmail
from server.domain.email.decide import email_hash
from server.domain.email.events import EmailEvent
from server.domain.email.state import Claimed, EmailState
from server.domain.rejection import Rejected
from server.domain.user import USER
from server.domain.user.state import User
from server.eventstore.receipts import Receipt
from server.eventstore.repository import Aggregate, Repository
from server.eventstore.store import EventStore, WrongRevision
from server.failures import Contention, StoreUnavailable

log = structlog.get_logger()

NOW = 0.0  # seconds of age


@dataclass(frozen=True, slots=True)
class _Taken:
    """`is_new`: it was not this user's before the request."""

    user_id: str
    revision: int
    is_new: bool


class EmailClaims:
    """Claims for whoever asks; `of` begins those of one request."""

    def __init__(self, store: EventStore, repository: Repository) -> None:
        self._store = store
        self._repository = repository

    def of(self, envelope: Envelope) -> "RequestClaims":
        return RequestClaims(self, envelope)

    async def claim(self, key: str, user_id: str, envelope: Envelope) -> tuple[EmailState, int]:
        """What was before, and the revision of the claim. Raises `Rejected` with EMAIL_TAKEN, `Contention`."""
        stream = EMAIL.stream(key)
        # most addresses are new: the store refuses the append if this one is not
        address, is_fresh = self._repository.remembered_or_new(EMAIL, stream), False
        for attempt in range(MOST_ATTEMPTS):
            in_use = is_fresh and await self._is_in_use(address.state, user_id, key)
            command = ClaimEmail(email_hash=key, user_id=user_id, in_use=in_use, at=envelope.at)
            try:
                await self._append(stream, address, envelope, EMAIL.decide(address.state, command))
            except Rejected:
                if is_fresh:
                    raise
            except WrongRevision:
                await asyncio.sleep(random.uniform(0, min(LONGEST_PAUSE, 0.002 * 2**attempt)))  # noqa: S311  # jitter
            else:
                return address.state, address.revision + 1
            address, is_fresh = await self._repository.load(EMAIL, stream, max_age=NOW), True
        raise Contention(stream, MOST_ATTEMPTS)

    async def held_at(self, key: str, user_id: str) -> int | None:
        """The revision of the user's claim; None if it is not the user's."""
        address = await self._repository.load(EMAIL, EMAIL.stream(key), max_age=NOW)
        is_theirs = isinstance(address.state, Claimed) and address.state.user_id == user_id
        return address.revision if is_theirs else None

    async def release(self, key: str, user_id: str, revision: int, envelope: Envelope) -> None:
        """Let anybody have the address, unless there is any news of it. It is not waited for and may fail."""
        stream = EMAIL.stream(key)
        try:
            address = await self._repository.load(EMAIL, stream, max_age=NOW)
            if address.revision != revision:
                return
            command = ReleaseEmail(email_hash=key, user_id=user_id, at=envelope.at)
            await self._append(stream, address, envelope, EMAIL.decide(address.state, command))
        except WrongRevision:
            return
        except StoreUnavailable as error:
            log.warning("an e-mail address is released later, by whoever wants it", stream=stream, error=str(error))

    async def _is_in_use(self, state: EmailState, user_id: str, key: str) -> bool:
        """Whether another user who holds the claim has the address now."""
        if not isinstance(state, Claimed) or state.user_id == user_id:
            return False
        holder = (await self._repository.load(USER, USER.stream(state.user_id), max_age=NOW)).state
        return isinstance(holder, User) and email_hash(holder.email) == key

    async def _append(
        self, stream: str, address: Aggregate[EmailState], envelope: Envelope, events: Sequence[EmailEvent]
    ) -> None:
        if not events:
            return
        # a request may have to claim more than once: each time is an event of its own
        new = new_events(stream, envelope, events, salt=f":{address.revision}")
        position = await self._store.append(stream, address.revision, new)
        self._repository.appended(
            EMAIL,
            stream,
            address,
            events=events,
            event_id=new[-1].id.bytes,
            request_id=envelope.request_id,
            receipt=Receipt(address.revision + len(events), position, envelope.payload_hash),
        )


class RequestClaims:
    """What one request claims and leaves, and what becomes of it when the request is done or refused."""

    def __init__(self, emails: EmailClaims, envelope: Envelope) -> None:
        self._emails = emails
        self._envelope = envelope
        self._taken: dict[str, _Taken] = {}
        self._left: dict[str, _Taken] = {}

    async def take(self, email: str, user_id: str) -> None:
        """Claim an address, before each try to write that the user has it."""
        key = email_hash(email)
        before, revision = await self._emails.claim(key, user_id, self._envelope)
        was_theirs = isinstance(before, Claimed) and before.user_id == user_id
        mine = self._taken.get(key)
        self._taken[key] = _Taken(user_id, revision, mine.is_new if mine else not was_theirs)

    async def leave(self, email: str, user_id: str) -> None:
        """Note the address that the user has now and will not have when the request is done."""
        key = email_hash(email)
        revision = await self._emails.held_at(key, user_id)
        if revision is not None:
            self._left[key] = _Taken(user_id, revision, is_new=False)

    async def done(self) -> None:
        """The user has the address that was taken last: release what was left."""
        for key, claim in self._left.items():
            if key not in self._taken:
                await self._emails.release(key, claim.user_id, claim.revision, self._envelope)

    async def refused(self) -> None:
        """Nothing was written: release what was taken for it."""
        for key, claim in self._taken.items():
            if claim.is_new:
                await self._emails.release(key, claim.user_id, claim.revision, self._envelope)
