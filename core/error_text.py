"""How an error is reported, logged and recorded: its type and a bounded message, never the document that it is
about.
"""

from pymongo.errors import BulkWriteError, OperationFailure

MAX_LENGTH = 500  # characters


def bounded(text: str) -> str:
    """The text, or its beginning if it is too long."""
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + "…"


def error_text(error: BaseException) -> str:
    """`Type: message`. An error of MongoDB is reported by its code, because its own text repeats the document."""
    return bounded(f"{type(error).__name__}: {_message(error)}")


def _message(error: BaseException) -> str:
    if isinstance(error, BulkWriteError):
        details = error.details or {}
        problems = [*details.get("writeErrors", ()), *details.get("writeConcernErrors", ())]
        first = problems[0] if problems else {}
        return f"{len(problems)} writes refused, the first with code {first.get('code')}: {first.get('errmsg', '')}"
    if isinstance(error, OperationFailure):
        details = dict(error.details or {})
        return f"code {error.code}: {details.get('errmsg', '')}" if details else str(error)
    return str(error)
