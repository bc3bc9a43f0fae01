"""Every refusal fits into the trailers of a call, and blames fields of the request that was made."""

from collections.abc import Mapping

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from core.domain.rejection import CommandRejected, Reason
from core.failures import InvalidRequest, NotFound
from core.rpc.errors import FIELDS, STATUS, status_of

VALUE = "\U0001f375" * 300  # 1,200 bytes
MOST = 4_096


def violations(status: status_pb2.Status) -> Mapping[str, str]:
    bad = error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(bad)
    return {violation.field: violation.description for violation in bad.field_violations}


def metadata(status: status_pb2.Status) -> Mapping[str, str]:
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        detail.Unpack(info)
    return dict(info.metadata)


@pytest.mark.parametrize("reason", list(Reason))
def test_a_refusal_with_long_values_stays_under_4_kb(reason: Reason) -> None:
    values = dict.fromkeys(("field", "address", "order_id", "line_id", "sku"), VALUE)
    assert len(status_of(CommandRejected(reason, **values)).SerializeToString()) < MOST


def test_many_violations_are_counted_and_ten_are_named() -> None:
    status = status_of(InvalidRequest({f"lines[{n}].sku": VALUE for n in range(1_000)}))
    assert list(violations(status)) == [f"lines[{n}].sku" for n in range(10)]
    assert metadata(status)["further_violations"] == "990"
    assert "and 990 more" in status.message or status.message.endswith("…")
    assert len(status.SerializeToString()) < MOST


def test_ten_violations_are_all_that_there_are() -> None:
    status = status_of(InvalidRequest({f"lines[{n}].sku": "bad" for n in range(10)}))
    assert len(violations(status)) == 10
    assert "further_violations" not in metadata(status)


def test_what_was_not_found_may_have_a_long_name() -> None:
    assert len(status_of(NotFound("USER_NOT_FOUND", user_id=VALUE)).SerializeToString()) < MOST


def test_every_value_that_is_refused_is_in_a_field() -> None:
    by_themselves = {"FIELD_INVALID", "REQUEST_ID_INVALID"}  # they name their fields
    wrong = {str(reason) for reason, code in STATUS.items() if code is grpc.StatusCode.INVALID_ARGUMENT}
    assert wrong - by_themselves == {str(reason) for reason in FIELDS}
