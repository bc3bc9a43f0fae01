"""How far work has come, told to whatever is on the other end."""

import io

from rich.console import Console

from client.cli.progress import progress_on


def test_where_nobody_watches_it_is_told_every_tenth_of_the_way() -> None:
    told = io.StringIO()
    with progress_on(Console(file=told, force_terminal=False)) as tell:
        for done in range(1, 1_001):
            tell("orders", done, 1_000)
    assert told.getvalue().splitlines() == [f"orders: {tenth}00 of 1,000" for tenth in range(1, 10)] + [
        "orders: 1,000 of 1,000"
    ]


def test_two_pieces_of_work_are_told_apart_and_none_at_all_is_told_as_done() -> None:
    told = io.StringIO()
    with progress_on(Console(file=told, force_terminal=False)) as tell:
        tell("users", 2, 2)
        tell("orders", 0, 0)
        tell("users", 2, 2)
    assert told.getvalue().splitlines() == ["users: 2 of 2", "orders: 0 of 0"]


def test_on_a_terminal_it_is_a_bar() -> None:
    told = io.StringIO()
    with progress_on(Console(file=told, force_terminal=True, width=80)) as tell:
        tell("orders", 3, 10)
    assert "3/10" in told.getvalue()
