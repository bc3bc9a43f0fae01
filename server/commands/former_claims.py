"""Claims addresses of users who have no claim, or only one under the hash of a former normal form.

Former releases claimed an address under that hash only, and the first ones not at all. Until such an address is claimed
under its present hash, another spelling of it counts as free. So each command service reads at its start the events
since the last complete run, and claims what is missing for the user who has the address. It runs in the background,
and starts again if the event store does not answer.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any
from uuid import uuid4

import structlog

from core.background import beside
from core.domain.email.events import EmailClaimed, EmailResolved
from core.domain.email.normal_form import claim_keys
from core.domain.rejection import CommandRejected
from core.domain.user import USER
from core.domain.user.email import has_email
from core.domain.user.events import EmailChanged, EmailChangeRequired, UserRegistered
from core.eventstore import codec
from core.eventstore.client import NewEvent, RecordedEvent, position_of
from core.eventstore.ensured import until_done
from core.eventstore.log import START
from core.eventstore.repository import Repository
from core.eventstore.store import EventStore
from core.eventstore.upcasters import stored_names
from core.failures import Contention, LogMismatch, StreamGone
from server.commands.emails import EmailClaims
from server.commands.handler import Envelope

log = structlog.get_logger()

DONE = "emails_claimed"  # the stream whose last event has the position of the last complete run
STREAMS = "user(email)?-.*"

_CLAIMS = stored_names(EmailClaimed, EmailResolved)
_SETS = stored_names(UserRegistered, EmailChanged)
_ENDS = stored_names(EmailChangeRequired)


class FormerClaims:
    """`clock` gives the time in UTC."""

    def __init__(
        self, store: EventStore, repository: Repository, emails: EmailClaims, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._repository = repository
        self._emails = emails
        self._clock = clock

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While this is open, missing claims are made, once."""
        async with beside(until_done(self._run, "missing claims on e-mail addresses are made later")):
            yield

    async def _run(self) -> None:
        made = await self.complete()
        log.info("e-mail addresses of all users are claimed", made=made)

    async def complete(self) -> int:
        """Make the missing claims; returns their number. Raises a `StoreFailure`."""
        start = await self._done_until()
        try:
            unclaimed, position = await self._read(start)
        except LogMismatch:  # the stored position belongs to another log
            log.warning("the e-mail addresses of all users are looked through again", marked=start)
            start = START
            unclaimed, position = await self._read(start)
        made = 0
        for user_id in unclaimed.users:
            made += await self._claim(user_id)
        if position > start:
            await self._mark(position, is_first=start == START)
        return made

    async def _read(self, start: int) -> tuple["Unclaimed", int]:
        unclaimed, position = Unclaimed(), start
        async for event in self._store.history(STREAMS, start):
            unclaimed.take(event)
            position = position_of(event)
        return unclaimed, position

    async def _claim(self, user_id: str) -> int:
        """For a user who has an address now."""
        try:
            user = (await self._repository.load(USER, USER.stream(user_id), max_age=0)).state
        except StreamGone:
            return 0
        made = 0
        for key in claim_keys(getattr(user, "email", "")):
            if has_email(user, key) and await self._emails.is_unclaimed_by(key, user_id):
                try:
                    await self._emails.claim(key, user_id, self._envelope())
                    made += 1
                except (CommandRejected, Contention):  # another user has it, or is claiming it: `verify` lists it
                    log.warning("an e-mail address is claimed by another user", user_id=user_id, email_hash=key)
        return made

    def _envelope(self) -> Envelope:
        request_id = str(uuid4())
        return Envelope(
            request_id=request_id,
            payload_hash="",
            expected_revision=None,
            actor="orderstream",
            correlation_id=request_id,
            traceparent="",
            at=self._clock(),
        )

    async def _done_until(self) -> int:
        for event in await self._store.newest(DONE, 1):
            return int(json.loads(event.data)["position"])
        return START

    async def _mark(self, position: int, *, is_first: bool) -> None:
        data = json.dumps({"position": position}).encode()
        event = NewEvent(type="EmailsClaimed", data=data, content_type="application/json")
        await self._store.keep_newest(DONE, event, is_first=is_first)


class Unclaimed:
    """Finds users who may lack a claim: users with an address that they had not claimed under all its hashes before.

    It keeps only the claims that no user's event has followed yet, so the length of the log does not matter.
    """

    def __init__(self) -> None:
        self._claims: set[tuple[str, str]] = set()  # of hash and user
        self._users: dict[str, None] = {}

    @property
    def users(self) -> tuple[str, ...]:
        return tuple(self._users)

    def take(self, event: RecordedEvent) -> None:
        if event.type not in (*_CLAIMS, *_SETS, *_ENDS):
            return
        with suppress(codec.CodecError):
            self._take(event.type, codec.decode(event.type, event.data))

    def _take(self, event_type: str, event: Any) -> None:
        if event_type in _CLAIMS:
            self._claims.add((event.email_hash, event.user_id))
            return
        self._users.pop(event.user_id, None)
        if event_type in _SETS:
            claims = {(key, event.user_id) for key in claim_keys(event.email)}
            if not claims <= self._claims:
                self._users[event.user_id] = None
            self._claims -= claims
