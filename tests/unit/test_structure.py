"""The structure check: it finds what is too long, and imports that go in a circle."""

import ast

import pytest

from tools import structure
from tools.structure import EXEMPT, HERE, MAX_CLASS, MAX_FUNCTION, circle, imports, module_of, too_long


def found(text: str, path: str = "core/x.py") -> list[tuple[str, int]]:
    return [(one.name, one.lines) for one in too_long(path, ast.parse(text))]


def function(name: str, lines: int, start: str = "def") -> str:
    return f"{start} {name}():\n" + "    x = 1\n" * (lines - 1)


def class_(lines: int) -> str:
    return "class Large:\n" + "    x = 1\n" * (lines - 1)


@pytest.mark.parametrize("start", ["def", "async def"])
def test_a_function_may_have_so_many_lines_and_no_more(start: str) -> None:
    assert found(function("f", MAX_FUNCTION, start)) == []
    assert found(function("f", MAX_FUNCTION + 1, start)) == [("f", MAX_FUNCTION + 1)]


def test_a_class_may_have_so_many_lines_and_no_more() -> None:
    assert found(class_(MAX_CLASS)) == []
    assert found(class_(MAX_CLASS + 1)) == [("Large", MAX_CLASS + 1)]


def test_an_exemption_is_for_one_function_of_one_file() -> None:
    path, name = next(iter(EXEMPT))
    assert found(function(name, 2 * MAX_FUNCTION), path) == []
    assert found(function(name, 2 * MAX_FUNCTION)) == [(name, 2 * MAX_FUNCTION)]


def test_every_exemption_is_needed() -> None:
    for path, name in EXEMPT:
        tree = ast.parse((HERE.parent / path).read_text())
        [lines] = [
            (node.end_lineno or 0) - node.lineno + 1
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.name == name
        ]
        assert lines > MAX_FUNCTION


def test_modules_that_import_each_other_are_a_circle() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == ()
    assert sorted(set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}))) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "text", ["import p.b", "from p import b", "from p.b import thing", "def f():\n    from p.b import thing"]
)
def test_an_import_is_found_in_each_form(text: str) -> None:
    known = dict.fromkeys(("p", "p.a", "p.b"))
    assert imports("p.a", ast.parse(text), known) == {"p.b"}


def test_a_package_stands_for_its_init() -> None:
    assert [module_of(path) for path in ("core/x/__init__.py", "core/x/y.py")] == ["core.x", "core.x.y"]


def test_the_repository_keeps_to_it() -> None:
    assert structure.main() == 0
