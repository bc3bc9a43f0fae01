"""A command service that runs on while the log is taken back to an older copy, which others then let grow past it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from esdbclient import NewEvent, StreamState

from core.config import Settings
from core.domain.user import USER
from core.domain.user.events import NameChanged
from core.eventstore import codec
from core.eventstore.connection import Client, connect
from core.eventstore.log import EventLog
from core.eventstore.store import EventStore
from embedded.stack import embedded_eventstore
from protos.users.v1 import commands_pb2 as users_pb
from server.app import serving
from tests.support.calling import DEADLINE, Shop, fresh_id, shop_at
from tests.support.eventually import eventually
from tests.support.older_log import copied, node
from tests.support.orders import NOON
from tests.support.processes import free_port


class Restored:
    """A shop with one user, on a node that can be replaced by one on an older copy of its log."""

    def __init__(self, data: Path, port: int, shop: Shop, node: AsyncExitStack) -> None:
        self.shop = shop
        self.user_id = ""
        self._copy = data
        self._data = data
        self._port = port
        self._node = node

    async def keep_copy(self) -> None:
        await self._node.aclose()
        self._copy = copied(self._data)
        await self._node.enter_async_context(embedded_eventstore(self._data, port=self._port))

    async def restore(self, *names: str) -> None:
        """The copy, in which the user was given these names since; the service has found it."""
        await self._node.aclose()
        async with node(self._copy) as client:
            await renamed(client, self.user_id, *names)
        await self._node.enter_async_context(embedded_eventstore(self._copy, port=self._port))
        await eventually(self._is_connected)

    async def _is_connected(self) -> bool:
        try:
            await self.shop.user()
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
        return True

    async def rename(self, name: str, request_id: str) -> Any:
        request = users_pb.ChangeNameRequest(request_id=request_id, user_id=self.user_id, name=name)
        return await self.shop.users.ChangeName(request, timeout=DEADLINE)


async def renamed(client: Client, user_id: str, *names: str) -> None:
    for name in names:
        event_type, data = codec.encode(NameChanged(user_id=user_id, name=name, at=NOON))
        await client.append_to_stream(
            USER.stream(user_id), current_version=StreamState.ANY, events=[NewEvent(event_type, data)]
        )


@pytest.fixture
async def restored(tmp_path: Path) -> AsyncIterator[Restored]:
    data, port = tmp_path / "data", free_port()
    async with AsyncExitStack() as replaced, AsyncExitStack() as until_the_end:
        uri = await replaced.enter_async_context(embedded_eventstore(data, port=port))
        settings = Settings(eventstore_uri=uri, grace=1.0)
        address = await until_the_end.enter_async_context(serving("commands", settings, port=0))
        shop = await until_the_end.enter_async_context(shop_at(address))
        found = Restored(data, port, shop, replaced)
        found.user_id = await shop.user()
        await found.keep_copy()
        yield found
        await until_the_end.aclose()


async def test_a_repeat_of_a_lost_request_is_carried_out_again(restored: Restored) -> None:
    lost = fresh_id()
    first = await restored.rename("Anna", lost)
    assert (await restored.rename("Anna", lost)).is_repeat
    await restored.restore()
    again = await restored.rename("Anna", lost)
    assert (again.is_repeat, again.revision) == (False, first.revision)
    assert (await restored.rename("Anna", lost)).is_repeat


async def test_a_stream_that_has_grown_past_what_is_remembered_of_it_is_read_again(restored: Restored) -> None:
    lost, unchanged = fresh_id(), fresh_id()
    await restored.rename("Anna", lost)
    assert (await restored.rename("Anna", unchanged)).unchanged
    await restored.restore("Bea", "Cleo")
    again = await restored.rename("Anna", unchanged)
    assert (again.is_repeat, again.unchanged, again.revision) == (False, False, 3)
    assert (await restored.rename("Anna", lost)).unchanged


async def test_a_session_lasts_as_long_as_the_connection(tmp_path: Path) -> None:
    """Though nothing is asked of the store while it is away."""
    data, port = tmp_path / "data", free_port()
    async with AsyncExitStack() as first, AsyncExitStack() as until_the_end:
        client = await connect(await first.enter_async_context(embedded_eventstore(data, port=port)))
        until_the_end.push_async_callback(client.close)
        events = EventStore(EventLog(client))
        until_the_end.push_async_callback(events.close)
        session = events.session
        await events.head()
        await asyncio.sleep(0)
        assert events.session == session
        await first.aclose()
        async with embedded_eventstore(data, port=port):

            async def is_another() -> bool:
                return events.session > session

            await eventually(is_another)
