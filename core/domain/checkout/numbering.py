"""Ids of a process: the first is a name, each further one the name and a number, `all`, `all~2`, `all~3`.

Callers choose ids too. A process uses the first of its ids that is free, whichever caller has used the others.
"""

import re
from collections.abc import Container
from itertools import count


def first_unused(name: str, taken: Container[str]) -> str:
    return next(x for x in (numbered(name, n) for n in count(1)) if x not in taken)


def numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}~{number}"


def name_of(some_id: str) -> str:
    """The id without its number."""
    return re.sub(r"~[1-9]\d*$", "", some_id)
