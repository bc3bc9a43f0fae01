"""The one table from reasons to status codes, and the one place that builds google.rpc.Status."""

from collections.abc import Mapping

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from core.domain.rejection import CommandRejected, Reason
from core.failures import InvalidRequest, ServiceFailure

Code = grpc.StatusCode

STATUS: Mapping[str, grpc.StatusCode] = {
    "FIELD_INVALID": Code.INVALID_ARGUMENT,
    "REQUEST_ID_INVALID": Code.INVALID_ARGUMENT,
    "CONSISTENCY_TOKEN_INVALID": Code.INVALID_ARGUMENT,
    "PAGE_TOKEN_INVALID": Code.INVALID_ARGUMENT,
    "REQUEST_ID_REUSED": Code.ALREADY_EXISTS,
    "REVISION_CONFLICT": Code.ABORTED,
    "CONTENTION": Code.ABORTED,
    "UNAUTHENTICATED": Code.UNAUTHENTICATED,
    "ACCESS_DENIED": Code.PERMISSION_DENIED,
    "CALLER_LIMITED": Code.RESOURCE_EXHAUSTED,
    "SERVER_BUSY": Code.RESOURCE_EXHAUSTED,
    "REQUEST_TOO_LARGE": Code.RESOURCE_EXHAUSTED,
    "REPLY_TOO_LARGE": Code.RESOURCE_EXHAUSTED,
    "EVENTS_TOO_LARGE": Code.RESOURCE_EXHAUSTED,
    "RESUME_TOKEN_INVALID": Code.INVALID_ARGUMENT,
    "WATCH_TOO_SLOW": Code.RESOURCE_EXHAUSTED,
    "TOO_MANY_WATCHES": Code.RESOURCE_EXHAUSTED,
    "SERVER_DRAINING": Code.UNAVAILABLE,
    "NOT_FRESH_ENOUGH": Code.UNAVAILABLE,
    "LOG_MISMATCH": Code.FAILED_PRECONDITION,
    "STREAM_DELETED": Code.FAILED_PRECONDITION,
    "STREAM_TRUNCATED": Code.FAILED_PRECONDITION,
    "STORE_UNAVAILABLE": Code.UNAVAILABLE,
    "STORE_NOT_LEADER": Code.UNAVAILABLE,
    "STORE_TLS_FAILED": Code.FAILED_PRECONDITION,
    "STORE_UNAUTHENTICATED": Code.FAILED_PRECONDITION,
    "STORE_PERMISSION_DENIED": Code.FAILED_PRECONDITION,
    "EVENT_TYPE_UNKNOWN": Code.UNAVAILABLE,
    "EVENT_MALFORMED": Code.FAILED_PRECONDITION,
    "DEADLINE_EXCEEDED": Code.DEADLINE_EXCEEDED,
    "INTERNAL": Code.INTERNAL,
    "VIEW_NOT_FOUND": Code.NOT_FOUND,
    "SUBSCRIPTION_NOT_FOUND": Code.NOT_FOUND,
    "REBUILD_RUNNING": Code.FAILED_PRECONDITION,
    "GENERATION_UNAVAILABLE": Code.FAILED_PRECONDITION,
    "ROLLBACK_STALE": Code.FAILED_PRECONDITION,
    "SUBSCRIPTION_EXISTS": Code.ALREADY_EXISTS,
    "STREAM_NOT_PARKED": Code.NOT_FOUND,
    "EVENT_NOT_FOUND": Code.NOT_FOUND,
    "EVENT_READABLE": Code.FAILED_PRECONDITION,
    "EVENT_EXCLUDED": Code.FAILED_PRECONDITION,
    "EVENT_MAY_BE_NEWER": Code.FAILED_PRECONDITION,
    "PLAN_OUTDATED": Code.ABORTED,
    Reason.AMOUNT_INVALID: Code.INVALID_ARGUMENT,
    Reason.CURRENCY_UNKNOWN: Code.INVALID_ARGUMENT,
    Reason.CURRENCY_ENDED: Code.INVALID_ARGUMENT,
    Reason.ADDRESS_INVALID: Code.INVALID_ARGUMENT,
    Reason.QUANTITY_INVALID: Code.INVALID_ARGUMENT,
    Reason.DISCOUNT_INVALID: Code.INVALID_ARGUMENT,
    Reason.NOTE_TOO_LONG: Code.INVALID_ARGUMENT,
    Reason.ORDER_NOT_FOUND: Code.NOT_FOUND,
    Reason.LINE_NOT_FOUND: Code.NOT_FOUND,
    Reason.SHIPMENT_NOT_FOUND: Code.NOT_FOUND,
    Reason.AUTHORISATION_NOT_FOUND: Code.NOT_FOUND,
    Reason.REFUND_NOT_FOUND: Code.NOT_FOUND,
    Reason.RETURN_NOT_FOUND: Code.NOT_FOUND,
    Reason.PRODUCT_NOT_FOUND: Code.NOT_FOUND,
    Reason.STOCK_NOT_FOUND: Code.NOT_FOUND,
    Reason.RESERVATION_NOT_FOUND: Code.NOT_FOUND,
    Reason.USER_NOT_FOUND: Code.NOT_FOUND,
    Reason.ADDRESS_NOT_FOUND: Code.NOT_FOUND,
    Reason.ORDER_EXISTS: Code.ALREADY_EXISTS,
    Reason.PRODUCT_EXISTS: Code.ALREADY_EXISTS,
    Reason.USER_EXISTS: Code.ALREADY_EXISTS,
    Reason.EMAIL_TAKEN: Code.ALREADY_EXISTS,
    Reason.TOO_MANY_LINES: Code.RESOURCE_EXHAUSTED,
    Reason.TOO_MANY_RESERVATIONS: Code.RESOURCE_EXHAUSTED,
    Reason.TOO_MANY_ADDRESSES: Code.RESOURCE_EXHAUSTED,
    Reason.TOO_MANY_ENTRIES: Code.RESOURCE_EXHAUSTED,
    Reason.EMAIL_NOT_HELD: Code.FAILED_PRECONDITION,
    Reason.ORDER_NOT_EDITABLE: Code.FAILED_PRECONDITION,
    Reason.ORDER_STATE: Code.FAILED_PRECONDITION,
    Reason.ORDER_EMPTY: Code.FAILED_PRECONDITION,
    Reason.ADDRESS_MISSING: Code.FAILED_PRECONDITION,
    Reason.LINE_EXISTS: Code.FAILED_PRECONDITION,
    Reason.PRODUCT_NOT_SELLABLE: Code.FAILED_PRECONDITION,
    Reason.CURRENCY_MISMATCH: Code.FAILED_PRECONDITION,
    Reason.PRICE_CHANGED: Code.FAILED_PRECONDITION,
    Reason.QUANTITY_EXCEEDS_OPEN: Code.FAILED_PRECONDITION,
    Reason.SHIPMENT_EXISTS: Code.FAILED_PRECONDITION,
    Reason.SHIPMENT_NOT_DISPATCHED: Code.FAILED_PRECONDITION,
    Reason.SHIPMENT_DISPATCHED: Code.FAILED_PRECONDITION,
    Reason.CANCEL_HAS_SHIPMENTS: Code.FAILED_PRECONDITION,
    Reason.ALREADY_SHIPPED: Code.FAILED_PRECONDITION,
    Reason.ORDER_ON_HOLD: Code.FAILED_PRECONDITION,
    Reason.TOTAL_TOO_LARGE: Code.FAILED_PRECONDITION,
    Reason.AUTHORISATION_EXISTS: Code.FAILED_PRECONDITION,
    Reason.AUTHORISATION_EXCEEDS_TOTAL: Code.FAILED_PRECONDITION,
    Reason.ALREADY_CAPTURED: Code.FAILED_PRECONDITION,
    Reason.CAPTURE_EXISTS: Code.FAILED_PRECONDITION,
    Reason.CAPTURE_EXCEEDS_AUTHORISED: Code.FAILED_PRECONDITION,
    Reason.REFUND_EXISTS: Code.FAILED_PRECONDITION,
    Reason.REFUND_SETTLED: Code.FAILED_PRECONDITION,
    Reason.REFUND_EXCEEDS_CAPTURED: Code.FAILED_PRECONDITION,
    Reason.ORDER_NOT_EXPIRED: Code.FAILED_PRECONDITION,
    Reason.ORDER_OPEN_ITEMS: Code.FAILED_PRECONDITION,
    Reason.DISCOUNT_EXISTS: Code.FAILED_PRECONDITION,
    Reason.DISCOUNT_EXCEEDS_TOTAL: Code.FAILED_PRECONDITION,
    Reason.CANCELLATION_EXISTS: Code.FAILED_PRECONDITION,
    Reason.SHIPMENT_CANCELLED: Code.FAILED_PRECONDITION,
    Reason.RETURN_ID_USED: Code.FAILED_PRECONDITION,
    Reason.RETURN_STATE: Code.FAILED_PRECONDITION,
    Reason.RETURN_EXCEEDS_DELIVERED: Code.FAILED_PRECONDITION,
    Reason.RECEIVED_EXCEEDS_REQUESTED: Code.FAILED_PRECONDITION,
    Reason.NOTE_EXISTS: Code.FAILED_PRECONDITION,
    Reason.SHIPMENT_STATE: Code.FAILED_PRECONDITION,
    Reason.RECEIVED_EXCEEDS_SENT: Code.FAILED_PRECONDITION,
    Reason.PRODUCT_DISCONTINUED: Code.FAILED_PRECONDITION,
    Reason.PRODUCT_CURRENCY_FIXED: Code.FAILED_PRECONDITION,
    Reason.OUT_OF_STOCK: Code.FAILED_PRECONDITION,
    Reason.STOCK_BELOW_RESERVED: Code.FAILED_PRECONDITION,
    Reason.STOCK_TOO_LARGE: Code.FAILED_PRECONDITION,
    Reason.RESERVATION_EXISTS: Code.FAILED_PRECONDITION,
    Reason.RESERVATION_ENDED: Code.FAILED_PRECONDITION,
    Reason.RESERVATION_EXCEEDED: Code.FAILED_PRECONDITION,
    Reason.RESERVATION_NOT_EXPIRED: Code.FAILED_PRECONDITION,
    Reason.RETURN_EXISTS: Code.FAILED_PRECONDITION,
    Reason.PROCESS_NOT_FOUND: Code.NOT_FOUND,
    Reason.PROCESS_STEP_NOT_FAILED: Code.FAILED_PRECONDITION,
    Reason.PROCESS_ENDED: Code.FAILED_PRECONDITION,
    Reason.PROCESS_HAS_SHIPPED: Code.FAILED_PRECONDITION,
    Reason.PROCESS_PLAN_STALE: Code.FAILED_PRECONDITION,
    Reason.USER_BLOCKED: Code.FAILED_PRECONDITION,
    Reason.ADDRESS_EXISTS: Code.FAILED_PRECONDITION,
}

