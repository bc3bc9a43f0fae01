"""orderstream for Python: a client over the generated stubs, and the command line."""

from client.errors import OrderstreamError
from client.sdk import Addresses, OrderstreamClient

__all__ = ["Addresses", "OrderstreamClient", "OrderstreamError"]
