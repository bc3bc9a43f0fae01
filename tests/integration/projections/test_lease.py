"""Views do not change hands for ever on a machine that is too slow for its owners."""

import asyncio
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from core.readmodel.checkpoints import CheckpointStore
from projections.engine import lease
from projections.engine.lease import LeaseHolder
from projections.engine.membership import Membership

Mongo = AsyncDatabase[Any]
LEASE = 0.05  # seconds


def keepers(mongo: Mongo, *owners: str) -> list[LeaseHolder]:
    store = CheckpointStore(mongo)
    return [LeaseHolder(store, Membership(store, owner, LEASE, LEASE), LEASE) for owner in owners]


async def taken(keeper: LeaseHolder) -> int:
    """The epoch that it begins, once the owner has been silent for long enough."""
    found = await keeper.acquire("order_list", 1, asyncio.Event(), lambda _: None)
    assert found is not None
    return found.epoch


async def test_each_hand_over_after_silence_doubles_the_patience_of_both(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them ever beats, as on a machine that gives them no time."""
    ann, bob = keepers(mongo, "ann", "bob")
    patience = []
    for number, keeper in enumerate((ann, bob, ann, bob), start=1):
        assert await taken(keeper) == number
        patience.append(keeper.patience / LEASE)
    assert patience == [1, 2, 4, 8]
    monkeypatch.setattr(lease, "REMEMBERED", 0)
    assert [keeper.patience for keeper in (ann, bob)] == [LEASE, LEASE], "an old hand-over no longer counts"


async def test_a_view_that_its_owner_gives_up_changes_hands_without_growing_patience(mongo: Mongo) -> None:
    ann, bob = keepers(mongo, "ann", "bob")
    state = CheckpointStore(mongo)
    for keeper in (ann, bob, ann, bob):
        await taken(keeper)
        held = await state.of_generation(await state.generations.get("order_list"), 1)
        assert held is not None
        await state.release(held)
    assert [keeper.patience for keeper in (ann, bob)] == [LEASE, LEASE]
