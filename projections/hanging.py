"""A handler that does not come back must not take the process with it: it is interrupted, and fails like any other.

Only the main thread can be interrupted; elsewhere a handler is called as it is. One that waits inside a library in C
cannot be helped either: then the process is silent, and others take its views over.
"""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

WITHIN = 5.0  # seconds for one handler and one event


class HandlerHangs(Exception):  # it names what happened
    """It ran for longer than any handler may."""


def called(handler: Callable[[Any, Any], Any], document: Any, event: Any) -> Any:
    """What the handler returns. Raises `HandlerHangs` if it does not within a few seconds."""
    if threading.current_thread() is not threading.main_thread():
        return handler(document, event)
    if signal.getsignal(signal.SIGALRM) is not _interrupt:  # anybody may have taken it back: then it would kill us
        signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, WITHIN)
    try:
        return handler(document, event)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise HandlerHangs(f"it ran for more than {WITHIN:g} s")
