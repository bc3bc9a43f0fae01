"""Many writers on one order, through two workers: the log has each that was answered, and no rule is broken."""

import asyncio
import json
from collections import Counter
from typing import Any

import grpc

from core.config import Settings
from core.eventstore.store import EventStore
from protos.orders.v1 import commands_pb2 as pb
from server.app import serving
from tests.support.calling import DEADLINE, Shop, euros, fresh_id, refusal_of, shop_at

WRITERS = 64
Code = grpc.StatusCode


async def outcomes_of(calls: list[Any]) -> Counter[tuple[grpc.StatusCode, str]]:
    """How so many calls at once have ended."""
    ended: Counter[tuple[grpc.StatusCode, str]] = Counter()
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(outcome, grpc.aio.AioRpcError):
            refused = refusal_of(outcome)
            ended[(refused.code, refused.reason)] += 1
        else:
            assert not isinstance(outcome, BaseException), outcome
            ended[(Code.OK, "")] += 1
    return ended


async def types_of(log: EventStore, order_id: str) -> list[str]:
    return [event.type async for event in log.read(f"order-{order_id}")]


async def test_of_64_that_expect_one_revision_one_wins(shop: Shop, settings: Settings, log: EventStore) -> None:
    order_id = await shop.draft()
    revision = len(await types_of(log, order_id)) - 1
    async with serving("commands", settings, port=0) as address, shop_at(address) as other:
        ended = await outcomes_of(
            [
                (shop, other)[n % 2].orders.AddNote(
                    pb.AddNoteRequest(
                        request_id=fresh_id(),
                        order_id=order_id,
                        note_id=f"n{n}",
                        text="mine",
                        expected_revision=revision,
                    ),
                    timeout=DEADLINE,
                )
                for n in range(WRITERS)
            ]
        )
    assert ended == {(Code.OK, ""): 1, (Code.ABORTED, "REVISION_CONFLICT"): WRITERS - 1}
    assert (await types_of(log, order_id)).count("NoteAdded") == 1


async def test_64_refunds_at_once_never_give_back_more_than_was_captured(
    shop: Shop, settings: Settings, log: EventStore
) -> None:
    order_id = await shop.placed()
    names: dict[str, Any] = {"order_id": order_id, "authorisation_id": "a1"}
    authorise = pb.RecordAuthorisationRequest(request_id=fresh_id(), amount=euros(700), **names)
    await shop.orders.RecordAuthorisation(authorise, timeout=DEADLINE)
    capture = pb.CapturePaymentRequest(request_id=fresh_id(), capture_id="c1", amount=euros(700), **names)
    await shop.orders.CapturePayment(capture, timeout=DEADLINE)

    async with serving("commands", settings, port=0) as address, shop_at(address) as other:
        ended = await outcomes_of(
            [
                (shop, other)[n % 2].orders.RefundPayment(
                    pb.RefundPaymentRequest(
                        request_id=fresh_id(), order_id=order_id, refund_id=f"r{n}", amount=euros(100), reason="a gift"
                    ),
                    timeout=DEADLINE,
                )
                for n in range(WRITERS)
            ]
        )
    assert set(ended) <= {
        (Code.OK, ""),
        (Code.FAILED_PRECONDITION, "REFUND_EXCEEDS_CAPTURED"),
        (Code.ABORTED, "CONTENTION"),
    }
    asked = [e async for e in log.read(f"order-{order_id}") if e.type == "RefundRequestedV2"]
    assert len(asked) == ended[(Code.OK, "")] <= 7
    assert sum(json.loads(e.data)["amount"]["amount_minor"] for e in asked) <= 700
