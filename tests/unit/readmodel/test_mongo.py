"""MongoDB's failures by their kind."""

import pytest
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError, ServerSelectionTimeoutError

from core.failures import (
    StoreFailure,
    StorePermissionDenied,
    StoreTlsFailed,
    StoreUnauthenticated,
    StoreUnavailable,
)
from core.readmodel.mongo import failure_of

HANDSHAKE = (
    "SSL handshake failed: h:1: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired"
    " (configured timeouts: socketTimeoutMS: 20000.0ms)"
)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OperationFailure("Authentication failed.", 18), StoreUnauthenticated),
        (OperationFailure("not authorized on orderstream", 13), StorePermissionDenied),
        (ServerSelectionTimeoutError(HANDSHAKE), StoreTlsFailed),
        (ServerSelectionTimeoutError(HANDSHAKE.removeprefix("SSL handshake failed: ")), StoreTlsFailed),
        (OperationFailure("BSONObj size is invalid", 10334), StoreUnavailable),
        (AutoReconnect("connection closed"), StoreUnavailable),
        (
            ServerSelectionTimeoutError("SSL handshake failed: h:1: [Errno 104] Connection reset by peer"),
            StoreUnavailable,
        ),
        (ServerSelectionTimeoutError("SSL handshake failed: h:1: "), StoreUnavailable),
        (OperationFailure("bad auth", 8000), StoreUnauthenticated),
    ],
)
def test_each_kind_has_its_own_name(error: PyMongoError, kind: type[StoreFailure]) -> None:
    failure = failure_of(error)
    assert type(failure) is kind
    assert failure.metadata["store"] == "view"


def test_the_check_that_failed_is_reported_and_our_timeouts_are_not() -> None:
    said = str(failure_of(ServerSelectionTimeoutError(HANDSHAKE)))
    assert said.endswith("certificate verify failed: certificate has expired")
