"""The failures of a call, rebuilt from google.rpc.Status.

OrderstreamError            reason, metadata, code; role and address name the server, and call the RPC
├── InvalidRequest          INVALID_ARGUMENT            change the request; `fields` says where
├── NotFound                NOT_FOUND
├── Refused                 FAILED_PRECONDITION, ALREADY_EXISTS, RESOURCE_EXHAUSTED    a rule says no
├── Denied                  UNAUTHENTICATED, PERMISSION_DENIED  who calls is not known, or may not do this
├── Conflict                ABORTED                     another writer was first; read again, decide again
├── Unavailable             UNAVAILABLE, DEADLINE_EXCEEDED      try again with the same request_id
│   └── Unreachable         the same, but without an answer of a server of ours: none listens there, or answers in time
└── InternalError           anything else               a defect; metadata may hold an error_id
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


class OrderstreamError(Exception):
    """`reason` is stable and made for programs; the text is for people. `role` is a field of `Addresses`."""

    def __init__(
        self,
        text: str,
        *,
        code: grpc.StatusCode,
        reason: str = "",
        metadata: Mapping[str, str] = MappingProxyType({}),
        fields: Mapping[str, str] = MappingProxyType({}),
        role: str = "",
        address: str = "",
        call: str = "",
    ) -> None:
        super().__init__(text)
        self.call = call
        self.role = role
        self.address = address
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata)
        self.fields = dict(fields)


class InvalidRequest(OrderstreamError):
    pass


class NotFound(OrderstreamError):
    pass


class Refused(OrderstreamError):
    pass


class Denied(OrderstreamError):
    pass


class Conflict(OrderstreamError):
    pass


class Unavailable(OrderstreamError):
    pass


class Unreachable(Unavailable):
    pass


class InternalError(OrderstreamError):
    pass


_BY_CODE = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: Refused,
    grpc.StatusCode.ALREADY_EXISTS: Refused,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Refused,
    grpc.StatusCode.UNAUTHENTICATED: Denied,
    grpc.StatusCode.PERMISSION_DENIED: Denied,
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unavailable,
    grpc.StatusCode.CANCELLED: Unavailable,  # by a server that stops: what the caller cancels raises nothing of ours
}


def from_rpc_error(error: grpc.aio.AioRpcError, role: str = "", address: str = "", call: str = "") -> OrderstreamError:
    """The typed failure of a call to the server of that role at that address."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status: Any = rpc_status.from_call(error)
    for detail in status.details if status else ():
        detail.Unpack(info)
        detail.Unpack(bad)
    kind = _BY_CODE.get(error.code(), InternalError)
    return (Unreachable if kind is Unavailable and not info.reason else kind)(
        error.details() or error.code().name,
        code=error.code(),
        reason=info.reason,
        metadata=dict(info.metadata),
        fields={violation.field: violation.description for violation in bad.field_violations},
        role=role,
        address=address,
        call=call,
    )
