"""Ids of processes are derived from their purpose: a repeated step, from any process, is the same request.

They are UUIDs of version 8, a reserved range: the services refuse such ids from outside, so no caller can use one
before the process does. Processes that former releases started keep their ids, which are UUIDs of version 5.
"""

import hashlib
from uuid import UUID, uuid5

from core.domain.checkout.state import FORMER_IDS, OWN_IDS

NAMESPACE = UUID("0b5f6b0e-52a5-5b3e-9a5e-3f8f0f3f8a11")
PART_END = "\0"


def derived(version: int, *parts: str) -> str:
    """A UUID derived from its purpose; `version` is that of the process's ids."""
    name = PART_END.join(parts)
    if version == FORMER_IDS:
        return str(uuid5(NAMESPACE, name))
    digest = bytearray(hashlib.sha256(NAMESPACE.bytes + name.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | OWN_IDS << 4  # version and variant, as RFC 9562 has them
    digest[8] = digest[8] & 0x3F | 0x80
    return str(UUID(bytes=bytes(digest)))
