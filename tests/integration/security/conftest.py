"""Closed services of which each test knows the keys."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from core.config import Settings
from server.app import serving
from tests.integration.security.test_who_may_call import write_keys

CALLERS = {
    "till": ["shop.write", "shop.read"],
    "console": ["shop.write", "ops.read", "ops.act", "impersonate"],
    "ann": ["customer"],
    "ben": ["customer"],
    "catalogue": ["shop.catalogue", "shop.fulfil"],
}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return write_keys(tmp_path / "keys.toml", **CALLERS)


@pytest.fixture
async def commands(eventstore_uri: str, keys: Path) -> AsyncIterator[str]:
    settings = Settings(eventstore_uri=eventstore_uri, api_keys_file=keys, grace=1.0, drain_delay=0)
    async with serving("commands", settings, 0) as address:
        yield address


def as_caller(name: str, **headers: str) -> tuple[tuple[str, str], ...]:
    """Metadata of a call."""
    more: Mapping[str, str] = {key.replace("_", "-"): value for key, value in headers.items()}
    return (("authorization", f"Bearer osk_{name}"), *more.items())
