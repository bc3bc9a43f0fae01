"""A log has one identity, which its copies share and no other log has."""

import asyncio
from pathlib import Path

from core.eventstore.identity import LogIdentity, identity_of
from core.eventstore.log import EventLog
from tests.support.older_log import copied, node


async def test_of_roles_that_start_at_once_one_writes_it(tmp_path: Path) -> None:
    async with node(tmp_path / "data") as client:
        assert await identity_of(EventLog(client)) == ""
        found = await asyncio.gather(*(LogIdentity(EventLog(client)).ensure() for _ in range(5)))
        assert set(found) == {await identity_of(EventLog(client))}
        assert found[0]


async def test_a_role_that_may_not_write_makes_none(tmp_path: Path) -> None:
    async with node(tmp_path / "data") as client:
        async with LogIdentity(EventLog(client), may_write=False).kept():
            pass
        assert await identity_of(EventLog(client)) == ""


async def test_an_older_copy_has_the_same_and_another_log_another(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with node(data) as client, LogIdentity(EventLog(client)).kept():
        first = await identity_of(EventLog(client))
    async with node(copied(data)) as client, LogIdentity(EventLog(client)).kept():
        assert await identity_of(EventLog(client)) == first
    async with node(tmp_path / "other") as client, LogIdentity(EventLog(client)).kept():
        assert await identity_of(EventLog(client)) not in ("", first)
