"""Filters of clients: prefixes of event types or stream names, or a regular expression that is searched for.

An expression is a program of a caller's, and one that tries every way to fail can run for years. It runs on the
thread that serves all callers, so its time is limited: per search, and for all searches on the average. A caller
whose expression takes longer is refused; no other caller is affected.
"""

import gc
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import FrameType
from typing import Any, TypeVar

from embedded.eventstore.errors import HandlerError, RefusalError, invalid
from embedded.eventstore.records import Entry

Wanted = Callable[[Entry], bool]
T = TypeVar("T")

FILTER_OPTIONS = "EventStore.Client.Streams.ReadReq+Types+Options+Types+FilterOptions"
MAX_SEARCH = 0.05  # seconds of computing, of one search
EACH = 0.0001  # the same, of a search on the average
GETTING_READY = 0.5  # the same, before the first search
COMPILED = 64  # expressions
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
    if kind is None:
        raise invalid(f"'{_as_text(filter_)}' is not a valid {FILTER_OPTIONS}")
    return matching(
        by_type=kind == "event_type", regex=getattr(filter_, kind).regex, prefixes=getattr(filter_, kind).prefix
    )


def require_window(filter_: Any) -> None:
    if filter_.WhichOneof("window") is None:
        raise invalid(f"'None' is not a valid {FILTER_OPTIONS}+WindowOneofCase")


def _as_text(filter_: Any) -> str:
    """A filter without an expression as .NET writes it."""
    parts = [f'"max": {filter_.max}'] if filter_.WhichOneof("window") == "max" else []
    if filter_.WhichOneof("window") == "count":
        parts.append('"count": { }')
    if filter_.checkpointIntervalMultiplier:
        parts.append(f'"checkpointIntervalMultiplier": {filter_.checkpointIntervalMultiplier}')
    return f"{{ {', '.join(parts)} }}" if parts else "{ }"


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
        self._within = within if _can_be_interrupted() else _without_end
        try:
            self._search = _compiled(regex, self._within).search
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
        if self._overdrawn > MAX_SEARCH:
            raise too_slow()
        began = time.thread_time()
        try:
            found = self._within(MAX_SEARCH, self._search, text) is not None
        except TooSlowError as error:
            self._overdrawn = float("inf")
            raise too_slow() from error
        self._overdrawn = max(0.0, self._overdrawn + time.thread_time() - began - EACH)
        if len(text) <= LONG:
            if len(self._known) == REMEMBERED:
                self._known.clear()
            self._known[text] = found
        return found


@lru_cache(COMPILED)
def _compiled(regex: str, within: Callable[..., Any]) -> re.Pattern[str]:
    """Readers send the same few expressions with every read. What cannot be compiled is tried again each time."""
    with _uncollected():
        pattern: re.Pattern[str] = within(GETTING_READY, _compile, regex)
    return pattern


def _compile(regex: str) -> re.Pattern[str]:
    return re.compile(_as_python(regex))


def too_slow() -> RefusalError:
    return invalid("The expression of the filter takes too long; write one without repeats of repeats.")


def _as_python(regex: str) -> str:
    """What .NET writes otherwise: named groups, references to them, the ends of the text."""
    return _DIALECT.sub(lambda m: _SPELLING[m.lastgroup or ""].format(m[0][3:-1]), regex)


# ------------------------------------------------------------------ time


def within(seconds: float, compute: Callable[[str], T], text: str) -> T:
    """What it computes of the text. Raises `TooSlowError` if that takes more of the processor's time.

    Nothing but a signal reaches a thread that searches: it holds the interpreter's lock, but looks for signals. The
    one used counts the time this process computes, so that a busy machine does not make anybody slow.
    """
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, seconds)
    try:
        return _without_end(seconds, compute, text)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _without_end(_: float, compute: Callable[[str], T], text: str) -> T:
    return compute(text)


def _interrupt(_: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code is _without_end.__code__:
            raise TooSlowError
        frame = frame.f_back
    # it came when all had just been computed: too late to be of use


def _can_be_interrupted() -> bool:
    """Signals arrive in the main thread only, and a handler may belong to other code."""
    if threading.current_thread() is not threading.main_thread():
        return False
    if signal.getsignal(signal.SIGVTALRM) is signal.SIG_DFL:
        signal.signal(signal.SIGVTALRM, _interrupt)
    return signal.getsignal(signal.SIGVTALRM) is _interrupt


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector: what is raised while that works is lost."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
