"""The failures of the node, as a tree.

LogError             the data directory cannot be used; the text says what to do
PortError            a port is taken
CertificateError     the certificate of a node cannot be used
ActError             an act that is impossible in the present state of the cluster
DamagedRecordError   a stored record is not what was written; it is never served
HandlerError         a failure that the real server reports as "Exception was thrown by handler."
RefusalError         a failure that the protocol defines: code, text and trailers
"""

import grpc

# Clients of gRPC may refuse an end of a call of more than 8 KiB, and would not see its code.
# There are five trailers at most.
MAX_OF_DETAIL, MAX_OF_TRAILER = 2_400, 1_000  # bytes as they are sent


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

    Underscores in the names of trailers become hyphens. Those without a value are left out, as the real server does. Of
    texts that are too long for a client, as the names of some streams, the middle is left out.
    """

    def __init__(self, code: grpc.StatusCode, detail: str, **trailers: object) -> None:
        super().__init__(detail)
        self.code, self.detail = code, shortened(detail, MAX_OF_DETAIL)
        self.trailers = tuple(
            (k.replace("_", "-"), printable(shortened(str(v), MAX_OF_TRAILER))) for k, v in trailers.items() if str(v)
        )


def shortened(text: str, most: int) -> str:
    """Its beginning and its end, if it takes more than so many bytes when it is percent-encoded."""
    if len(text) <= most and len(printable(text)) <= most:
        return text
    kept = (most if text.isascii() else most // 12) // 2 - 2
    return f"{text[:kept]}...{text[-kept:]}"


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
