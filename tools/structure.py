"""The structure check of `make lint`: no class or function is too long, and no modules import each other in turn."""

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

from tools.words import files

HERE = Path(__file__).parent
MAX_CLASS, MAX_FUNCTION = 250, 60  # lines
UNCHECKED = ("tests/", "protos/")  # sentences of any length, and what is generated
DISPATCH = "one arm per event or command, with the rules in other functions"
EXEMPT = {
    ("core/domain/order/decide.py", "decide"): DISPATCH,
    ("core/domain/order/evolve.py", "evolve"): DISPATCH,
}


class Found(NamedTuple):
    """A definition that is too long, at a line counted from 1."""

    path: str
    number: int
    name: str
    lines: int
    limit: int


def too_long(path: str, tree: ast.Module) -> Iterator[Found]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or (path, node.name) in EXEMPT:
            continue
        limit = MAX_CLASS if isinstance(node, ast.ClassDef) else MAX_FUNCTION
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > limit:
            yield Found(path, node.lineno, node.name, lines, limit)


def imports(module: str, tree: ast.Module, known: Mapping[str, object]) -> set[str]:
    """The known modules that a module imports, at any place. A package stands for its `__init__`."""
    named: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                named.add(inner if inner in known else node.module)
    return {name for name in named if name in known and name != module}


def circle(modules: Mapping[str, set[str]]) -> Sequence[str]:
    """Modules of which each imports the next one, and the last is the first; none if there is no circle."""
    try:
        TopologicalSorter(modules).prepare()
    except CycleError as error:
        return [*error.args[1]][::-1]
    return ()


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def main() -> int:
    root = HERE.parent
    paths = [path for path in files(root) if path.endswith(".py") and not path.startswith(UNCHECKED)]
    trees = {path: ast.parse((root / path).read_text()) for path in paths if (root / path).is_file()}
    known = {module_of(path): tree for path, tree in trees.items()}
    found = [one for path, tree in trees.items() for one in too_long(path, tree)]
    for one in found:
        sys.stderr.write(f"{one.path}:{one.number}: {one.name} has {one.lines} lines, of {one.limit} allowed\n")
    closed = circle({module: imports(module, tree, known) for module, tree in known.items()})
    if closed:
        sys.stderr.write(f"modules import each other: {' -> '.join(closed)}\n")
    return 1 if found or closed else 0


if __name__ == "__main__":
    sys.exit(main())
