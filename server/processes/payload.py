"""The payload hash of a command of a process: it tells a repeat from another command under the same request id.

A step that was begun before an upgrade has to end under the hash it began with. So the text that is hashed is defined
here, field by field, and nowhere else: the class and its fields in their order, `Name(field=value, …)`, with values as
Python literals. The time `at` is left out (it is replaced by the epoch), since a later attempt asks for the same.

A field that a release adds to a command must not change the hash of commands that could be sent before:
`field(metadata=FACT)` is never part of it (what a decision looks at, not what is asked for), and
`field(default=…, metadata=ADDED)` only when it differs from its default.
"""

import hashlib
from dataclasses import Field, fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from core.domain.decider import ADDED, FACT
from core.eventstore.codec import EPOCH


def payload_hash(command: object) -> str:
    """SHA-256 of what a command asks for, in hexadecimal."""
    text = f"{type(command).__name__} {_command(command)}"
    return hashlib.sha256(text.encode()).hexdigest()


def _command(command: object) -> str:
    return _record(command, {"at": EPOCH})


def _record(value: Any, instead: dict[str, object]) -> str:
    told = (f"{x.name}={_text(instead.get(x.name, getattr(value, x.name)))}" for x in fields(value) if _asks(value, x))
    return f"{type(value).__qualname__}({', '.join(told)})"


def _asks(value: object, field: Field[Any]) -> bool:
    """Whether a field is part of what is asked for."""
    if field.metadata == FACT:
        return False
    return field.metadata != ADDED or getattr(value, field.name) != field.default


def _text(value: object) -> str:
    if is_dataclass(value):
        return _record(value, {})
    if isinstance(value, tuple):
        inside = ", ".join(_text(x) for x in value)
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    if isinstance(value, Enum):
        return f"<{type(value).__name__}.{value.name}: {value.value!r}>"
    if value is None or isinstance(value, bool | int | str | datetime | timedelta):
        return repr(value)
    raise TypeError(f"a command of a process cannot carry {type(value).__name__}: its text would not be stable")
