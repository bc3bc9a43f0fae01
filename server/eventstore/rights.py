"""What a role needs a right to in the event store, and whether it has it.

Each right is tried by a call that changes nothing that matters: a tick of the store's clock is written, which the
services write anyway; a group that cannot be there is deleted. Who is refused is told which command grants it.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from server.eventstore import checkout_group
from server.eventstore.connection import Client
from server.eventstore.discovery import Member
from server.eventstore.persistent import ALL, Groups
from server.eventstore.store import CLOCK, EventStore
from server.failures import NotFound, StorePermissionDenied

READ_ALL, READ, WRITE = "read $all", "read our streams", "write our streams and their metadata"
READ_PARKED, OPERATE = "read the parked events of a group", "create, replay and restart groups"
GRANT = "orderstream store grant --as ADMIN"
# by role; what is in the second place is of use, and the role runs without it
NEEDED: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "commands": ((READ_ALL, READ, WRITE), ()),
    "queries": ((READ_ALL, READ), ()),
    "processes": ((READ_ALL, READ, WRITE), (READ_PARKED, OPERATE)),
    "projections": ((READ_ALL, READ, WRITE), (READ_PARKED, OPERATE)),
}
HOW: Mapping[str, str] = {
    READ_ALL: GRANT,
    READ: GRANT,
    WRITE: GRANT,
    READ_PARKED: GRANT,
    OPERATE: "make the user a member of $ops, or run these acts as one who is",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """`how` is what grants it; "" if we have it. `is_needed`: without it the role does not run."""

    name: str
    is_granted: bool
    is_needed: bool
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an event store is to a role.

    `behind` is in seconds: how far the store's clock is behind this machine's; None if we may not write. `has_group` is
    None if the role does not use the group.
    """

    role: str
    node: str
    user: str
    version: str
    members: tuple[Member, ...]
    behind: float | None
    rights: tuple[Right, ...]
    has_group: bool | None

    @property
    def is_enough(self) -> bool:
        """Whether the role runs."""
        can_have_group = self.has_group is not False or any(x.is_granted for x in self.rights if x.name == OPERATE)
        return can_have_group and all(right.is_granted for right in self.rights if right.is_needed)


async def report(client: Client, role: str) -> Report:
    """Raises a `StoreFailure` if there is nothing to tell."""
    store, groups = EventStore(client), Groups(client)
    try:
        needed, useful = NEEDED[role]
        trying: dict[str, Callable[[], Awaitable[object]]] = {
            READ_ALL: store.log.end,
            READ: lambda: store.newest(CLOCK, 1),
            WRITE: store.now,
            READ_PARKED: lambda: groups.may_read_parked(ALL, checkout_group.NAME),
            OPERATE: lambda: _may_operate(groups),
        }
        rights = [
            Right(name=name, is_granted=granted, is_needed=name in needed, how="" if granted else HOW[name])
            for name in (*needed, *useful)
            for granted in [await _is_granted(trying[name])]
        ]
        return Report(
            role=role,
            node=client.connection_target,
            user=client.address.username,
            version=await client.version(),
            members=tuple(await client.members()),
            behind=await _behind(store) if any(x.name == WRITE and x.is_granted for x in rights) else None,
            rights=tuple(rights),
            has_group=await checkout_group.is_there(groups) if role == "processes" else None,
        )
    finally:
        await store.close()


async def _is_granted(attempt: Callable[[], Awaitable[object]]) -> bool:
    try:
        await attempt()
    except StorePermissionDenied:
        return False
    return True


async def _may_operate(groups: Groups) -> None:
    """Raises `StorePermissionDenied`. Who may delete a group that is not there is told that it is not there."""
    with suppress(NotFound):
        await groups.delete(ALL, f"orderstream-check-{uuid4()}")


async def _behind(store: EventStore) -> float:
    before = datetime.now(UTC)
    told = await store.now()
    return ((before + (datetime.now(UTC) - before) / 2) - told).total_seconds()
