"""A token that this system cannot have issued is refused by its reason, whatever it holds."""

import base64
import json
import struct
import zlib
from typing import Any

import pytest

from core.eventstore.consistency_token import from_token, to_token
from core.eventstore.log import LogPoint
from core.failures import PageTokenInvalid, ResumeTokenInvalid, TokenInvalid
from projections.operations.subscription_service import _from_token, _token
from protos.operations.v1 import subscriptions_pb2
from protos.orders.v1 import queries_pb2 as pb
from server.queries.paging import from_page_token, from_resume_token, to_page_token, to_resume_token

OUT_OF_RANGE = [-1, 2**63, 2**64, 10**40, True, 1.5, "1", None]


def with_last(token: str, *last: Any) -> str:
    """The same token, with other values of where the last page ended."""
    query = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))[0]
    return base64.urlsafe_b64encode(json.dumps([query, last]).encode()).decode().rstrip("=")


@pytest.mark.parametrize("number", OUT_OF_RANGE)
def test_a_page_token_with_a_number_out_of_range_is_refused(number: Any) -> None:
    request = pb.GetOrderHistoryRequest(order_id="o")
    request.page_token = with_last(to_page_token(request, [5]), number)
    with pytest.raises(PageTokenInvalid):
        from_page_token(request, int)


def test_a_page_token_keeps_the_largest_number() -> None:
    request = pb.GetOrderHistoryRequest(order_id="o")
    request.page_token = to_page_token(request, [2**63 - 1])
    assert from_page_token(request, int) == [2**63 - 1]


def test_a_page_token_that_is_nested_without_end_is_refused() -> None:
    request = pb.GetOrderHistoryRequest(order_id="o")
    deep = b'["x",[1],' + b"[" * 50_000 + b"]" * 50_000 + b"]"
    request.page_token = base64.urlsafe_b64encode(deep).decode().rstrip("=")
    with pytest.raises(PageTokenInvalid):
        from_page_token(request, int)


@pytest.mark.parametrize("number", OUT_OF_RANGE)
def test_a_resume_token_with_a_number_out_of_range_is_refused(number: Any) -> None:
    request = pb.WatchOrderRequest(order_id="o")
    request.resume_token = with_last(to_resume_token(request, LogPoint(5, "e")), number, "e")
    with pytest.raises(ResumeTokenInvalid):
        from_resume_token(request)


@pytest.mark.parametrize("position", [2**63, 2**64 - 1])
def test_a_consistency_token_with_a_number_out_of_range_is_refused(position: int) -> None:
    with pytest.raises(TokenInvalid):
        from_token(to_token(position))


def test_a_consistency_token_keeps_the_largest_position() -> None:
    assert from_token(to_token(2**63 - 1)) == 2**63 - 1


@pytest.mark.parametrize("token", ["ÿ", "\0", "AQ", "=" * 9, "٣" * 18])
def test_a_consistency_token_that_is_none_is_refused(token: str) -> None:
    with pytest.raises(TokenInvalid):
        from_token(token)


def test_a_consistency_token_with_bytes_behind_its_seal_is_refused() -> None:
    body = struct.pack(">BQ", 1, 7)
    raw = body + struct.pack(">I", zlib.crc32(b"orderstream" + body)) + b"\0"
    with pytest.raises(TokenInvalid):
        from_token(base64.urlsafe_b64encode(raw).decode().rstrip("="))


@pytest.mark.parametrize("number", ["٣", "³", "-1", "+1", " 1", "1_0", "9" * 19, ""])
def test_a_page_token_of_parked_events_has_a_number_in_ascii_digits(number: str) -> None:
    request = subscriptions_pb2.ListParkedEventsRequest(source="$all", group="g")
    _, _, digest = _token(request, 0).partition(".")
    request.page_token = f"{number}.{digest}"
    with pytest.raises(PageTokenInvalid):
        _from_token(request)
