"""How far a long piece of work has come: bars on a terminal, a line every tenth of the way everywhere else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

Told = Callable[[str, int, int], None]  # what, done, of
STEPS = 10


@contextmanager
def progress_on(console: Console) -> Iterator[Told]:
    """Yields what is to be called with the name of a piece of work, how much is done, and of how much."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of)
            bars.update(tasks[what], completed=done, total=of)

        yield tell


def _lines(console: Console) -> Told:
    told: dict[str, int] = {}

    def tell(what: str, done: int, of: int) -> None:
        step = STEPS * done // of if of else STEPS
        if step > told.get(what, 0):
            told[what] = step
            console.print(f"{what}: {done:,} of {of:,}", highlight=False, soft_wrap=True)

    return tell
