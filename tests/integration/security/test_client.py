"""The client over TLS with tokens, and the profiles of the command line."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from client.sdk import Addresses, OrderstreamClient
from client.sdk.credentials import Tls
from client.sdk.errors import Denied
from core.config import Settings
from tests.integration.security.test_who_may_call import Spy, key_of, serving, settings, spy
from tests.support.certificates import Authority
from tests.support.command_line import invoke
from tests.unit.security.test_tokens import token

__all__ = ["settings", "spy"]  # fixtures
EXPIRED = token(exp=1_000_000_001)
Connect = Callable[..., OrderstreamClient]


@pytest.fixture
async def connect(settings: Settings, spy: Spy, tmp_path: Path) -> AsyncIterator[Connect]:  # a fixture
    authority = Authority()
    authority.issue(tmp_path / "tls.pem", tmp_path / "tls.key")
    tls = Tls(ca=authority.write(tmp_path / "ca.pem"))
    files = {"tls_certificate": tmp_path / "tls.pem", "tls_key": tmp_path / "tls.key"}
    async with serving(settings.model_copy(update=files), spy) as address:
        addresses = Addresses(commands=address, queries=address, projections=address, processes=address)
        yield lambda token: OrderstreamClient(addresses, tls=tls, token=token, deadline=10.0)


class Provider:
    """Gives these tokens, one after another, and the last one from then on."""

    def __init__(self, *tokens: str) -> None:
        self.tokens, self.asked = list(tokens), 0

    async def __call__(self) -> str:
        self.asked += 1
        return self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]


async def test_a_token_that_is_refused_is_renewed_once(connect: Connect) -> None:
    provider = Provider(EXPIRED, token())
    async with connect(provider) as shop:
        await shop.orders.GetOrder(order_id="x")
        async for _ in shop.orders.WatchOrder(order_id="x"):
            break
        await shop.orders.ListOrders()
    assert provider.asked == 2


async def test_a_token_that_is_refused_again_is_given_up(connect: Connect) -> None:
    provider = Provider(EXPIRED)
    async with connect(provider) as shop:
        with pytest.raises(Denied) as refused:
            await shop.orders.GetOrder(order_id="x")
    assert refused.value.reason == "UNAUTHENTICATED"
    assert provider.asked == 2


async def test_an_api_key_is_sent_as_it_is(connect: Connect, spy: Spy) -> None:  # a fixture
    async with connect(key_of("shop-read")) as shop:
        await shop.orders.GetOrder(order_id="x")
        with pytest.raises(Denied) as refused:
            await shop.orders.CancelOrder(order_id="x")
    assert (refused.value.reason, refused.value.metadata["role"]) == ("ACCESS_DENIED", "shop.write")
    assert spy.calls["/orders.v1.OrderQueryService/GetOrder", "shop-read"] == 1


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = tmp_path / "orderstream" / "config.toml"
    file.parent.mkdir()
    file.write_text('[profiles.prod]\nqueries = "127.0.0.1:1"\n[profiles.odd]\ncolour = "red"\n')
    return file


def test_a_profile_names_the_servers_and_options_win(profiles: Path) -> None:
    assert "127.0.0.1:1" in invoke(["--deadline", "0.1", "--profile", "prod", "orders", "list"]).output
    words = ["--deadline", "0.1", "--profile", "prod", "--queries", "127.0.0.1:2", "orders", "list"]
    assert "127.0.0.1:2" in invoke(words).output


@pytest.mark.parametrize(("name", "says"), [("nowhere", "there are prod, odd"), ("odd", "colour of the profile odd")])
def test_a_profile_that_cannot_be_used_is_named(profiles: Path, name: str, says: str) -> None:
    done = invoke(["--profile", name, "orders", "list"])
    assert done.exit_code == 2
    assert says in done.output


def test_a_file_of_the_command_line_that_is_not_there_is_named() -> None:
    for option in ("--tls-ca", "--token-file"):
        done = invoke(["--deadline", "0.1", option, "/not/there", "orders", "list"])
        assert done.exit_code == 2
        assert "/not/there" in done.output
