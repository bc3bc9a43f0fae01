"""Maps rows of a view to messages. A row that cannot be shown is skipped, counted and named; the others are shown."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import structlog
from prometheus_client import Counter

from core.error_text import error_text

log = structlog.get_logger()
M = TypeVar("M")
Row = dict[str, Any]

NOT_SHOWN = Counter("orderstream_query_rows_not_shown_total", "Rows that replies left out as unusable.", ["view"])


def shown(view: str, rows: Sequence[Row], to_message: Callable[[Row], M]) -> tuple[list[M], list[str]]:
    """The messages, and the keys of the skipped rows."""
    messages: list[M] = []
    left_out: list[str] = []
    for row in rows:
        try:
            messages.append(to_message(row))
        except Exception as error:  # noqa: BLE001  # a failure of one row does not affect the others
            left_out.append(str(row["_id"]))
            NOT_SHOWN.labels(view).inc()
            log.error("row cannot be shown", view=view, key=left_out[-1], error=error_text(error))
    return messages, left_out
