"""What a refusal carries is published: each name that the domain gives stands in the comment of its reason."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.domain.rejection import Reason

ROOT = Path(__file__).parents[2]


def comments() -> dict[str, str]:
    """reason → what the contract says about it."""
    found = {}
    for path in (ROOT / "protos").rglob("errors.proto"):
        for comment, reason in re.findall(r"((?: *//.*\n)+) *ERROR_REASON_(\w+) =", path.read_text()):
            found[reason] = " ".join(re.findall(r"// ?(.*)", comment))
    return found


def names() -> Iterator[tuple[str, str]]:
    """(reason, name of a value) of every refusal that is written out."""
    for path in (ROOT / "core" / "domain").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "CommandRejected" and call.args:
                reason = ast.unparse(call.args[0]).removeprefix("Reason.")
                yield from ((reason, keyword.arg) for keyword in call.keywords if keyword.arg)


COMMENTS = comments()
NAMES = sorted(set(names()))


def test_every_reason_has_a_comment() -> None:
    assert {str(reason) for reason in Reason} <= {reason for reason, text in COMMENTS.items() if text}


@pytest.mark.parametrize(("reason", "name"), NAMES)
def test_a_value_is_named_after_the_word_metadata(reason: str, name: str) -> None:
    _, _, published = COMMENTS[reason].partition("Metadata: ")
    assert re.search(rf"\b{name}\b", published), COMMENTS[reason]
