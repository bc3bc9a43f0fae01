"""API keys as `orderstream keys new` makes them: a key, and its entry in the file ORDERSTREAM_API_KEYS_FILE."""

import hashlib
import secrets
from collections.abc import Sequence

from protos.common.v1.access_pb2 import Role

PREFIX, SIZE = "osk_", 32  # random bytes
ROLES = [name.removeprefix("ROLE_").lower().replace("_", ".") for name, number in Role.items() if number]


def new_key() -> str:
    return PREFIX + secrets.token_urlsafe(SIZE)


def toml_entry(key: str, name: str, roles: Sequence[str], customer: str = "") -> str:
    """The entry of a key in a file of keys: it has the hash of the key only."""
    listed = ", ".join(f'"{role}"' for role in roles)
    lines = ["[[keys]]", f'name = "{name}"', f"roles = [{listed}]"]
    if customer:
        lines.append(f'customer_id = "{customer}"')
    return "\n".join([*lines, f'sha256 = "{hashlib.sha256(key.encode()).hexdigest()}"', ""])
