"""A handler that does not return must not block the process: it is interrupted, and fails like any other.

Only the main thread can be interrupted; elsewhere a handler is called as it is. One that waits inside a library in C
cannot be helped either: then the process is silent, and others take its views over.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

Call = Callable[[Callable[[Any, Any], Any], Any, Any], Any]

HANDLER_TIMEOUT = 5.0  # seconds for one handler and one event
SOON = 1e-6  # seconds; a timer of 0 would never fire


class HandlerTimeout(Exception):  # it names what happened
    """It ran for longer than any handler may."""


def call_with_timeout(handler: Callable[[Any, Any], Any], document: Any, event: Any) -> Any:
    """What the handler returns. Raises `HandlerTimeout` if it does not within a few seconds."""
    with timed_calls() as call:
        return call(handler, document, event)


@contextmanager
def timed_calls() -> Iterator[Call]:
    """For many calls in a row, without a pause between them: what is yielded is used like `call_with_timeout`.

    The process has one timer and one handler of its alarm. Both are restored at the end, the timer with the time that
    it has left, so that others (a test's own limit) can rely on theirs.
    """
    if threading.current_thread() is not threading.main_thread():
        yield _call
        return
    taken = signal.signal(signal.SIGALRM, _interrupt)
    left, interval = signal.setitimer(signal.ITIMER_REAL, 0)
    started = time.monotonic()
    try:
        yield _timed
    finally:
        signal.signal(signal.SIGALRM, taken)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), SOON), interval)


def _call(handler: Callable[[Any, Any], Any], document: Any, event: Any) -> Any:
    return handler(document, event)


def _timed(handler: Callable[[Any, Any], Any], document: Any, event: Any) -> Any:
    signal.setitimer(signal.ITIMER_REAL, HANDLER_TIMEOUT)
    try:
        return handler(document, event)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise HandlerTimeout(f"it ran for more than {HANDLER_TIMEOUT:g} s")
