"""The payload hash of a process's command: it distinguishes a repeat from another command under the same request id.

A step that started before an upgrade must end under the hash with which it started. So the hashed text is defined
here, field by field, and nowhere else: the class and its fields in their order, `Name(field=value, …)`, with values as
Python literals. The time `at` is replaced by the epoch, since a later attempt is the same command.

A field that a release adds to a command must not change the hash of commands that could be sent before:
`field(metadata=FACT)` is never part of it (an input of the decision, not part of the request), and
`field(default=…, metadata=ADDED)` only if it differs from its default.
"""

import hashlib
from dataclasses import Field, fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from core.domain.decider import ADDED, FACT
from core.eventstore.codec import EPOCH


def payload_hash(command: object) -> str:
    """SHA-256 of a command's content, in hexadecimal."""
    text = f"{type(command).__name__} {_command(command)}"
    return hashlib.sha256(text.encode()).hexdigest()


def _command(command: object) -> str:
    return _record(command, {"at": EPOCH})


def _record(value: Any, instead: dict[str, object]) -> str:
    parts = (f"{x.name}={_text(instead.get(x.name, getattr(value, x.name)))}" for x in fields(value) if _asks(value, x))
    return f"{type(value).__qualname__}({', '.join(parts)})"


def _asks(value: object, field: Field[Any]) -> bool:
    """Whether a field is part of the hashed content."""
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
