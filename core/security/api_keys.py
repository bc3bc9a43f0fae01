"""API keys: a file with the hashes of the keys, read again when it changes.

    [[keys]]
    name = "till-3"
    roles = ["shop.write"]
    sha256 = "…"

Several keys may have one name, so that a new one is given out before the old one is taken away.
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.config import WrongSettingError
from core.rpc import validation
from core.security.access import ROLES
from core.security.principal import Principal
from core.security.watched import WatchedFile

PREFIX = "osk_"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class ApiKeys:
    """Raises `WrongSettingError` for a file that is none. `variable` is the setting that names it."""

    def __init__(self, variable: str, file: Path) -> None:
        self._file = WatchedFile(file, lambda raw: _parsed(variable, file, raw), variable)

    def principal_of(self, key: str) -> Principal | None:
        """None for an unknown key. Only hashes are compared, so the duration reveals nothing about a key."""
        return self._file.current().get(digest_of(key))


def _parsed(variable: str, file: Path, raw: bytes) -> Mapping[str, Principal]:
    found: dict[str, Principal] = {}
    for entry in entries_of(variable, file, raw, "keys"):
        digest = entry.get("sha256")
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise WrongSettingError(f"{variable}: {file}: sha256 of {entry['name']} must be 64 hexadecimal digits")
        if digest in found:
            raise WrongSettingError(f"{variable}: {file}: a key is there twice, for {entry['name']}")
        found[digest] = principal_from(variable, file, entry)
    return found


def entries_of(variable: str, file: Path, raw: bytes, table: str) -> list[dict[str, Any]]:
    """Each with a name. Raises `WrongSettingError`."""
    try:
        entries = tomllib.loads(raw.decode())[table]
    except (ValueError, KeyError) as error:
        problem = f"it has no [[{table}]]" if isinstance(error, KeyError) else str(error)
        raise WrongSettingError(f"{variable}: {file} is not a TOML file of {table}: {problem}") from None
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise WrongSettingError(f"{variable}: {file} has no {table}")
    for entry in entries:
        name = entry.get("name")
        if not isinstance(name, str) or validation.actor(name):
            raise WrongSettingError(f"{variable}: {file}: {name!r} is not a name for a caller")
    return entries


def principal_from(variable: str, file: Path, entry: Mapping[str, Any]) -> Principal:
    roles = entry.get("roles")
    if not isinstance(roles, list) or not roles or not all(isinstance(role, str) and role in ROLES for role in roles):
        raise WrongSettingError(
            f"{variable}: {file}: roles of {entry['name']} must be some of {', '.join(sorted(ROLES))}"
        )
    customer_id = entry.get("customer_id", "")
    if not isinstance(customer_id, str):
        raise WrongSettingError(f"{variable}: {file}: customer_id of {entry['name']} must be a text")
    return Principal(name=entry["name"], roles=frozenset(roles), customer_id=customer_id)
