"""orderstream for Python: a client over the generated stubs, the command line, and a stack on this machine."""

from client.sdk import Addresses, OrderstreamClient, OrderstreamError

__all__ = ["Addresses", "OrderstreamClient", "OrderstreamError"]
