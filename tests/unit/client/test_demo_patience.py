"""The demo waits longer on a machine that is slow, and says which call failed and where its data are."""

import shutil
from pathlib import Path

import pytest
from google.rpc import code_pb2

from client.local.demo.outcome import LEAST_PATIENCE, LONGER_THAN_SEEN, MAX_PATIENCE, Names, Patience
from client.local.demo.rules import Provider, ProviderUnknownError
from client.sdk import errors
from tests.support.command_line import invoke
from tests.unit.client.test_calls import Scripted, failure, serving, shop_that

LATE = failure(code_pb2.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


def test_patience_grows_with_the_slowest_answer_up_to_a_bound() -> None:
    patience = Patience()
    patience.took(0.1)
    assert patience.seconds == LEAST_PATIENCE
    patience.took(10.0)
    patience.took(0.1)
    assert patience.seconds == 10.0 * LONGER_THAN_SEEN
    patience.took(1_000.0)
    assert patience.seconds == MAX_PATIENCE


async def test_a_call_that_was_late_is_made_again_with_its_request_id() -> None:
    handler = Scripted(LATE, LATE, None)
    async with shop_that(handler) as shop:
        reply = await Patience().ask(shop.users.RegisterUser, request_id="r-1", name="Ann")
    assert reply.consistency_token == "newest"
    assert [command.request_id for command in handler.commands] == ["r-1"] * 3


async def test_a_call_that_is_always_late_fails_when_patience_is_at_its_end() -> None:
    async with shop_that(Scripted(LATE)) as shop:
        with pytest.raises(errors.Unavailable) as failed:
            await Patience(seconds=0.1).ask(shop.users.RegisterUser, name="Ann")
    assert failed.value.call == "RegisterUser"


def test_a_demo_that_fails_says_which_call() -> None:
    refused = failure(code_pb2.FAILED_PRECONDITION, "USER_BLOCKED", user_id="u-1")
    with serving(Scripted(refused)) as address:
        servers = [f"--{role}={address}" for role in ("commands", "queries", "projections", "processes")]
        done = invoke([*servers, "demo", "--stack", "--orders", "1"])
    assert done.exit_code == 3
    assert "orderstream: RegisterUser failed: user u-1 is blocked; " in done.stderr


def test_a_demo_that_fails_keeps_its_data_and_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    for store in ("EVENTSTORE", "MONGO"):  # so that nothing starts
        monkeypatch.setenv(f"ORDERSTREAM_{store}_URI", "no address")
    done = invoke(["demo", "--orders", "1"])
    assert done.exit_code == 1
    kept, logs = (Path(text) for text in done.stderr.rpartition("data are kept in ")[2].strip().split(", logs in "))
    try:
        assert (logs / "commands.log").exists()
        assert logs.parent == kept
    finally:
        shutil.rmtree(kept)


def test_a_run_with_a_name_has_things_of_its_own() -> None:
    everybodys, own = Names(), Names("demo-1")
    assert everybodys.id_of("order", 1) != own.id_of("order", 1)
    assert (everybodys.sku_of("7"), own.sku_of("7")) == ("7", "demo-1-7")
    assert (everybodys.email_of(1), own.email_of(1)) == ("household-1@example.org", "household-1@demo-1.example.org")


@pytest.mark.parametrize(
    "setting", ["cards", "simulator?down=20", "simulator?refund_fails_on=7", "simulator?decline=x"]
)
def test_a_provider_that_the_proof_cannot_foresee_is_refused(setting: str) -> None:
    with pytest.raises(ProviderUnknownError):
        Provider.of(setting)


def test_the_rules_of_a_provider_are_read_from_the_setting() -> None:
    assert Provider.of("simulator") == Provider(declines=-1, fails_refunds=False)
    assert Provider.of("simulator?decline=13&refund_fails_on=1&lapse=15&seed=1") == Provider()
