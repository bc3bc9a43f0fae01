"""The client in Python: every RPC as a method, and its failures as exceptions."""

from client.sdk.client import Addresses, OrderstreamClient
from client.sdk.errors import OrderstreamError

__all__ = ["Addresses", "OrderstreamClient", "OrderstreamError"]
