"""Every command of the command line, typed with something for all that it needs."""

from collections.abc import Sequence
from functools import cache
from typing import Any
from unittest.mock import patch

import typer
import typer.testing
from typer.testing import CliRunner, Result

from client.cli.main import app
from client.cli.output import SHAPE, want_json

# what a command looks at itself before it calls a service: by option, or by the name of an argument
GIVEN: dict[str, str | None] = {
    "--why": "a test", "--reason": "a test", "--yes": None, "--line": "tea:1", "--price": "1.00",
    "amount": "1.00", "price": "1.00", "value": "1.00", "email": "ann@example.org",
}  # fmt: skip


@cache
def orderstream() -> Any:
    """Made once: out of the functions of our commands, that takes twenty times as long as to run one of them."""
    return typer.main.get_command(app)


def invoke(words: Sequence[str], typed_in: str | None = None) -> Result:
    """The command line in this process. What its options have set does not outlast it, as with a process of its own."""
    try:
        with patch.object(typer.testing, "_get_command", lambda _: orderstream()):  # which would create it again
            return CliRunner().invoke(app, words, input=typed_in)
    finally:
        want_json(False)  # as typer calls it
        SHAPE.is_wide = False


@cache
def commands() -> dict[str, Any]:
    """By what is typed: `orders get`."""

    def of(group: Any, *path: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, command in group.commands.items():
            found |= of(command, *path, name) if hasattr(command, "commands") else {" ".join((*path, name)): command}
        return found

    return of(orderstream())


def typed(path: str, **given: str | None) -> list[str]:
    """The words of one command. `given` goes before what is made up; None is an option without a value."""
    words, values = path.split(), GIVEN | given
    for parameter in commands()[path].params:
        made_up = "1" if parameter.type_descriptor.annotation in (int, float) else "x"
        if parameter.param_type_name == "argument":
            words.append(values.get(parameter.name) or made_up)
        elif (named := parameter.opts[-1]) in values or parameter.required:
            value = values.get(named, made_up)
            words += [named] if value is None else [named, value]
    return words
