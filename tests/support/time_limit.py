"""The time limit of a test: one that runs past it fails with its own name and all stacks, and the next one runs.

pytest-timeout knows when the limit begins and ends; this says what happens at it. Its way by a thread ends the process,
so that under pytest-xdist the worker is lost and nobody learns where the test stood. Its way by a signal shows the
stack of the main thread only, which under asyncio is the event loop, not the tasks that wait.
"""

import asyncio
import faulthandler
import io
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key

AGAIN = 10.0  # seconds; an event loop swallows what is raised while it runs a callback, so it is raised again
GRACE = 60.0  # seconds; a test that waits in C hears of no signal, so after these the process is ended, with its stacks

_CANCEL = pytest.StashKey[Callable[[], None]]()


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool:
    """A timer of this process; its handler fails the test where it stands."""

    def at_the_limit(_: int, frame: FrameType | None) -> None:
        pytest.fail(f"{item.nodeid} ran for more than {settings.timeout:g} s\n\n{stacks(frame)}", pytrace=False)

    def cancel() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        faulthandler.cancel_dump_traceback_later()

    item.stash[_CANCEL] = cancel
    signal.signal(signal.SIGALRM, at_the_limit)
    signal.setitimer(signal.ITIMER_REAL, settings.timeout, AGAIN)
    # pytest's own copy of standard error: what is written to the captured one is lost with the process
    errors = item.config.stash[fault_handler_stderr_fd_key]
    faulthandler.dump_traceback_later(settings.timeout + GRACE, exit=True, file=errors)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> bool:
    cancel = item.stash.get(_CANCEL, None)
    if cancel is not None:
        cancel()
        del item.stash[_CANCEL]
    return True


def stacks(interrupted: FrameType | None) -> str:
    """Of the main thread where it was interrupted, of the other threads, and of the tasks of its event loop."""
    text = io.StringIO()
    text.write("--- the main thread\n")
    traceback.print_stack(interrupted, file=text)
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if ident != threading.main_thread().ident:
            text.write(f"--- thread {names.get(ident, ident)}\n")
            traceback.print_stack(frame, file=text)
    loop = asyncio._get_running_loop()  # set while the loop runs, also in a handler of a signal
    for task in asyncio.all_tasks(loop) if loop is not None else ():
        text.write(f"--- task {task.get_name()}\n")
        task.print_stack(file=text)
    return text.getvalue()
