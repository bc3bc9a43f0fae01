"""Whatever a call shows: it is known, or it is refused as not authenticated."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.failures import Unauthenticated
from core.security.api_keys import ApiKeys
from core.security.authenticator import Authenticator
from core.security.jwks import KeysInFile
from core.security.tokens import Tokens
from tests.unit.security.test_tokens import AUDIENCE, ISSUER, jwks, token

TOKEN = token()
VALUES = st.one_of(
    st.text(max_size=50),
    st.binary(max_size=50),
    st.text(max_size=80).map(lambda text: f"Bearer {text}"),
    st.text(max_size=80).map(lambda text: f"Bearer osk_{text}"),
    st.tuples(st.integers(0, len(TOKEN) - 1), st.characters()).map(
        lambda change: f"Bearer {TOKEN[: change[0]]}{change[1]}{TOKEN[change[0] + 1 :]}"
    ),
    st.lists(st.text(alphabet="ab.=_-e", max_size=12), max_size=5).map(lambda parts: "bearer " + ".".join(parts)),
)
METADATA = st.lists(st.tuples(st.sampled_from(["authorization", "Authorization", "x-other"]), VALUES), max_size=3)


class Call:
    def __init__(self, metadata: Any) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> Any:
        return self._metadata


@pytest.fixture(scope="module")
def authenticator(tmp_path_factory: pytest.TempPathFactory) -> Authenticator:
    directory: Path = tmp_path_factory.mktemp("keys")
    (directory / "jwks.json").write_bytes(jwks())
    (directory / "keys.toml").write_text(f'[[keys]]\nname = "till"\nroles = ["shop.read"]\nsha256 = "{"0" * 64}"\n')
    return Authenticator(
        certificates=None,
        tokens=Tokens(KeysInFile("JWKS", directory / "jwks.json"), issuer=ISSUER, audience=AUDIENCE),
        keys=ApiKeys("KEYS", directory / "keys.toml"),
    )


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadata=METADATA)
def test_no_metadata_is_an_error_of_ours(authenticator: Authenticator, metadata: Any) -> None:
    try:
        known = asyncio.run(authenticator.principal_of(Call(metadata)))  # type: ignore[arg-type]  # what it looks at
    except Unauthenticated:
        return
    assert known.name == "ann"  # the changed letter was the same one
