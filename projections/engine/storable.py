"""Whether MongoDB can store a document, checked before a write, so that one document cannot fail the batch of
others.
"""

from typing import Any

import bson
from bson.errors import InvalidDocument
from bson.raw_bson import RawBSONDocument

MAX_DOCUMENT = 16 * 1024 * 1024  # bytes of one document


class NotStorable(Exception):  # it names what is the case
    """MongoDB cannot store the document that an event leads to."""


def storable(key: str, position: int, body: dict[str, Any]) -> RawBSONDocument:
    """The document as it is stored. Raises `NotStorable`, which does not repeat the document."""
    try:
        encoded = bson.encode({"_id": key, "position": position, **body})
    except OverflowError:
        raise NotStorable(f"an integer in document {key} has more than 8 bytes") from None
    except (InvalidDocument, UnicodeError, TypeError):
        raise NotStorable(f"document {key} has a key or a value that MongoDB does not take") from None
    if len(encoded) > MAX_DOCUMENT:
        raise NotStorable(f"document {key} would have {len(encoded):,} bytes, MongoDB takes {MAX_DOCUMENT:,}")
    return RawBSONDocument(encoded)
