"""A server that is not there: every command says which, where, what names another, and how to start one."""

import grpc
import pytest

from client.cli.words import words_of
from client.sdk import Addresses, OrderstreamClient
from client.sdk.errors import InternalError, Unreachable, from_rpc_error
from tests.support.command_line import commands, invoke, typed

SECRET = "s3cr3t-0f-ours"
NOWHERE = "127.0.0.1:1"  # nobody listens on it, for it is not given to users
ROLES = ("commands", "queries", "projections", "processes")
ADDRESSES = [f"--{role}={NOWHERE}" for role in ROLES]
NOT_OF_A_SERVICE = {
    "up",
    "demo",
    "embedded",
    "store check",
    "store grant",
    "keys new",
}  # they start or ask something else
GIVEN = {"address": NOWHERE, "--uri": f"esdb://{NOWHERE}?Tls=false"}


@pytest.mark.parametrize("path", [path for path in commands() if path not in NOT_OF_A_SERVICE])
def test_each_command_says_who_is_not_there_and_what_to_do(path: str, capfd: pytest.CaptureFixture[str]) -> None:
    done = invoke(["--deadline", "0.05", *ADDRESSES, *typed(path, **GIVEN)])
    shown = done.output + capfd.readouterr().err  # `events tail` reads in a process of its own
    assert done.exit_code == (1 if path == "status" else 5), shown
    assert NOWHERE in shown
    assert "is `orderstream up` running?" in shown
    named = {f"--{role}, or ORDERSTREAM_{role.upper()}" for role in ROLES}
    assert path == "health" or "--uri or ORDERSTREAM_EVENTSTORE_URI" in shown or any(x in shown for x in named), shown
    assert "Traceback" not in shown


async def test_the_client_reports_which_server_does_not_answer() -> None:
    async with OrderstreamClient(Addresses(queries=NOWHERE), deadline=0.2) as shop:
        with pytest.raises(Unreachable) as failed:
            await shop.users.GetUser(user_id="x")
    assert (failed.value.role, failed.value.address) == ("queries", NOWHERE)
    assert "(Connection refused (111))" in words_of(failed.value)


@pytest.mark.parametrize("options", [["--json"], []], ids=["json", "text"])
@pytest.mark.parametrize("how", ["?tls=false", "?colour=red", "/@other"], ids=["nobody there", "wrong", "malformed"])
def test_the_password_of_an_address_is_not_printed(
    options: list[str], how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    words = typed("events tail", **{"--uri": f"esdb://ann:{SECRET}@{NOWHERE}{how}"})
    done = invoke(["--deadline", "0.1", *words, *options])
    shown = done.output + done.stderr + capfd.readouterr().err
    assert done.exit_code, "it fails"
    assert shown
    assert SECRET not in shown


@pytest.mark.parametrize("problem", ["certificate has expired", "unable to get local issuer certificate"])
def test_a_server_whose_certificate_is_not_accepted_is_there(problem: str) -> None:
    handshake = "SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED"
    said = f"connections to all backends failing; last error: UNKNOWN: ipv4:{NOWHERE}: {handshake}: {problem}"
    failed = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), said)
    line = words_of(from_rpc_error(failed, "queries", NOWHERE))
    assert line.startswith(f"the certificate of the service for queries at {NOWHERE} is not accepted: {problem}; ")
    assert "--tls-ca" in line
    assert "orderstream up" not in line


def test_a_server_that_does_not_know_a_call_is_another_one() -> None:
    strange = grpc.aio.AioRpcError(
        grpc.StatusCode.UNIMPLEMENTED, grpc.aio.Metadata(), grpc.aio.Metadata(), "Method not found!"
    )
    failure = from_rpc_error(strange, "queries", NOWHERE)
    assert isinstance(failure, InternalError)
    assert "the service for queries at 127.0.0.1:1 does not know this call" in words_of(failure)
    assert "--queries, or ORDERSTREAM_QUERIES" in words_of(failure)
