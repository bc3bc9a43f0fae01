"""Progress of a long piece of work: bars on a terminal, a line every tenth of the way everywhere else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

Report = Callable[[str, int, int], None]  # name, done, total
STEPS = 10


@contextmanager
def progress_on(console: Console) -> Iterator[Report]:
    """Yields a function to call with the name of a piece of work, how much is done, and the total."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of)
            bars.update(tasks[what], completed=done, total=of)

        yield report


def _lines(console: Console) -> Report:
    reported: dict[str, int] = {}

    def report(what: str, done: int, of: int) -> None:
        step = STEPS * done // of if of else STEPS
        if step > reported.get(what, 0):
            reported[what] = step
            console.print(f"{what}: {done:,} of {of:,}", highlight=False, soft_wrap=True)

    return report
