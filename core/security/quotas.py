"""What one caller may use of a process, so that it leaves the rest for others: concurrent calls, and calls per second.

A caller that asks for more is refused at once, with the time after which to try again.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from core.failures import CallerLimited

READ, WRITE, OPS = "reads", "writes", "ops"
CLASSES = {"shop.read": READ, "ops.read": OPS, "ops.act": OPS}  # of the role that an RPC needs; all others are writes
MAX_KNOWN = 10_000  # callers, above which those without calls are forgotten
AFTER_CALLS = 0.2  # seconds after which to try again when too many calls are in progress


@dataclass(slots=True)
class _Bucket:
    """Tokens for calls; it holds as many as are added in a second."""

    tokens: float
    filled_at: float


class _Usage:
    def __init__(self) -> None:
        self.calls = 0  # in progress
        self.buckets: dict[str, _Bucket] = {}


class Quotas:
    """`rates` are calls per second by class; 0: not limited. `clock` gives monotonic seconds."""

    def __init__(
        self, max_calls: int, rates: Mapping[str, float], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_calls, self._rates, self._clock = max_calls, rates, clock
        self._callers: dict[str, _Usage] = {}

    @contextmanager
    def admitted(self, caller: str, role: str) -> Iterator[None]:
        """Counts the call while it is in progress. Raises `CallerLimited`."""
        usage = self._callers.get(caller)
        if usage is None:
            self._forget_idle()
            usage = self._callers[caller] = _Usage()
        if usage.calls >= self._max_calls:
            raise CallerLimited("calls", self._max_calls, AFTER_CALLS)
        self._take(usage, CLASSES.get(role, WRITE))
        usage.calls += 1
        try:
            yield
        finally:
            usage.calls -= 1

    def _take(self, usage: _Usage, kind: str) -> None:
        rate = self._rates[kind]
        if not rate:
            return
        now = self._clock()
        bucket = usage.buckets.get(kind)
        if bucket is None:
            bucket = usage.buckets[kind] = _Bucket(rate, now)
        bucket.tokens = min(rate, bucket.tokens + (now - bucket.filled_at) * rate)
        bucket.filled_at = now
        if bucket.tokens < 1:
            raise CallerLimited(kind, rate, (1 - bucket.tokens) / rate)
        bucket.tokens -= 1

    def _forget_idle(self) -> None:
        if len(self._callers) >= MAX_KNOWN:
            since = self._clock() - 1  # a bucket is full again after a second
            self._callers = {
                name: usage
                for name, usage in self._callers.items()
                if usage.calls or any(bucket.filled_at > since for bucket in usage.buckets.values())
            }