# the field to name where the domain refuses a single value; braces take it from the metadata
FIELDS: Mapping[str, str] = {
    Reason.AMOUNT_INVALID: "{field}.amount_minor",
    Reason.CURRENCY_UNKNOWN: "{field}",
    Reason.CURRENCY_ENDED: "{field}",
    Reason.QUANTITY_INVALID: "{field}",
    Reason.DISCOUNT_INVALID: "{field}",
    Reason.ADDRESS_INVALID: "{address}.{field}",
    Reason.NOTE_TOO_LONG: "text",
    "CONSISTENCY_TOKEN_INVALID": "consistency_token",
    "PAGE_TOKEN_INVALID": "page_token",
    "RESUME_TOKEN_INVALID": "resume_token",
}


# the RPC and the command that help; braces take their values from the metadata. A refusal without these values has no
# remedy: a product that is not on sale is removed from an order that has it, but need not be from any other
REMEDIES: Mapping[str, str] = {
    Reason.PRICE_CHANGED: "RefreshPrices (orderstream orders refresh-prices {order_id})",
    Reason.PRODUCT_NOT_SELLABLE: "RemoveLine (orderstream orders remove-line {order_id} {line_id})",
    Reason.CURRENCY_MISMATCH: "RemoveLine (orderstream orders remove-line {order_id} {line_id})",
    "EVENT_MALFORMED": "PlanExclusion (orderstream events exclude {stream} {revision})",
    Reason.PROCESS_PLAN_STALE: "PlanProcess (orderstream processes start {order_id})",
    Reason.PRODUCT_DISCONTINUED: "AdjustStock (orderstream stock adjust {sku} --change {quantity} --reason REASON)",
}


