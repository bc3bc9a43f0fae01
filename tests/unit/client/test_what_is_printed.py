"""Data is data on a terminal: no markup, nothing that a terminal obeys, nothing that turns a line around."""

import io
import unicodedata

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from client.cli.output import PlainConsole, clean, fail

NASTY = "Mug [/blue] [bold]:smile:\x1b[31m\x07\u202eevil\u2066\x9b1m"


def printed(*rows: str) -> str:
    reported = io.StringIO()
    console = PlainConsole(file=reported, width=200, force_terminal=True, color_system=None)
    shown = Table("name")
    for row in rows:
        shown.add_row(row)
    console.print(shown)
    console.print(*rows)
    return reported.getvalue()


def test_a_name_with_markup_and_escapes_is_shown_as_it_is() -> None:
    reported = printed(NASTY)
    assert reported.count("Mug [/blue] [bold]:smile:<001B>[31m<0007><202E>evil<2066><009B>1m") == 2
    assert "\x1b" not in reported


@given(st.text(max_size=60))
def test_nothing_that_is_shown_moves_a_cursor_or_hides_a_character(text: str) -> None:
    shown = clean(text)
    assert all(x == "\n" or unicodedata.category(x)[0] != "C" for x in shown)
    assert clean(shown) == shown


def test_a_complaint_is_cleaned_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        fail(f"no such product: {NASTY}", 4)
    assert "\x1b" not in capsys.readouterr().err
