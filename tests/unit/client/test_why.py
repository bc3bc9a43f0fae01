"""An act that needs a reason is refused by the command line before anything is asked or sent."""

import pytest

from tests.support.command_line import commands, invoke, typed

NOWHERE = "127.0.0.1:1"
ADDRESSES = [f"--{role}={NOWHERE}" for role in ("commands", "queries", "projections", "processes")]
MAY_SAY_WHY = {"projections resume"}
IF_ASKED_TO: dict[str, dict[str, str | None]] = {"verify": {"--heal": None}}
LINE = "orderstream: say why with --why; it is kept with the act\n"


def with_option(name: str) -> set[str]:
    return {path for path, command in commands().items() if any(name in x.opts for x in command.params)}


def without_why(path: str, **given: str | None) -> list[str]:
    words = typed(path, **given)
    for option in {"--why", "--reason"} & set(words):
        at = words.index(option)
        del words[at : at + 2]
    return words


@pytest.mark.parametrize("path", sorted(with_option("--why") - MAY_SAY_WHY))
@pytest.mark.parametrize("given", [{}, {"--why": " "}], ids=["none", "spaces"])
def test_nothing_is_sent_without_a_reason(path: str, given: dict[str, str]) -> None:
    why = [word for pair in given.items() for word in pair]
    done = invoke([*ADDRESSES, *without_why(path, **IF_ASKED_TO.get(path, {})), *why])
    assert (done.exit_code, done.stderr, done.stdout) == (2, LINE, "")


@pytest.mark.parametrize("path", sorted(with_option("--why") & with_option("--dry-run")))
def test_a_dry_run_needs_no_reason(path: str) -> None:
    done = invoke(["--deadline", "0.1", *ADDRESSES, *without_why(path), "--dry-run"])
    assert done.exit_code == 5, "it has asked the server, which is not there"


@pytest.mark.parametrize("path", ["projections resume", "verify"])
def test_an_act_that_needs_no_reason_is_sent_without(path: str) -> None:
    assert invoke(["--deadline", "0.1", *ADDRESSES, *without_why(path)]).exit_code == 5
