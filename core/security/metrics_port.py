"""Prometheus' metrics over HTTP, with the certificates of the ports of gRPC if there are any."""

import ssl
from collections.abc import Callable
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from core.security.certificates import Certificates

HANDSHAKE_WITHIN = 10.0  # seconds of silence of a client


class _Handler(WSGIRequestHandler):
    timeout = HANDSHAKE_WITHIN

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
        """A scrape is not logged."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    context: Callable[[], ssl.SSLContext]

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        """The handshake runs in the thread of the request: a silent client delays no other."""
        connection, address = super().get_request()
        wrapped = self.context().wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return wrapped, address

    def handle_error(self, request: object, client_address: object) -> None:
        """A failed handshake is reported by the client."""


def serve(host: str, port: int, certificates: Certificates) -> int:
    """In a thread of its own; the port. Raises `OSError`, `OverflowError`."""
    server = _Server((host, port), _Handler)
    server.context = lambda: certificates.current().http
    server.set_app(make_wsgi_app())
    Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port
