"""Managing projections through both official Python clients."""

import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from esdbclient.exceptions import (
    AlreadyExists,
    EventStoreDBClientException,
    ExceptionThrownByHandler,
    GrpcDeadlineExceeded,
    NotFound,
    OperationFailed,
)

from tests.support.eventually import eventually

QUERY = "fromAll().when({$init: () => ({count: 0}), $any: (state) => { state.count++ }})"


ANSWERS_WITHIN = 2.0  # seconds
STOPS_WITHIN = 5.0  # seconds


@pytest.fixture
async def name(client: Any) -> AsyncIterator[str]:
    """A name for a projection, which is deleted in the end: a real server with many takes long to restart them."""
    name = f"projection{uuid.uuid4().hex}"
    yield name

    async def is_deleted() -> bool:
        try:
            await client.delete_projection(name=name, timeout=STOPS_WITHIN)
        except OperationFailed:  # it has not stopped yet
            return False
        return True

    with suppress(NotFound):
        await client.disable_projection(name=name, timeout=STOPS_WITHIN)
        await eventually(is_deleted, within=STOPS_WITHIN)


@pytest.mark.parametrize(
    "settings", [{}, {"emit_enabled": True}, {"emit_enabled": True, "track_emitted_streams": True}]
)
async def test_one_is_made_once(client: Any, name: str, settings: dict[str, Any]) -> None:
    await client.create_projection(name=name, query=QUERY, **settings)
    assert (await client.get_projection_statistics(name=name)).name == name
    with pytest.raises(AlreadyExists):
        await client.create_projection(name=name, query=QUERY, **settings)


async def test_streams_that_are_not_emitted_cannot_be_tracked(client: Any, name: str) -> None:
    with pytest.raises(ExceptionThrownByHandler):
        await client.create_projection(name=name, query=QUERY, emit_enabled=False, track_emitted_streams=True)


async def test_it_is_changed_stopped_started_and_reset(client: Any, name: str) -> None:
    await client.create_projection(name=name, query="")
    await client.update_projection(name=name, query=QUERY)
    await client.update_projection(name=name, query=QUERY, emit_enabled=True)
    await client.disable_projection(name=name)
    assert "Stopped" in (await client.get_projection_statistics(name=name)).status
    await client.reset_projection(name=name)
    await client.enable_projection(name=name)
    assert "Stopped" not in (await client.get_projection_statistics(name=name)).status


async def test_it_is_deleted_when_it_has_stopped(client: Any, name: str) -> None:
    await client.create_projection(name=name, query=QUERY)
    with pytest.raises(OperationFailed):
        await client.delete_projection(name=name)
    await client.disable_projection(name=name)
    await client.delete_projection(
        name=name, delete_emitted_streams=True, delete_state_stream=True, delete_checkpoint_stream=True
    )

    async def is_gone() -> bool:
        try:
            await client.get_projection_statistics(name=name)
        except NotFound:
            return True
        return False

    await eventually(is_gone)
    with pytest.raises(NotFound):
        await client.delete_projection(name=name)


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("update_projection", {"query": ""}),
        ("delete_projection", {}),
        ("get_projection_statistics", {}),
        ("disable_projection", {}),
        ("enable_projection", {}),
        ("reset_projection", {}),
        ("get_projection_state", {}),
    ],
)
async def test_one_that_is_not_there_is_not_found(client: Any, name: str, method: str, more: dict[str, Any]) -> None:
    with pytest.raises(NotFound):
        await getattr(client, method)(name=name, **more)


async def test_the_state_of_one_without_a_query_never_comes(client: Any, name: str) -> None:
    await client.create_projection(name=name, query="")
    with pytest.raises(GrpcDeadlineExceeded):
        await client.get_projection_state(name=name, timeout=0.5)


async def test_the_subsystem_starts_again(client: Any) -> None:
    await client.restart_projections_subsystem()
    for name in ("$by_category", "$by_event_type"):

        async def runs(name: str = name) -> bool:
            try:
                found = await client.get_projection_statistics(name=name, timeout=ANSWERS_WITHIN)
            except GrpcDeadlineExceeded:  # while it restarts, a real server may leave a call without an answer
                return False
            return "Running" in found.status

        await eventually(runs)


async def test_a_system_projection_that_runs_cannot_be_deleted(client: Any) -> None:
    with pytest.raises(EventStoreDBClientException):
        await client.delete_projection(name="$by_category")
