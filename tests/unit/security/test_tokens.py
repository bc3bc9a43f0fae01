"""Tokens: which are believed, and what a flood of wrong ones costs."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any, ClassVar
from urllib.error import HTTPError

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from core.failures import Unauthenticated
from core.security.jwks import REFRESH_EVERY, UNKNOWN_EVERY, KeysAtUrl, fetched, keys_in
from core.security.tokens import CACHED_FOR, Tokens

ISSUER, AUDIENCE = "https://issuer.example", "orderstream"
RSA, OTHER = (rsa.generate_private_key(public_exponent=65_537, key_size=2_048) for _ in range(2))
EC, ED = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
PUBLIC = {
    "rsa": RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True),
    "ec": ECAlgorithm(ECAlgorithm.SHA256).to_jwk(EC.public_key(), as_dict=True),
    "ed": OKPAlgorithm().to_jwk(ED.public_key(), as_dict=True),
}
SIGNERS: dict[str, tuple[Any, str]] = {"rsa": (RSA, "RS256"), "ec": (EC, "ES256"), "ed": (ED, "EdDSA")}
NOW = 1_800_000_000.0


def jwks(*names: str) -> bytes:
    return json.dumps({"keys": [{**PUBLIC[name], "kid": name} for name in names or PUBLIC]}).encode()


class Issuer:
    """Answers for the address of the keys; each question is counted."""

    def __init__(self) -> None:
        self.now, self.asked, self.answer = NOW, 0, jwks()
        self.is_down = False

    async def fetch(self, _url: str) -> bytes:
        self.asked += 1
        if self.is_down:
            raise ConnectionError("nobody there")
        return self.answer

    def keys(self) -> KeysAtUrl:
        return KeysAtUrl("https://issuer.example/keys", fetch=self.fetch, clock=lambda: self.now)

    def tokens(self) -> Tokens:
        return Tokens(self.keys(), issuer=ISSUER, audience=AUDIENCE)


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


def claims(**other: Any) -> dict[str, Any]:
    now = 1_000_000_000  # long ago; exp is far ahead, so no test depends on the day
    made = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": 9_000_000_000, "roles": ["shop.read"]}
    return {name: value for name, value in (made | other).items() if value is not None}


def token(signer: str = "rsa", key_id: str | None = None, key: Any = None, **other: Any) -> str:
    private, algorithm = SIGNERS[signer]
    headers = {"kid": key_id or signer}
    return jwt.encode(claims(**other), key or private, algorithm=algorithm, headers=headers)


def signed_by_hand(header: dict[str, str], sign: Callable[[bytes], bytes]) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims())]
    message = b".".join(parts)
    return (message + b"." + base64.urlsafe_b64encode(sign(message)).rstrip(b"=")).decode()


PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
WRONG = {
    "garbage": "garbage",
    "three parts of garbage": "a.b.c",
    "alg none": signed_by_hand({"alg": "none", "kid": "rsa"}, lambda _: b""),
    "HS256 with the public key": signed_by_hand(
        {"alg": "HS256", "kid": "rsa"}, lambda message: hmac.digest(PEM, message, hashlib.sha256)
    ),
    "an algorithm of another key": token("ec", key_id="rsa"),
    "expired": token(exp=1_000_000_001),
    "not yet valid": token(nbf=8_999_999_999),
    "wrong key": token(key=OTHER),
    "wrong issuer": token(iss="https://other.example"),
    "wrong audience": token(aud="other"),
    "unknown key id": token(key_id="unknown"),
    "9 KiB": token(padding="x" * 9 * 1024),
    "no subject": token(sub=None),
    "no expiry": token(exp=None),
    "no audience": token(aud=None),
    "a subject that cannot be shown": token(sub="ann\n"),
    "the name of a process": token(sub="process:checkout"),
    "the name of a process, with a space": token(sub="\u00a0process:checkout"),
}


@pytest.mark.parametrize("signer", SIGNERS)
async def test_a_token_of_the_issuer_is_believed(issuer: Issuer, signer: str) -> None:
    principal = await issuer.tokens().principal_of(token(signer, roles=["shop.read", "of.others"], customer_id="c"))
    assert (principal.name, principal.roles, principal.customer_id) == ("ann", frozenset({"shop.read"}), "c")


async def test_roles_may_be_a_text(issuer: Issuer) -> None:
    assert (await issuer.tokens().principal_of(token(roles="ops.read ops.act"))).roles == {"ops.read", "ops.act"}


async def test_a_token_without_roles_is_somebody_who_may_do_nothing(issuer: Issuer) -> None:
    assert (await issuer.tokens().principal_of(token(roles=None))).roles == frozenset()


@pytest.mark.parametrize("what", WRONG)
async def test_a_wrong_token_is_refused(issuer: Issuer, what: str) -> None:
    with pytest.raises(Unauthenticated):
        await issuer.tokens().principal_of(WRONG[what])


async def test_a_token_that_was_verified_is_not_believed_after_its_end(issuer: Issuer) -> None:
    now = [NOW]
    tokens = Tokens(issuer.keys(), issuer=ISSUER, audience=AUDIENCE, clock=lambda: now[0])
    known = token()
    await tokens.principal_of(known)
    issuer.answer, issuer.now = jwks("ec"), NOW + REFRESH_EVERY + 1
    with pytest.raises(Unauthenticated):
        await tokens.principal_of(token(key_id="unknown"))  # now the keys are asked for
    await tokens.principal_of(known)  # verified a moment ago
    now[0] += CACHED_FOR
    with pytest.raises(Unauthenticated):
        await tokens.principal_of(known)


async def test_a_key_that_came_later_is_asked_for(issuer: Issuer) -> None:
    issuer.answer, tokens = jwks("ec"), issuer.tokens()
    await tokens.principal_of(token("ec"))
    issuer.answer, issuer.now = jwks("ec", "rsa"), NOW + UNKNOWN_EVERY
    await tokens.principal_of(token("rsa"))
    assert issuer.asked == 2


async def test_a_thousand_unknown_key_ids_are_one_question(issuer: Issuer) -> None:
    tokens = issuer.tokens()
    for number in range(1_000):
        with pytest.raises(Unauthenticated):
            await tokens.principal_of(signed_by_hand({"alg": "RS256", "kid": f"{number}"}, lambda _: b"x"))
    assert issuer.asked == 1


async def test_while_the_issuer_is_down_the_known_keys_go_on(issuer: Issuer) -> None:
    keys = issuer.keys()
    assert await keys.key("rsa")
    issuer.is_down, issuer.now = True, NOW + 10 * REFRESH_EVERY
    assert await keys.key("rsa")
    assert await keys.key("unknown") is None
    assert await keys.key("rsa")


@pytest.mark.parametrize("answer", [b"[" * 100_000, b"\xff", b'{"keys": 1}'])
async def test_whatever_the_issuer_answers_the_known_keys_go_on(issuer: Issuer, answer: bytes) -> None:
    keys = issuer.keys()
    assert await keys.key("rsa")
    issuer.answer, issuer.now = answer, NOW + REFRESH_EVERY
    assert await keys.key("unknown") is None
    assert await keys.key("rsa")


def test_a_key_without_an_algorithm_is_left_out() -> None:
    unsigned = {**PUBLIC["rsa"], "kid": "unsigned", "alg": "none"}
    assert set(keys_in(json.dumps({"keys": [unsigned, {**PUBLIC["ec"], "kid": "ec"}]}).encode())) == {"ec"}


def test_keys_are_not_looked_for_where_a_redirect_leads() -> None:
    class Redirect(BaseHTTPRequestHandler):
        paths: ClassVar[list[str]] = []

        def do_GET(self) -> None:
            self.paths.append(self.path)
            self.send_response(302)
            self.send_header("location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    with HTTPServer(("127.0.0.1", 0), Redirect) as server:
        Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(HTTPError, match="302"):
            fetched(f"http://127.0.0.1:{server.server_port}/keys")
    assert Redirect.paths == ["/keys"]


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b'{"keys": []}', b'{"keys": [{"kty": "oct", "kid": "a", "k": "c2s"}]}']
)
def test_what_is_no_set_of_public_keys_is_none(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        keys_in(raw)
