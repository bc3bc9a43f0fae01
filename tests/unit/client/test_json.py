"""With --json every command prints objects of one kind, and nothing else on stdout; a failure is one on stderr."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from client.cli import output
from client.cli.output import as_dict
from protos.orders.v1.queries_pb2 import GetOrderResponse
from protos.orders.v1.types_pb2 import Order
from tests.support.answering_anything import LARGE, LONG_ID, answering_anything, filled
from tests.support.command_line import commands, invoke, typed
from tests.support.processes import ROOT

NOWHERE = "127.0.0.1:1"
ROLES = ("commands", "queries", "projections", "processes")
STORE = f"esdb://{NOWHERE}?Tls=false"
OF_NO_SERVICE = {"events tail", "store check", "demo", "keys new"}  # they ask the store, or start services of their own
# what makes a command end, and agree to its own plan
GIVEN: dict[str, str | None] = {"--limit": "1", "keep": LONG_ID, "--keep": LONG_ID, "--uri": STORE}


def options_of(path: str) -> list[str]:
    return [parameter.opts[-1] for parameter in commands()[path].params if parameter.param_type_name == "option"]


TAKE_JSON = [path for path in commands() if "--json" in options_of(path)]


@pytest.fixture(scope="module")
def anything() -> Iterator[str]:
    with answering_anything() as address:
        yield address


def run(address: str, path: str, deadline: float) -> Any:
    words = typed(path, **{"address": address, "--json": None, **GIVEN})
    servers = [f"--{role}={address}" for role in ROLES]
    return invoke(["--deadline", str(deadline), *servers, *words])


def objects(printed: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in printed.splitlines()]
    assert all(isinstance(one, dict) for one in found), printed
    return found


def texts(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for one in value.values():
                yield from texts(one)
        case list():
            for one in value:
                yield from texts(one)
        case str():
            yield value


@pytest.mark.parametrize("path", [path for path in TAKE_JSON if path not in OF_NO_SERVICE])
def test_what_a_command_prints_is_objects_with_whole_numbers_as_numbers(path: str, anything: str) -> None:
    done = run(anything, path, deadline=0.5)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    reported = objects(done.stdout) or objects(done.stderr)
    assert reported, done.stderr
    assert all(re.fullmatch(r"[a-z_]+", name) for one in reported for name in one), reported
    assert str(LARGE) not in set(texts(reported)), "64 bits as a text"


@pytest.mark.parametrize("path", [path for path in TAKE_JSON if path not in ("demo", "keys new")])
def test_a_failure_is_an_object_with_the_exit_code_of_the_line(
    path: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERSTREAM_EVENTSTORE_URI", STORE)
    done = run(NOWHERE, path, deadline=0.05)  # it is tried again until then
    assert done.exit_code == (1 if path == "status" else 5), done.stderr
    if path != "status":  # its result is what is missing
        [failure] = objects(done.stderr)
        assert list(failure) == ["code", "reason", "message", "metadata"]
        assert (failure["code"], done.stdout) == ("UNAVAILABLE", "")
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("path", TAKE_JSON)
def test_every_command_takes_the_one_option(path: str) -> None:
    [option] = [x for x in commands()[path].params if "--json" in x.opts]
    assert option.callback is not None
    assert option.help == output.AsJson.__metadata__[0].help  # type: ignore[attr-defined]  # of an Annotated


def test_nothing_but_one_module_writes_to_stdout_or_makes_json() -> None:
    forbidden = re.compile(r"stdout\.write|json\.dumps|MessageTo|(?<![.\w])print\(")
    found = [
        f"{path.name}: {line.strip()}"
        for path in sorted((ROOT / "client" / "cli").glob("*.py"))
        if path.name != "output.py"
        for line in path.read_text().splitlines()
        if forbidden.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["orders", "get", "--json"], "Missing argument"),
        (["orders", "list", "--json", "--nothing"], "No such option"),
        (["orders", "list", "--json", "--status", "lost"], "there is no status 'lost'"),
    ],
)
def test_a_wrong_command_line_is_an_object_too(words: list[str], said: str) -> None:
    done = invoke(words)
    [failure] = objects(done.stderr)
    assert (done.exit_code, failure["code"], done.stdout) == (2, "INVALID_ARGUMENT", "")
    assert said in failure["message"]


def test_a_plan_to_agree_to_is_shown_beside_the_object(anything: str) -> None:
    servers = [f"--{role}={anything}" for role in ROLES]
    words = ["projections", "drop", "order_list", "--why", "a test", "--json"]
    done = invoke([*servers, *words], typed_in="y\n")
    assert len(objects(done.stdout.removeprefix(" y\n"))) == 1  # the test's terminal shows what was typed
    assert "drop order_list?" in done.stderr
    done = invoke([*servers, *words], typed_in="n\n")
    assert (done.exit_code, done.stdout) == (1, " n\n")
    assert '"message": "nothing was done"' in done.stderr


def test_a_message_is_shown_with_numbers_and_can_be_read_again() -> None:
    message = filled(GetOrderResponse.DESCRIPTOR)
    reported = as_dict(message)
    assert reported["order"]["total"]["amount_minor"] == LARGE
    assert ParseDict(reported, GetOrderResponse()) == message
    assert as_dict(Order())["lines"] == []


def test_another_command_line_of_the_same_process_does_not_print_json_by_itself() -> None:
    invoke([*typed("orders get"), "--json"])
    assert (output.out.stderr, output.SHAPE.is_json) == (False, False)
