"""What can go wrong, as a tree.

LogError             the data directory cannot be used; the text says what to do
PortError            a port is taken
CertificateError     the certificate of a node cannot be used
ActError             what was asked of a cluster cannot be done to it now
DamagedRecordError   a stored record is not what was written; it is never served
HandlerError         what the real server answers with "Exception was thrown by handler."
RefusalError         a failure that the protocol defines: code, text and trailers
"""

import grpc


class LogError(Exception):
    """One line that says what is wrong with the data directory, and what to do."""


class PortError(Exception):
    """One line that says which port is taken, and what to do."""


class CertificateError(Exception):
    """One line that says what is wrong with a certificate or its private key."""


class ActError(Exception):
    """One line that says why a cluster cannot do what it was asked to."""


class DamagedRecordError(Exception):
    """A stored record is not what was written. It is never served."""


class HandlerError(Exception):
    """What the real server answers with "Exception was thrown by handler."."""


class RefusalError(Exception):
    """A failure that the protocol defines: code, text and trailers.

    Underscores in the names of trailers become hyphens. Those without a value are left out, as the real server does.
    """

    def __init__(self, code: grpc.StatusCode, detail: str, **trailers: object) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail
        self.trailers = tuple((k.replace("_", "-"), printable(str(v))) for k, v in trailers.items() if str(v))


def printable(text: str) -> str:
    """Percent-encoded where it is not printable ASCII: gRPC hangs on any other trailer."""
    return "".join(c if 32 <= ord(c) < 127 else "".join(f"%{b:02X}" for b in c.encode()) for c in text)


def invalid(detail: str) -> RefusalError:
    return RefusalError(grpc.StatusCode.INVALID_ARGUMENT, detail)


def access_denied() -> RefusalError:
    return RefusalError(grpc.StatusCode.PERMISSION_DENIED, "Access Denied", exception="access-denied")


def stream_deleted(stream: str) -> RefusalError:
    return RefusalError(
        grpc.StatusCode.FAILED_PRECONDITION,
        f"Event stream '{stream}' is deleted.",
        exception="stream-deleted",
        stream_name=stream,
    )
