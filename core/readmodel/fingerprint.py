"""The fingerprint of a view's handlers: it changes when their code does, and not when a comment does."""

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterable
from typing import Any

from core.readmodel.view import View


def handler_fingerprint(view: View[Any]) -> str:
    """Covers the modules of the handlers; not the modules that those import, events for instance."""
    modules = sorted({handler.reduce.__module__ for handler in view.handlers.values()})
    handled = sorted(event.__name__ for event in view.handlers)
    text = repr((view.categories, handled, list(_trees(modules))))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _trees(modules: Iterable[str]) -> Iterable[str]:
    for name in modules:
        try:
            yield ast.dump(ast.parse(inspect.getsource(sys.modules[name])))
        except (OSError, TypeError, KeyError):
            yield name  # there is no source to compare: shipped without, or made in a shell
