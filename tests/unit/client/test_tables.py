"""At 80 columns a table has fewer columns, and no id is broken; --wide has all of them."""

from collections.abc import Iterator

import pytest
from rich.cells import cell_len

from client.cli.output import SHAPE, err, out
from client.cli.tables import table
from tests.support.answering_anything import LONG_ID, answering_anything
from tests.support.command_line import commands, invoke, typed
from tests.support.processes import ROOT

WIDTH = 80
ROLES = ("commands", "queries", "projections", "processes")
HEAD, TAIL = LONG_ID[:9], LONG_ID[-9:]
OF_NO_SERVICE = {"events tail", "store check", "store grant", "demo", "up", "embedded"}


@pytest.fixture(scope="module")
def anything() -> Iterator[str]:
    with answering_anything() as address:
        yield address


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setattr(out, "width", WIDTH)
    monkeypatch.setattr(err, "width", WIDTH)
    monkeypatch.setattr(SHAPE, "is_wide", False)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("path", [path for path in commands() if path not in OF_NO_SERVICE])
def test_no_command_breaks_an_id(path: str, anything: str) -> None:
    given = {"address": anything, "--limit": "1", "--keep": LONG_ID, "--survey": None}
    servers = [f"--{role}={anything}" for role in ROLES]
    done = invoke(["--deadline", "1", *servers, *typed(path, **given)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    left = done.stdout.replace(LONG_ID, "")
    assert HEAD not in left, done.stdout
    assert TAIL not in left, done.stdout


@pytest.mark.usefixtures("narrow")
def test_columns_leave_in_their_order_and_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    rows = table("id", "a", "b", "c", leave=("b", "a"))
    rows.add_row(LONG_ID, "x" * 30, "y" * 30, "z" * 30)
    rows.show()
    printed = capsys.readouterr()
    assert [line.split() for line in printed.out.splitlines()] == [["id", "c"], [LONG_ID, "z" * 30]]
    assert printed.err == "not shown: b, a; --wide shows all\n"


@pytest.mark.usefixtures("narrow")
def test_a_table_that_fits_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    rows = table("id", "a", leave=("a",))
    rows.add_row(LONG_ID, "x" * 30)
    rows.show()
    printed = capsys.readouterr()
    assert ("x" * 30 in printed.out, printed.err) == (True, "")


@pytest.mark.usefixtures("narrow")
def test_a_text_is_folded_between_words_before_a_column_leaves(capsys: pytest.CaptureFixture[str]) -> None:
    rows = table("id", "why", "b", leave=("b",), texts=("why",))
    rows.add_row("1", f"because of order-{LONG_ID} and of very many other things that were said", "here")
    rows.show()
    printed = capsys.readouterr()
    assert (f"order-{LONG_ID}" in printed.out, "here" in printed.out, printed.err) == (True, True, "")
    assert max(cell_len(line.rstrip()) for line in printed.out.splitlines()) <= WIDTH


@pytest.mark.usefixtures("narrow")
def test_ids_that_fill_more_than_a_line_are_not_broken_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    rows = table("id", "other", leave=())
    rows.add_row(LONG_ID * 3, LONG_ID)
    rows.show()
    assert [LONG_ID * 3, LONG_ID] in [line.split() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("words", [["--wide", "orders", "list"], ["orders", "list", "--wide"]])
def test_wide_shows_every_column(words: list[str], anything: str) -> None:
    servers = [f"--{role}={anything}" for role in ROLES]
    narrow = invoke([*servers, "orders", "list"])
    wide = invoke([*servers, *words])
    assert "not shown: " in narrow.stderr
    assert wide.stdout.splitlines()[0].split() == [
        *("order", "status", "fulfilment", "payment", "lines", "total", "created")
    ]  # fmt: skip
    assert "not shown: " not in wide.stderr


def test_where_there_is_no_terminal_every_column_is_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    rows = table("id", "a", leave=("a",))
    rows.add_row(LONG_ID * 6, LONG_ID)
    rows.show()
    assert LONG_ID * 6 in capsys.readouterr().out


def test_every_table_goes_through_one_function() -> None:
    found = [
        path.name
        for path in sorted((ROOT / "client").rglob("*.py"))
        if "rich.table" in path.read_text() and path.name != "tables.py"
    ]
    assert found == []
