"""The rights that a role needs in the event store, and whether it has them.

Each right is tested by a call without an important effect: a tick of the store's clock is written, which the services
write anyway; a group that cannot exist is deleted. A refusal names the command that grants the right.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from core.eventstore import checkout_group
from core.eventstore.connection import Client
from core.eventstore.discovery import Member
from core.eventstore.log import EventLog
from core.eventstore.persistent import ALL, Groups
from core.eventstore.store import CLOCK, EventStore
from core.failures import NotFound, StorePermissionDenied

READ_ALL, READ, WRITE = "read $all", "read our streams", "write our streams and their metadata"
READ_PARKED, OPERATE = "read the parked events of a group", "create, replay and restart groups"
GRANT = "orderstream store grant --as ADMIN"
# by role; rights in the second place are optional
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
    """`how` is what grants it; "" if we have it. `is_needed`: the role does not run without it."""

    name: str
    is_granted: bool
    is_needed: bool
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The event store as a role finds it.

    `behind` is in seconds: how far the store's clock is behind this machine's; None if it was not read, which needs
    the right to write. `has_group` is None if the role does not use the group.
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


async def reports(client: Client, roles: Sequence[str]) -> list[Report]:
    """Each right is tested once, for all roles that need it. Raises a `StoreFailure` if nothing can be reported."""
    log = EventLog(client)
    store, groups = EventStore(log), Groups(log)
    try:
        trying: dict[str, Callable[[], Awaitable[object]]] = {
            READ_ALL: store.log.end,
            READ: lambda: store.newest(CLOCK, 1),
            WRITE: store.now,
            READ_PARKED: lambda: groups.may_read_parked(ALL, checkout_group.NAME),
            OPERATE: lambda: _may_operate(groups),
        }
        wanted = dict.fromkeys(name for role in roles for names in NEEDED[role] for name in names)
        granted = {name: await _is_granted(trying[name]) for name in wanted}
        version, members = await client.version(), tuple(await client.members())
        behind = await _behind(store) if granted.get(WRITE) else None
        has_group = await checkout_group.is_there(groups) if "processes" in roles else None
        return [
            Report(
                role=role,
                node=client.connection_target,
                user=client.address.username,
                version=version,
                members=members,
                behind=behind,
                rights=_of_role(role, granted),
                has_group=has_group if role == "processes" else None,
            )
            for role in roles
        ]
    finally:
        await store.close()


def _of_role(role: str, granted: Mapping[str, bool]) -> tuple[Right, ...]:
    needed, useful = NEEDED[role]
    return tuple(
        Right(name=name, is_granted=granted[name], is_needed=name in needed, how="" if granted[name] else HOW[name])
        for name in (*needed, *useful)
    )


async def _is_granted(attempt: Callable[[], Awaitable[object]]) -> bool:
    try:
        await attempt()
    except StorePermissionDenied:
        return False
    return True


async def _may_operate(groups: Groups) -> None:
    """Raises `StorePermissionDenied`. A user who may delete groups gets "not found" for this one."""
    with suppress(NotFound):
        await groups.delete(ALL, f"orderstream-check-{uuid4()}")


async def _behind(store: EventStore) -> float:
    before = datetime.now(UTC)
    store_time = await store.now()
    return ((before + (datetime.now(UTC) - before) / 2) - store_time).total_seconds()
