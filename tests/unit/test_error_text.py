"""An error is reported by its type and a bounded message, never with the document that it is about."""

import pytest
from pymongo.errors import BulkWriteError, PyMongoError, WriteError

from core.error_text import MAX_LENGTH, bounded, error_text

DOCUMENT = {"_id": "o1", "address": "1 Secret Lane"}
REFUSED = {"index": 0, "code": 10334, "errmsg": "object to insert too large", "op": DOCUMENT}


@pytest.mark.parametrize(
    "error",
    [
        BulkWriteError({"writeErrors": [REFUSED], "writeConcernErrors": []}),
        WriteError("object to insert too large, full error: " + str(REFUSED), 10334, REFUSED),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_mongodb_refuses_is_reported_by_its_code(error: PyMongoError) -> None:
    text = error_text(error)
    assert text.startswith(f"{type(error).__name__}: ")
    assert "10334" in text
    assert "too large" in text
    assert "Secret" not in text


def test_a_long_message_is_cut() -> None:
    assert len(error_text(ValueError("x" * 10_000))) == MAX_LENGTH
    assert bounded("short") == "short"
    assert error_text(KeyError("position")) == "KeyError: 'position'"
