"""The rights on a stream: access control lists in stream metadata, in `$settings`, and the default ones.

A right that the list of a stream does not name is looked up in `$settings`, then in the defaults.
"""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from embedded.eventstore.event_encoding import readable
from embedded.eventstore.log import Log
from embedded.eventstore.records import Entry, decode, to_retention
from embedded.eventstore.security.users import User

ALL = "$all"  # as a stream: everything; in a list: everybody who is logged in
ADMINS = "$admins"
SETTINGS = "$settings"
REMEMBERED = 10_000  # streams


class Right(StrEnum):
    """By its key in an access control list."""

    READ = "$r"
    WRITE = "$w"
    DELETE = "$d"
    READ_METADATA = "$mr"
    WRITE_METADATA = "$mw"


OF_METADATA = {Right.READ: Right.READ_METADATA, Right.WRITE: Right.WRITE_METADATA}
Acl = Mapping[str, Sequence[str]]  # by right: groups and login names
NO_ACL: Acl = {}
USER_STREAMS, SYSTEM_STREAMS = "$userStreamAcl", "$systemStreamAcl"  # keys of `$settings`
DEFAULTS: Mapping[str, Acl] = {
    USER_STREAMS: dict.fromkeys(Right, (ALL,)),
    SYSTEM_STREAMS: dict.fromkeys(Right, (ADMINS,)),
}


class Access:
    """The access control lists of a log. Only the thread that reads the log uses it."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._acls: dict[str, Acl] = {}
        self._settings: Mapping[str, Acl] | None = None
        log.on_commit(self._committed)

    def may(self, user: User | None, right: Right, stream: str) -> bool:
        """Whether the caller has the right. `user` None has none, whatever a list says."""
        if user is None or (stream == ALL and right in (Right.WRITE, Right.DELETE)):
            return False
        if stream.startswith("$$"):
            if right not in OF_METADATA:
                return False
            right, stream = OF_METADATA[right], stream[2:]
        if user.is_admin:
            return True
        roles = self._roles(right, stream)
        return ALL in roles or not user.roles.isdisjoint(roles)

    def _roles(self, right: Right, stream: str) -> Sequence[str]:
        kind = SYSTEM_STREAMS if stream.startswith("$") else USER_STREAMS
        for acl in (self._acl(stream), self._default_acls().get(kind, NO_ACL)):
            if right in acl:
                return acl[right]
        return DEFAULTS[kind][right]

    def _acl(self, stream: str) -> Acl:
        found = self._acls.get(stream)
        if found is None:
            metadata = to_retention(self._log.last_of("$$" + stream)).raw or {}
            found = to_acl(metadata.get("$acl"))
            if len(self._acls) >= REMEMBERED:
                self._acls.clear()
            self._acls[stream] = found
        return found

    def _default_acls(self) -> Mapping[str, Acl]:
        if self._settings is None:
            entry = readable(self._log, SETTINGS, -1)
            self._settings = {} if entry is None else _default_acls(decode(entry).data)
        return self._settings

    def _committed(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.stream.startswith("$$"):
                self._acls.pop(entry.stream[2:], None)
            if entry.stream.removeprefix("$$") == SETTINGS:
                self._settings = None


def to_acl(content: Any) -> Acl:
    """From a JSON object, whose rights are a name or a list of names. Anything else gives no list at all."""
    if not isinstance(content, dict):
        return NO_ACL
    acl: dict[str, list[str]] = {}
    for right in Right:
        names = content.get(right)
        if isinstance(names, str):
            acl[right] = [names]
        elif isinstance(names, list) and all(isinstance(name, str) for name in names):
            acl[right] = names
        elif names is not None:
            return NO_ACL
    return acl


def _default_acls(data: bytes) -> Mapping[str, Acl]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {kind: to_acl(content.get(kind)) for kind in DEFAULTS}
