"""Salted hashes of passwords, by scrypt. A hash names its parameters, so that later ones can differ."""

import base64
import hashlib
import hmac
import os
from typing import NamedTuple

_COST, _BLOCK, _PARALLEL = 2**14, 8, 1  # 16 MiB, and 50 ms of a processor
_SALT_BYTES, _HASH_BYTES = 16, 32
_MEMORY = 64 * 1024 * 1024  # bytes; what a hash may ask for


class Hashed(NamedTuple):
    """A password as it is stored. Both parts are text."""

    hash: str
    salt: str


def hashed(password: str) -> Hashed:
    """Takes 50 ms: not for the thread that serves calls."""
    salt = os.urandom(_SALT_BYTES)
    made = _scrypt(password, salt, _COST, _BLOCK, _PARALLEL)
    return Hashed(f"scrypt${_COST}${_BLOCK}${_PARALLEL}${_text(made)}", _text(salt))


def verify(password: str, stored: Hashed) -> bool:
    """Whether it is the password that was hashed. A hash of another kind fits none. Takes as long as `hashed`."""
    try:
        kind, cost, block, parallel, expected = stored.hash.split("$")
        made = _scrypt(password, base64.b64decode(stored.salt), int(cost), int(block), int(parallel))
        return kind == "scrypt" and hmac.compare_digest(made, base64.b64decode(expected))
    except (ValueError, OverflowError):  # an administrator may append anything to the stream of a user
        return False


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(
        password.encode(errors="surrogatepass"),
        salt=salt,
        n=cost,
        r=block,
        p=parallel,
        maxmem=_MEMORY,
        dklen=_HASH_BYTES,
    )


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


# what is verified for an unknown user, so that it takes as long as for a known one
NOBODYS = Hashed(
    f"scrypt${_COST}${_BLOCK}${_PARALLEL}${_text(os.urandom(_HASH_BYTES))}", _text(os.urandom(_SALT_BYTES))
)
