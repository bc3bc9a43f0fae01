"""Impatient callers: every command sent eight times at once, and again after everything was restarted."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from esdbclient import EventStoreDBClient
from pymongo import MongoClient

from client.sdk import OrderstreamClient
from client.stack import stack

AT_ONCE = 8
CALLERS = 16  # commands under way, each with its duplicates


@pytest.mark.parametrize("commands", [150, pytest.param(1_000, marks=pytest.mark.long)])
async def test_a_command_sent_many_times_has_one_effect_and_one_answer_for_ever(commands: int, tmp_path: Path) -> None:
    requests = [
        {"request_id": str(uuid4()), "name": f"User {n}", "email": f"user-{n}@example.org"} for n in range(commands)
    ]
    async with stack(tmp_path) as running, OrderstreamClient(running.addresses, deadline=60.0) as shop:
        places = asyncio.Semaphore(CALLERS)

        async def send(request: dict[str, Any], times: int) -> set[bytes]:
            async with places:
                replies = await asyncio.gather(*(shop.users.RegisterUser(**request) for _ in range(times)))
            return {reply.SerializeToString(deterministic=True) for reply in replies}

        first = await asyncio.gather(*(send(request, AT_ONCE) for request in requests))
        assert [len(answers) for answers in first] == [1] * commands

        for name in ("commands", "projections", "queries", "eventstore"):
            await running.members[name].stop()
        with MongoClient[dict[str, Any]](running.members["mongo"].ready["uri"]) as mongo:
            mongo.drop_database("orderstream")
        for name in ("eventstore", "commands", "queries", "projections"):
            await running.members[name].start()

        assert await asyncio.gather(*(send(request, 1) for request in requests)) == first
        with EventStoreDBClient(running.members["eventstore"].ready["uri"]) as log:
            events = list(log.read_all(filter_include=["user-.*"], filter_by_stream_name=True))
        assert len(events) == commands
        assert {event.stream_position for event in events} == {0}
