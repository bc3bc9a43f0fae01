"""Authentication: the caller of a call, by client certificate, else by the bearer token or API key that it carries."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from core.failures import Unauthenticated
from core.rpc.typing import Context
from core.security.api_keys import PREFIX, ApiKeys, entries_of, principal_from
from core.security.principal import Principal
from core.security.tokens import Tokens
from core.security.watched import WatchedFile

HEADER, SCHEME = "authorization", "bearer "
# as gRPC names what a certificate says: a SPIFFE id, else names of hosts; its common name counts for nothing
IDENTITIES = ("peer_spiffe_id", "peer_dns")


class CertificateNames:
    """Callers that are known by a name in their certificate, each with its roles: `[[certificates]]` in a file.

    Raises `WrongSettingError` for a file that is none.
    """

    def __init__(self, variable: str, file: Path) -> None:
        def parse(raw: bytes) -> Mapping[str, Principal]:
            entries = entries_of(variable, file, raw, "certificates")
            return {entry["name"]: principal_from(variable, file, entry) for entry in entries}

        self._file = WatchedFile(file, parse, variable)

    def principal_of(self, names: Iterable[str]) -> Principal | None:
        known = self._file.current()
        return next((known[name] for name in names if name in known), None)


class Authenticator:
    """The first method that knows the caller counts. Credentials must be valid: a wrong token is refused."""

    def __init__(self, *, certificates: CertificateNames | None, tokens: Tokens | None, keys: ApiKeys | None) -> None:
        self._certificates, self._tokens, self._keys = certificates, tokens, keys

    async def principal_of(self, context: Context) -> Principal:
        """Raises `Unauthenticated`."""
        if self._certificates is not None:
            known = self._certificates.principal_of(_names(context))
            if known is not None:
                return known
        return await self._by_header([v for k, v in context.invocation_metadata() or () if k.lower() == HEADER])

    async def _by_header(self, values: list[str | bytes]) -> Principal:
        if not values:
            raise Unauthenticated("the call does not say who calls")
        if len(values) > 1:
            raise Unauthenticated("the call has several authorization headers")
        value = values[0]
        if not isinstance(value, str) or not value.lower().startswith(SCHEME):
            raise Unauthenticated("the authorization is not a bearer token")
        token = value[len(SCHEME) :].strip()
        if token.startswith(PREFIX):
            known = self._keys.principal_of(token) if self._keys is not None else None
            if known is None:
                raise Unauthenticated("the API key is not known")
            return known
        if self._tokens is None:
            raise Unauthenticated("tokens are not taken here")
        return await self._tokens.principal_of(token)


def _names(context: Context) -> Iterable[str]:
    shown = context.auth_context() or {}
    for kind in IDENTITIES:
        for name in shown.get(kind, ()):
            yield name.decode(errors="replace") if isinstance(name, bytes) else str(name)
