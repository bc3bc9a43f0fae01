"""A failed call in words for people: the one place that makes a line of an error."""

import grpc

from client.errors import OrderstreamError, Unreachable

LONGEST_CAUSE = 160  # characters
IS_IT_RUNNING = "is `orderstream up` running?"


def words_of(error: OrderstreamError) -> str:
    """One line: what is the matter, and what to do about it."""
    if isinstance(error, Unreachable) and error.address:
        return f"{_server(error)} does not answer ({_cause(error)}); {IS_IT_RUNNING} {_setting(error)}"
    if error.code is grpc.StatusCode.UNIMPLEMENTED and error.address:
        return f"{_server(error)} does not know this call: another service, or another release? {_setting(error)}"
    return f"{error} [{error.reason}]" if error.reason else str(error)


def _server(error: OrderstreamError) -> str:
    return f"the service for {error.role} at {error.address}" if error.role else f"the service at {error.address}"


def _setting(error: OrderstreamError) -> str:
    if not error.role:
        return "Another address is another argument."
    return f"Another address: --{error.role}, or ORDERSTREAM_{error.role.upper()}."


def _cause(error: OrderstreamError) -> str:
    """The last part of what gRPC says of a connection: "Connection refused (111)"."""
    if error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return "not in time"
    return str(error).rpartition(": ")[2][:LONGEST_CAUSE]
