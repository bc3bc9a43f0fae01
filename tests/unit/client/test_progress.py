"""The progress of work, in the form for each kind of output."""

import io

from rich.console import Console

from client.cli.progress import progress_on


def test_where_nobody_watches_it_is_reported_every_tenth_of_the_way() -> None:
    printed = io.StringIO()
    with progress_on(Console(file=printed, force_terminal=False)) as report:
        for done in range(1, 1_001):
            report("orders", done, 1_000)
    assert printed.getvalue().splitlines() == [f"orders: {tenth}00 of 1,000" for tenth in range(1, 10)] + [
        "orders: 1,000 of 1,000"
    ]


def test_two_pieces_of_work_are_distinguished_and_none_at_all_is_reported_as_done() -> None:
    printed = io.StringIO()
    with progress_on(Console(file=printed, force_terminal=False)) as report:
        report("users", 2, 2)
        report("orders", 0, 0)
        report("users", 2, 2)
    assert printed.getvalue().splitlines() == ["users: 2 of 2", "orders: 0 of 0"]


def test_on_a_terminal_it_is_a_bar() -> None:
    printed = io.StringIO()
    with progress_on(Console(file=printed, force_terminal=True, width=80)) as report:
        report("orders", 3, 10)
    assert "3/10" in printed.getvalue()
