"""The word check: it finds a word in prose and in names, and no rule is without a reason or without use."""

import pytest

from tools.words import HERE, Rules, files, matches, rules


def checked(**parts: object) -> Rules:
    word = {"gizmo": {"instead": "reported", "reason": "unclear", "except": {"tests/**": "sentences"}}}
    constant = {"TALL_": {"instead": "MAX_", "reason": "as everywhere"}}
    return Rules({"exclude": {}, "allow": {}, "word": word | constant, **parts})


def lines_of(path: str, text: str, **parts: object) -> list[int]:
    return [found.number for found in checked(**parts).search(path, text)]


@pytest.mark.parametrize("line", ["what is gizmo", "Gizmo = 1", "def is_gizmo():", "self._gizmo", "# gizmo"])
def test_a_word_is_found_in_prose_and_as_a_part_of_a_name(line: str) -> None:
    assert lines_of("core/x.py", f"\n{line}\n") == [2]


@pytest.mark.parametrize("line", ["ungizmo", "gizmoness", "SMALL_TALL", "_TALL_WANTED", "tall_tree"])
def test_a_part_of_another_word_is_not_found(line: str) -> None:
    assert lines_of("core/x.py", line) == []


def test_a_constant_is_found_by_the_beginning_of_its_name() -> None:
    assert lines_of("core/x.py", "TALL_LINES = 3") == [1]


def test_a_word_may_be_used_where_it_is_excepted() -> None:
    assert lines_of("tests/unit/test_x.py", "gizmo") == []


def test_a_line_may_be_allowed() -> None:
    allow = {"core/x.py:is_gizmo": "a name of others"}
    assert lines_of("core/x.py", "is_gizmo\nit is gizmo", allow=allow) == [2]


def test_a_path_may_be_excluded() -> None:
    found = checked(exclude={"core/old/**": "not rewritten yet"})
    assert [found.is_checked(path) for path in ("core/old/a/x.py", "core/new.py", "core/new.bin")] == [
        False,
        True,
        False,
    ]


def test_a_rule_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="reason"):
        checked(allow={"core/x.py:gizmo": " "})


def test_every_rule_is_still_needed() -> None:
    root, found = HERE.parent, rules()
    paths = files(root)
    unused = [pattern for pattern in found.exclude if not any(matches(path, [pattern]) for path in paths)]
    gone = [(path, part) for path, part, _ in found.allow if part not in (root / path).read_text()]
    assert (unused, gone) == ([], [])
