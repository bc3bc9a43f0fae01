"""Bearer tokens (JWT) of the issuer that the settings name. We verify tokens; we issue none."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jwt
from jwt.exceptions import ExpiredSignatureError, InvalidAudienceError, InvalidIssuerError, PyJWTError

from core.failures import Unauthenticated
from core.rpc import validation
from core.security.access import ROLES
from core.security.jwks import KeySource
from core.security.principal import Principal

ALGORITHMS = ("RS256", "ES256", "EdDSA")  # never one that signs with a secret: a public key would be that secret
MAX_SIZE = 8 * 1024  # bytes of a token
LEEWAY = 30.0  # seconds between the issuer's clock and ours
REQUIRED = ("exp", "iat", "sub", "iss", "aud")
CACHED_FOR, MAX_CACHED = 60.0, 10_000  # seconds and entries


class Tokens:
    """`clock` gives seconds since 1970."""

    def __init__(
        self,
        keys: KeySource,
        *,
        issuer: str,
        audience: str,
        roles_claim: str = "roles",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys, self._issuer, self._audience = keys, issuer, audience
        self._roles_claim, self._clock = roles_claim, clock
        self._verified: dict[bytes, tuple[float, Principal]] = {}  # by hash; with the time until which it holds

    async def principal_of(self, token: str) -> Principal:
        """Raises `Unauthenticated`."""
        if len(token) > MAX_SIZE:
            raise Unauthenticated("the token is too large")
        digest, now = hashlib.sha256(token.encode()).digest(), self._clock()
        known = self._verified.get(digest)
        if known is not None and now < known[0]:
            return known[1]
        claims = await self._claims(token)
        principal = self._principal(claims)
        if len(self._verified) >= MAX_CACHED:
            self._verified.clear()  # it is filled again within seconds
        self._verified[digest] = min(float(claims["exp"]), now + CACHED_FOR), principal
        return principal

    async def _claims(self, token: str) -> Mapping[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
        except PyJWTError:
            raise Unauthenticated("the token is no JWT") from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS:
            raise Unauthenticated("the token is signed in a way that is not allowed")
        key = await self._keys.key(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise Unauthenticated("the token is signed with an unknown key")
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY,
                options={"require": list(REQUIRED)},
            )
        except PyJWTError as error:
            raise Unauthenticated(_problem(error)) from None

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        name = claims["sub"]
        if validation.actor(name):
            raise Unauthenticated("the subject of the token is not a name")
        customer_id = claims.get("customer_id", "")
        if not isinstance(customer_id, str):
            raise Unauthenticated("customer_id of the token is not a text")
        return Principal(name=name, roles=_roles(claims.get(self._roles_claim, ())), customer_id=customer_id)


def _roles(claim: object) -> frozenset[str]:
    """A list, or a text with spaces between; roles that are not ours belong to other systems."""
    named: Sequence[object] = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else ()
    return frozenset(role for role in named if isinstance(role, str) and role in ROLES)


def _problem(error: PyJWTError) -> str:
    match error:
        case ExpiredSignatureError():
            return "the token has expired"
        case InvalidAudienceError():
            return "the token is for another audience"
        case InvalidIssuerError():
            return "the token is of another issuer"
        case _:
            return "the token is not valid"
