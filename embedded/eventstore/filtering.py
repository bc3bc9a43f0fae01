"""Which entries a client wants: by how a type or a name of a stream begins, or by an expression that is searched for.

An expression is a program of somebody else's, and one that tries every way to fail can run for years. It runs on the
thread that serves everybody, so it is given a time: of one search, and of all searches on the average. Whoever asked
with an expression that takes longer is refused; nobody else notices.
"""

import re
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from embedded.eventstore.errors import HandlerError, RefusalError, invalid
from embedded.eventstore.records import Entry

Wanted = Callable[[Entry], bool]
T = TypeVar("T")

LONGEST = 0.05  # seconds of computing, of one search
EACH = 0.0001  # the same, of a search on the average
GETTING_READY = 0.5  # the same, before the first search
REMEMBERED = 4_096  # answers of one expression; types repeat, and names of streams do
LONG = 256  # characters of a text that is not remembered

_DIALECT = re.compile(
    r"(?P<escaped>\\\\)|(?P<named>\(\?<[A-Za-z_]\w*>)|(?P<reference>\\k<\w+>)|(?P<end>\\z)|(?P<last>\\Z)"
)
_SPELLING = {"escaped": r"\\", "named": "(?P<{}>", "reference": "(?P={})", "end": r"\Z", "last": r"(?=\n?\Z)"}


class TooSlowError(Exception):
    """The time is up."""


def filter_of(filter_: Any) -> Wanted:
    """The test of a filter message. Regular expressions are searched for, as .NET does."""
    kind = filter_.WhichOneof("filter")
    if kind is None or filter_.WhichOneof("window") is None:
        raise invalid("a filter needs an expression and a window")
    return matching(
        by_type=kind == "event_type", regex=getattr(filter_, kind).regex, prefixes=getattr(filter_, kind).prefix
    )


def matching(*, by_type: bool, regex: str, prefixes: Any) -> Wanted:
    """Its answers may raise `RefusalError`, if the expression turns out to take too long."""
    if regex:
        found_in = Expression(regex)
        return (lambda e: found_in(e.type)) if by_type else (lambda e: found_in(e.stream))
    starts = tuple(prefixes)
    return (lambda e: e.type.startswith(starts)) if by_type else (lambda e: e.stream.startswith(starts))


class Expression:
    """A regular expression; call it with a text to learn whether it is found there."""

    def __init__(self, regex: str) -> None:
        try:
            self._search = within(GETTING_READY, lambda: re.compile(_as_python(regex))).search
        except (re.error, RecursionError, OverflowError) as error:
            raise HandlerError("bad regex") from error
        except TooSlowError as error:
            raise too_slow() from error
        self._known: dict[str, bool] = {}
        self._overdrawn = 0.0  # seconds beyond the average

    def __call__(self, text: str) -> bool:
        found = self._known.get(text)
        return self._look(text) if found is None else found

    def _look(self, text: str) -> bool:
        if self._overdrawn > LONGEST:
            raise too_slow()
        began = time.thread_time()
        try:
            found = within(LONGEST, lambda: self._search(text)) is not None
        except TooSlowError as error:
            self._overdrawn = float("inf")
            raise too_slow() from error
        self._overdrawn = max(0.0, self._overdrawn + time.thread_time() - began - EACH)
        if len(text) <= LONG:
            if len(self._known) == REMEMBERED:
                self._known.clear()
            self._known[text] = found
        return found


def too_slow() -> RefusalError:
    return invalid("The expression of the filter takes too long; write one without repeats of repeats.")


def _as_python(regex: str) -> str:
    """What .NET writes otherwise: named groups, references to them, the ends of the text."""
    return _DIALECT.sub(lambda m: _SPELLING[m.lastgroup or ""].format(m[0][3:-1]), regex)


class _Clock:
    """Interrupts what the main thread computes.

    Nothing but a signal reaches a thread that searches: it holds the interpreter's lock, but looks for signals. The
    one used counts the time this process computes, so that a busy machine does not make anybody slow.
    """

    def __init__(self) -> None:
        self.is_running = False

    def is_there(self) -> bool:
        """Whether it can be used here: signals come to the main thread only, and this one may be somebody else's."""
        if threading.current_thread() is not threading.main_thread():
            return False
        if signal.getsignal(signal.SIGVTALRM) is signal.SIG_DFL:
            signal.signal(signal.SIGVTALRM, self._ring)
        return signal.getsignal(signal.SIGVTALRM) == self._ring

    def _ring(self, *_: object) -> None:
        if self.is_running:  # it may come when what it was set for has just been done
            self.is_running = False
            raise TooSlowError


_CLOCK = _Clock()


def within(seconds: float, compute: Callable[[], T]) -> T:
    """What it computes, on the main thread. Raises `TooSlowError` if that takes more of the processor's time."""
    if not _CLOCK.is_there():
        return compute()
    _CLOCK.is_running = True
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        return compute()
    finally:
        _CLOCK.is_running = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
