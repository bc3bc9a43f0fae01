"""Rules for single values."""

import pytest

from core.rpc.validation import day

ARABIC = "\u0662\u0660\u0662\u0666-\u0660\u0661-\u0660\u0661"  # 2026-01-01 in Arabic-Indic digits


@pytest.mark.parametrize("text", ["2026-02-28", "2024-02-29", "0001-01-01", "9999-12-31"])
def test_a_day_of_the_calendar_is_taken(text: str) -> None:
    assert day(text) is None


@pytest.mark.parametrize(
    "text",
    ["2026-02-30", "2023-02-29", "2026-00-10", "2026-13-01", "0000-01-01", ARABIC, "20260101", "2026-W01-1", ""],
)
def test_a_day_that_is_in_no_calendar_is_refused(text: str) -> None:
    assert day(text) == "must be a day as YYYY-MM-DD"
