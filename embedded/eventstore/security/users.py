"""The users of a node: events in its log, like those of a real server, and the check of passwords.

`$user-<login>` has a user, `$users` the names of all, `$users-password-notifications` the users with a new password.
"""

import asyncio
import base64
import binascii
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import grpc

from embedded.eventstore.errors import HandlerError, RefusalError
from embedded.eventstore.event_encoding import readable
from embedded.eventstore.log import Log
from embedded.eventstore.records import ANY, TOMBSTONE, Entry, Proposed, decode, system_event
from embedded.eventstore.security.passwords import NOBODYS, Hashed, hashed, verify
from embedded.eventstore.security.settings import Security
from embedded.eventstore.writer import Deleted, Outcome, Writer
from embedded.eventstore.writing import Settled, write

ADMINS, OPERATORS = "$admins", "$ops"
USER = "$user-"  # the stream of a user is this and the login name
USERS = "$users"
NOTIFICATIONS = "$users-password-notifications"
NOTIFICATIONS_KEPT = 3_600  # seconds
CREATED, UPDATED, LISTED, PASSWORD_CHANGED = "$UserCreated", "$UserUpdated", "$User", "$PasswordChanged"
ACL = {"$acl": dict.fromkeys(("$w", "$d", "$mw"), ADMINS)}
REMEMBERED = 4_096  # headers of callers that were verified
PAGE = 500


