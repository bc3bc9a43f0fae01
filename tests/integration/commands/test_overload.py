"""A server that is asked for too much says so with a reason, and its other callers are answered."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from core.config import Settings
from protos.orders.v1 import commands_pb2 as pb
from protos.users.v1 import commands_pb2 as users_pb
from server.app import serving
from tests.support.calling import DEADLINE, Shop, fresh_email, fresh_id, refusal, refusal_of, shop_at

Code = grpc.StatusCode


@pytest.fixture
async def narrow(settings: Settings) -> AsyncIterator[Shop]:
    """One that takes two calls at once, of 2 KB each."""
    bounds = {"max_concurrent_calls": 2, "max_request_size": 2_048}
    async with serving("commands", settings.model_copy(update=bounds), port=0) as address, shop_at(address) as shop:
        yield shop


async def test_calls_over_the_limit_are_refused_with_a_reason_and_worth_a_retry(narrow: Shop) -> None:
    calls = [
        narrow.users.RegisterUser(
            users_pb.RegisterUserRequest(request_id=fresh_id(), name="Ann", email=fresh_email()), timeout=DEADLINE
        )
        for _ in range(8)
    ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    failures = [refusal_of(answer) for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert len(failures) < len(answers), "some were answered"
    assert {(failure.code, failure.reason, failure.retry) for failure in failures} == {
        (Code.RESOURCE_EXHAUSTED, "SERVER_BUSY", True)
    }
    assert await narrow.user(), "there is room again"


async def test_a_request_over_the_limit_is_refused_with_a_reason_and_not_worth_a_retry(narrow: Shop) -> None:
    request = pb.AddNoteRequest(request_id=fresh_id(), order_id=fresh_id(), note_id="n1", text="x" * 2_048)
    refused = await refusal(narrow.orders.AddNote(request, timeout=DEADLINE))
    assert (refused.code, refused.reason, refused.retry) == (Code.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", False)
    assert refused.metadata == {"size": str(request.ByteSize()), "most": "2048"}
