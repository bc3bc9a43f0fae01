"""The rights that our user needs, added to the access control lists of the event store by an administrator.

An event store may be shared: existing entries stay, ours are added, under the revision at which the list was read.
Lists are in the metadata of a stream (`$acl`), and for streams without one in the last event of `$settings`. A missing
list means the event store's default; the first explicit list therefore includes the default.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from core.eventstore import checkout_group
from core.eventstore.client import NewEvent, NotFound, StreamState, WrongCurrentVersion
from core.eventstore.connection import Client
from core.eventstore.log import EventLog
from core.eventstore.persistent import ALL, Groups, parked_stream
from core.failures import ServiceFailure

SETTINGS, UPDATE = "$settings", "update-default-acl"
ADMINS, EVERYBODY = "$admins", "$all"
TIMEOUT = 5.0  # seconds
OUR_STREAMS = ("$r", "$w", "$mr", "$mw")


class GrantOutdated(ServiceFailure):
    reason = "PLAN_OUTDATED"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} has changed since it was read; nothing of it was written: run it again", what=what)


@dataclass(frozen=True, slots=True)
class Step:
    """One change. `what` is for people; `apply` raises `GrantOutdated` if the list has changed since it was read."""

    what: str
    apply: Callable[[], Awaitable[None]]


async def planned(admin: Client, user: str) -> list[Step]:
    """The missing rights of `user`, the name of a user or of a group of users. Raises a `StoreFailure`."""
    content, revision = await _settings(admin)
    default = dict(content.get("$systemStreamAcl") or {})
    steps = [
        await _reading(admin, ALL, user, default),
        await _reading(admin, parked_stream(ALL, checkout_group.NAME), user, default),
        _writing_our_streams(admin, user, content, revision),
        await _group(admin),
    ]
    return [step for step in steps if step is not None]


async def _reading(admin: Client, stream: str, user: str, default: Mapping[str, Any]) -> Step | None:
    """`default` applies to a stream of the event store's own that has no list."""
    with admin.calling():
        metadata, revision = await admin.get_stream_metadata(stream, timeout=TIMEOUT)
    acl = dict(metadata.get("$acl") or {})
    changed = _with(acl, ("$r",), user, default)
    if not changed:
        return None

    async def apply() -> None:
        content, _ = await _settings(admin)
        if dict(content.get("$systemStreamAcl") or {}) != default:
            raise GrantOutdated(SETTINGS)
        with admin.calling():
            await admin.set_stream_metadata(
                stream, metadata={**metadata, "$acl": acl | changed}, current_version=revision, timeout=TIMEOUT
            )

    return Step(f"$r in the metadata of {stream}: {_shown(acl, changed)}", _checked(stream, apply))


def _writing_our_streams(
    admin: Client, user: str, content: Mapping[str, Any], revision: int | StreamState
) -> Step | None:
    """Every user may read and write streams without their own list, unless `$settings` says otherwise."""
    acl = dict(content.get("$userStreamAcl") or {})
    changed = _with(acl, [right for right in OUR_STREAMS if right in acl], user)
    if not changed:
        return None

    async def apply() -> None:
        data = json.dumps({**content, "$userStreamAcl": acl | changed}).encode()
        with admin.calling():
            await admin.append_to_stream(
                SETTINGS,
                current_version=revision,
                events=[NewEvent(type=UPDATE, data=data, id=uuid4())],
                timeout=TIMEOUT,
            )

    return Step(f"$userStreamAcl in {SETTINGS}: {_shown(acl, changed)}", _checked(SETTINGS, apply))


async def _settings(admin: Client) -> tuple[dict[str, Any], int | StreamState]:
    with admin.calling(), suppress(NotFound):
        async for event in admin.events_of_stream(SETTINGS, backwards=True, limit=1, timeout=TIMEOUT):
            return dict(json.loads(event.data)), event.stream_position
    return {}, StreamState.NO_STREAM


async def _group(admin: Client) -> Step | None:
    groups = Groups(EventLog(admin))
    if await checkout_group.is_there(groups):
        return None

    async def apply() -> None:
        await checkout_group.create_missing(groups)

    return Step(f"the group {checkout_group.NAME} on {ALL}, from the start of the log", apply)


def _with(
    acl: Mapping[str, Any], rights: Sequence[str], user: str, default: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, list[str]]:
    """The lists without the user, with the user added."""
    changed = {}
    for right in rights:
        names = acl.get(right, default.get(right, ADMINS))
        there = [names] if isinstance(names, str) else list(names)
        if user not in there and EVERYBODY not in there:
            changed[right] = [*there, user]
    return changed


def _shown(acl: Mapping[str, Any], changed: Mapping[str, list[str]]) -> str:
    return ", ".join(
        f"{right} {json.dumps(acl.get(right, 'default'))} -> {json.dumps(now)}" for right, now in changed.items()
    )


def _checked(what: str, apply: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def checked() -> None:
        try:
            await apply()
        except WrongCurrentVersion as error:
            raise GrantOutdated(what) from error

    return checked
