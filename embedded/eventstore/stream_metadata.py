"""Stream metadata: JSON that is read as leniently as a real server reads it.

A byte order mark, strings in single quotes, a comma before the end and text behind the object are accepted. A
bound that is invalid is ignored: $maxCount or $maxAge below 1, $tb or $cacheControl below 0. A wrong type in a
key that the server knows makes all of the metadata count as missing.
"""

import json
import re
from typing import Any

_TOKEN = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<mark>[{}\[\]:,])|(?P<rest>[^\s"'{}\[\]:,]+|["'])|(?P<space>\s+)""",
    re.DOTALL,
)
_INSIDE = re.compile(r"""\\'|\\.|\"""", re.DOTALL)
_LEAST = {"$maxCount": 1, "$maxAge": 1, "$tb": 0, "$cacheControl": 0}
_MOST = {"$maxCount": 2**31 - 1, "$cacheControl": 2**63 - 1, "$maxAge": 2**63 // 10**7, "$tb": 2**63 - 1}


class _WrongTypeError(Exception):
    """A known key does not hold what it has to."""


def parse(data: bytes) -> dict[str, Any] | None:
    """The keys of the metadata without bounds that are none; None if there is no metadata."""
    try:
        content = _object(data.decode("utf-8-sig").lstrip())
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    try:
        return {key: value for key, value in content.items() if _is_kept(key, value)}
    except _WrongTypeError:
        return None


def _object(text: str) -> Any:
    """What stands at the beginning of the text. Raises `ValueError` if that is not JSON even for a lenient reader."""
    decoder = json.JSONDecoder()
    try:
        return decoder.raw_decode(text)[0]
    except ValueError:
        return decoder.raw_decode(_as_json(text))[0]


def _as_json(text: str) -> str:
    """The same with strings in double quotes, and without commas before an end."""
    parts: list[str] = []
    for token in _TOKEN.finditer(text):
        found = token[0]
        if found[0] == "'" and len(found) > 1:
            found = '"' + _INSIDE.sub(_requoted, found[1:-1]) + '"'
        elif token["mark"] in ("}", "]") and parts and parts[-1] == ",":
            parts.pop()
        if not token["space"]:
            parts.append(found)
    return " ".join(parts)


def _requoted(inside: re.Match[str]) -> str:
    return {"\\'": "'", '"': '\\"'}.get(inside[0], inside[0])


def _is_kept(key: str, value: Any) -> bool:
    if key in _LEAST:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _WrongTypeError
        return _LEAST[key] <= value <= _MOST[key]
    if (key == "$tmp" and not isinstance(value, bool)) or (key == "$acl" and not _is_acl(value)):
        raise _WrongTypeError
    return True


def _is_acl(value: Any) -> bool:
    return isinstance(value, dict) and all(
        roles is None or isinstance(roles, str) or (isinstance(roles, list) and all(isinstance(r, str) for r in roles))
        for roles in value.values()
    )
