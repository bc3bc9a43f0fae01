"""Consistency tokens: a commit position that a client passes from a command's reply to a query.

Text is base64url of 1 byte format, 8 bytes position (big-endian), 4 bytes CRC-32. The checksum distinguishes our tokens
from anything else; it is no secret, and a forged position gains nothing but a wait.
"""

import base64
import binascii
import struct
import zlib

from core.failures import TokenInvalid

MAX_POSITION = 2**63 - 1  # of the log, and of any number that a token of ours holds: stores have signed 64 bits
_FORMAT = 1
_LAYOUT = struct.Struct(">BQ")
_SEAL = struct.Struct(">I")


def to_token(position: int) -> str:
    body = _LAYOUT.pack(_FORMAT, position)
    return base64.urlsafe_b64encode(body + _SEAL.pack(zlib.crc32(b"orderstream" + body))).decode().rstrip("=")


def from_token(token: str) -> int:
    """The commit position in a token. Raises `TokenInvalid`."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        body, seal = raw[: _LAYOUT.size], raw[_LAYOUT.size :]
        number, position = _LAYOUT.unpack(body)
        (checksum,) = _SEAL.unpack(seal)
    except (binascii.Error, struct.error, ValueError) as error:
        raise TokenInvalid from error
    if number != _FORMAT or position > MAX_POSITION or checksum != zlib.crc32(b"orderstream" + body):
        raise TokenInvalid
    return int(position)
