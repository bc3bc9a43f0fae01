"""Nothing of a view is taken for written before it is on disk, on a majority of the store's members."""

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection

from core.readmodel.checkpoints import CheckpointStore
from projections.engine.parked_events import ParkedEvents
from projections.lifecycle.owner_requests import OwnerRequests


@pytest.fixture
async def database() -> Any:
    """Of a client that never connects: only how it would write is asked."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient("mongodb://127.0.0.1:1/", connect=False)
    yield client["shop"]
    await client.close()


def collections(owner: object) -> Iterator[AsyncCollection[dict[str, Any]]]:
    for held in vars(owner).values():
        if isinstance(held, AsyncCollection):
            yield held
        elif type(held).__module__.startswith(("projections.", "core.readmodel.")):
            yield from collections(held)


async def test_documents_checkpoints_and_parked_events_are_journaled_by_a_majority(database: Any) -> None:
    state = CheckpointStore(database)
    owners = (state, ParkedEvents(database, "order_list", 1), OwnerRequests(database))
    written = [state.documents("order_list", 1), *(one for owner in owners for one in collections(owner))]

    assert {one.name for one in written} == {
        "order_list.g1", "checkpoints", "projections", "parked", "skipped", "requests",
    }  # fmt: skip
    assert {one.name: one.write_concern.document for one in written} == {
        one.name: {"w": "majority", "j": True} for one in written
    }