# Trailers over the limit of the caller's HTTP/2 (8 KB, often) would hide the answer. With these bounds, in bytes of
# UTF-8, every status stays under 4 KB.
MAX_TEXT, MAX_VALUE, MAX_FIELD, MAX_PROBLEM = 600, 250, 60, 200


def status_of(failure: CommandRejected | ServiceFailure) -> status_pb2.Status:
    """The complete answer: code, prose, and the machine-readable details. Long parts are cut, and end in "…"."""
    reason = str(failure.reason)
    code = STATUS[reason]
    known = {name: _cut(value, MAX_VALUE) for name, value in failure.metadata.items()}
    remedy = _remedy(reason, known)
    text = _cut(f"{failure}; remedy: {remedy['remedy']}" if remedy else str(failure), MAX_TEXT)
    status = status_pb2.Status(code=code.value[0], message=text)
    metadata = {**known, **remedy}
    _attach(status, error_details_pb2.ErrorInfo(reason=reason, domain="orderstream", metadata=metadata))
    if code is Code.INVALID_ARGUMENT:
        _attach(status, _bad_request(failure, reason, text))
    if code is Code.FAILED_PRECONDITION:
        violation = error_details_pb2.PreconditionFailure.Violation(
            type=reason, subject=next(iter(known.values()), ""), description=text
        )
        _attach(status, error_details_pb2.PreconditionFailure(violations=[violation]))
    if isinstance(failure, ServiceFailure) and failure.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(failure.retry_after * 1000))
        _attach(status, error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def internal(error_id: str) -> status_pb2.Status:
    """A defect: the caller gets an id that is in the log, and nothing else."""
    status = status_pb2.Status(code=Code.INTERNAL.value[0], message=f"internal error {error_id}; it is in the log")
    _attach(
        status,
        error_details_pb2.ErrorInfo(reason="INTERNAL", domain="orderstream", metadata={"error_id": error_id}),
    )
    return status


def _remedy(reason: str, metadata: Mapping[str, str]) -> dict[str, str]:
    try:
        return {"remedy": REMEDIES[reason].format(**metadata)}
    except KeyError:  # no remedy for this reason, or none without these values
        return {}


def _bad_request(failure: CommandRejected | ServiceFailure, reason: str, text: str) -> error_details_pb2.BadRequest:
    violations = (
        {_cut(field, MAX_FIELD): _cut(problem, MAX_PROBLEM) for field, problem in failure.violations.items()}
        if isinstance(failure, InvalidRequest)
        else {_cut(FIELDS[reason].format(**failure.metadata), MAX_FIELD): text}
    )
    return error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field=field, description=problem)
            for field, problem in violations.items()
        ]
    )


def _cut(text: str, longest: int) -> str:
    """At most so many bytes of it."""
    raw = text.encode()
    return text if len(raw) <= longest else raw[: longest - 3].decode(errors="ignore") + "…"


def _attach(status: status_pb2.Status, detail: error_details_pb2.ErrorInfo | object) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)  # type: ignore[arg-type]  # googleapis-common-protos ships no types for its messages
    status.details.append(packed)
