"""How the client proves who it is, and whom it trusts: TLS, and bearer tokens or API keys."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import grpc

TokenProvider = Callable[[], str | Awaitable[str]]
AUTHORIZATION = "authorization"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files in PEM form. `ca`: the authorities of the servers; None: those that gRPC brings.

    `certificate` and `key` are the client's own, for servers that want one.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Raises `OSError` for a file that cannot be read, and `ValueError` for half of a pair."""
        if (self.certificate is None) is not (self.key is None):
            raise ValueError("a client certificate and its key are given together")
        return grpc.ssl_channel_credentials(*(_content(file) for file in (self.ca, self.key, self.certificate)))


def _content(file: Path | None) -> bytes | None:
    return None if file is None else file.read_bytes()


def channel_to(target: str, tls: Tls | None, options: tuple[tuple[str, object], ...] = ()) -> grpc.aio.Channel:
    """Raises as `Tls.credentials`."""
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, tls.credentials(), options=options)


class Token:
    """A token out of a provider, kept until a server does not accept it any more. A text is a token that stays."""

    def __init__(self, provider: TokenProvider | str) -> None:
        self._provider = provider
        self._known = provider if isinstance(provider, str) else ""

    async def headers(self) -> tuple[tuple[str, str], ...]:
        if not self._known and not isinstance(self._provider, str):
            given = self._provider()
            self._known = await given if inspect.isawaitable(given) else given
        return ((AUTHORIZATION, f"Bearer {self._known}"),)

    def can_be_renewed(self, refused: tuple[tuple[str, str], ...]) -> bool:
        """Whether the provider can be asked again after these headers were refused; then it will be."""
        if isinstance(self._provider, str):
            return False
        if refused == ((AUTHORIZATION, f"Bearer {self._known}"),):
            self._known = ""  # another call may have renewed it already
        return True