@dataclass(frozen=True, slots=True, eq=False)
class User:
    """One version of a user: two objects are two versions, even if they say the same. `updated` is in ticks."""

    login: str
    full_name: str
    groups: tuple[str, ...]
    password: Hashed
    disabled: bool = False
    updated: int = 0

    @property
    def roles(self) -> frozenset[str]:
        """What an access control list may name."""
        return frozenset((self.login, *self.groups))

    @property
    def is_admin(self) -> bool:
        return self.login == "admin" or ADMINS in self.groups

    @property
    def is_operator(self) -> bool:
        return self.is_admin or self.login == "ops" or OPERATORS in self.groups

    def event(self, type_: str) -> Proposed:
        content: dict[str, Any] = {
            "loginName": self.login,
            "fullName": self.full_name,
            "salt": self.password.salt,
            "hash": self.password.hash,
            "disabled": self.disabled,
            "groups": self.groups,
        }
        return system_event(type_, content)

    @classmethod
    def of(cls, login: str, entry: Entry) -> "User | None":
        """None if the event is not one of a user: an administrator may append anything to the stream."""
        try:
            content = json.loads(decode(entry).data)
            return cls(
                login=login,
                full_name=str(content.get("fullName", "")),
                groups=tuple(str(group) for group in content.get("groups") or ()),
                password=Hashed(str(content["hash"]), str(content["salt"])),
                disabled=bool(content.get("disabled", False)),
                updated=entry.created,
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None


class Users:
    """All users of a log. Only the thread that reads the log uses it; passwords are hashed on another one."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._users: dict[str, User] = {}  # those that were looked up, until their streams change
        self._verified: dict[bytes, User] = {}  # by a keyed digest of the header
        self._key = os.urandom(hashlib.blake2b.MAX_KEY_SIZE)
        self._hashing = asyncio.Lock()  # one at a time: guessing passwords takes one processor at most
        log.on_commit(self._committed)

    def _committed(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.stream.startswith(("$user-", "$$$user-")):
                self._users.pop(entry.stream.removeprefix("$$").removeprefix(USER), None)

    def find(self, login: str) -> User | None:
        user = self._users.get(login)
        if user is None:
            entry = readable(self._log, USER + login, -1)
            user = None if entry is None else User.of(login, entry)
            if user is not None:
                self._users[login] = user
        return user

    def every(self) -> Iterator[User]:
        """All that there are now, by their names."""
        logins: set[str] = set()
        at = 0
        while page := self._log.stream_page(USERS, at, forwards=True, count=PAGE):
            logins.update(decode(entry).data.decode(errors="replace") for entry in page if entry.type == LISTED)
            if page[-1].revision == TOMBSTONE:
                break
            at = page[-1].revision + 1
        found = (self.find(login) for login in sorted(logins))
        return (user for user in found if user is not None)

    # -------------------------------------------------------------- logging in

    async def authenticate(self, header: str) -> User:
        """Whose `authorization` header this is. Raises UNAUTHENTICATED, and `HandlerError` for a garbled one."""
        digest = hashlib.blake2b(header.encode(errors="surrogatepass"), key=self._key).digest()
        user = self._remembered(digest)
        if user is not None:
            return user
        login, password = _credentials(header)
        async with self._hashing:
            user = self._remembered(digest)  # another call may have waited for the same
            if user is None:
                user = await self._verify(login, password)
        if user is None or user.disabled:
            raise unauthenticated()
        if len(self._verified) >= REMEMBERED:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = user
        return user

    def _remembered(self, digest: bytes) -> User | None:
        """The user that was verified with it, unless it has changed since."""
        user = self._verified.get(digest)
        return user if user is not None and self._users.get(user.login) is user else None

    async def has_password(self, login: str, password: str) -> bool:
        async with self._hashing:
            return await self._verify(login, password) is not None

    async def _verify(self, login: str, password: str) -> User | None:
        """The user if it has this password. An unknown user takes as long as a wrong password."""
        while True:
            user = self.find(login)
            fits = await asyncio.to_thread(verify, password, NOBODYS if user is None else user.password)
            if self.find(login) is user:
                return user if fits else None

    # -------------------------------------------------------------- changing them

    async def create_default(self, security: Security) -> None:
        """Create the users `admin` and `ops`, unless the log knows them, even as deleted ones."""
        for login, full_name, group, password in (
            ("admin", "Event Store Administrator", ADMINS, security.admin_password),
            ("ops", "Event Store Operations", OPERATORS, security.ops_password),
        ):
            if self._log.last_of(USER + login) is None:
                await self.create(User(login, full_name, (group,), await self.hash(password)))

    async def hash(self, password: str) -> Hashed:
        async with self._hashing:
            return await asyncio.to_thread(hashed, password)

    async def create(self, user: User) -> Settled:
        return await write(self._log, _creating(user))

    async def update(self, user: User, *, notify: bool = True, **changes: Any) -> Settled:
        """`notify` also writes down that its callers have to log in again."""
        changed = replace(user, **changes)

        def run(writer: Writer) -> Outcome:
            if notify:
                _notify(writer, user.login)
            return writer.append(USER + user.login, ANY, [changed.event(UPDATED)])

        return await write(self._log, run)

    async def delete(self, user: User) -> Settled:
        def run(writer: Writer) -> Outcome:
            _notify(writer, user.login)
            return writer.delete(USER + user.login, ANY)

        return await write(self._log, run)


def _creating(user: User) -> Callable[[Writer], Outcome]:
    stream = USER + user.login

    def run(writer: Writer) -> Outcome:
        if writer.is_tombstoned(stream):
            return Deleted(stream)
        writer.append("$$" + stream, ANY, [system_event("$metadata", ACL)])
        listed = system_event(LISTED, None)._replace(is_json=False, data=user.login.encode())
        writer.append(USERS, ANY, [listed])
        return writer.append(stream, ANY, [user.event(CREATED)])

    return run


def _notify(writer: Writer, login: str) -> None:
    metadata = "$$" + NOTIFICATIONS
    if writer.last_of(metadata) < 0:
        writer.append(metadata, ANY, [system_event("$metadata", {"$maxAge": NOTIFICATIONS_KEPT})])
    writer.append(NOTIFICATIONS, ANY, [system_event(PASSWORD_CHANGED, {"loginName": login})])


def _credentials(header: str) -> tuple[str, str]:
    """Login name and password. A real server fails over a header that is not HTTP basic, and so does this."""
    scheme, _, encoded = header.strip().partition(" ")
    try:
        login, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as error:
        raise HandlerError("a garbled authorization header") from error
    if scheme.lower() != "basic" or not colon:
        raise HandlerError("not HTTP basic authentication")
    return login, password


def unauthenticated() -> RefusalError:
    return RefusalError(grpc.StatusCode.UNAUTHENTICATED, "Unauthenticated")
