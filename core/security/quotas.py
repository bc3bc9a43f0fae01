"""What one caller may use of a process, so that it leaves the rest for others: concurrent calls, and calls per second.

A caller that asks for more is refused, with the time after which to try again. The refusal of a call above the rate is
sent after a pause, in which the call counts as a concurrent one: a refusal costs as much as reading and answering any
call, and a caller that repeats at once what was refused would take that time from all others. The refusals of a caller
are sent one by one at its rate. Sent together, they would come back together, as a burst that others wait for.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import NoReturn

import structlog

from core.failures import CallerLimited

READ, WRITE, OPS = "reads", "writes", "ops"
CLASSES = {"shop.read": READ, "ops.read": OPS, "ops.act": OPS}  # of the role that an RPC needs; all others are writes
MAX_KNOWN = 10_000  # callers, above which those without calls are forgotten
AFTER_CALLS = 0.2  # seconds after which to try again when too many calls are in progress
MAX_PAUSE = 0.5  # seconds before a refusal is sent
LOG_EVERY = 1.0  # seconds; refusals of one caller are logged together

log = structlog.get_logger()


@dataclass(slots=True)
class _Bucket:
    """Tokens for calls; it holds as many as are added in a second."""

    tokens: float
    filled_at: float
    next_refusal: float = 0.0  # when it is sent


class _Usage:
    """Of one caller. Within it, a call is in progress."""

    def __init__(self) -> None:
        self.calls = 0  # in progress
        self.buckets: dict[str, _Bucket] = {}
        self.refused = 0  # since they were logged
        self.logged_at = float("-inf")

    def __enter__(self) -> None:
        self.calls += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.calls -= 1


class Quotas:
    """`rates` are calls per second by class; 0: not limited. `max_pause` is the longest before a refusal is sent,
    in seconds. `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        max_calls: int,
        rates: Mapping[str, float],
        *,
        max_pause: float = MAX_PAUSE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_calls, self._rates, self._clock = max_calls, rates, clock
        self._max_pause = max_pause
        self._callers: dict[str, _Usage] = {}

    def admitted(self, caller: str, role: str) -> _Usage:
        """The call is in progress within what this returns. Raises `CallerLimited`."""
        usage = self._callers.get(caller)
        if usage is None:
            self._forget_idle()
            usage = self._callers[caller] = _Usage()
        if usage.calls >= self._max_calls:
            self._refuse(caller, usage, "calls", self._max_calls, AFTER_CALLS)
        kind = CLASSES.get(role, WRITE)
        if wait := self._take(usage, kind):
            self._refuse(caller, usage, kind, self._rates[kind], wait)
        return usage

    async def pause(self, caller: str, limited: CallerLimited, longest: float) -> None:
        """Before a refusal is sent. A caller with as many concurrent calls as it may have is refused at once."""
        usage, kind = self._callers.get(caller), limited.metadata["limit"]
        if usage is not None and kind in usage.buckets and usage.calls < self._max_calls:
            with usage:
                await asyncio.sleep(min(self._pause(usage.buckets[kind], self._rates[kind]), longest))

    def _pause(self, bucket: _Bucket, rate: float) -> float:
        now = self._clock()
        bucket.next_refusal = min(max(bucket.next_refusal, now) + 1 / rate, now + self._max_pause)
        return bucket.next_refusal - now

    def _refuse(self, caller: str, usage: _Usage, limit: str, most: float, retry_after: float) -> NoReturn:
        usage.refused += 1
        now = self._clock()
        if now - usage.logged_at >= LOG_EVERY:
            log.warning("calls refused: the caller is over its limit", caller=caller, limit=limit, calls=usage.refused)
            usage.refused, usage.logged_at = 0, now
        raise CallerLimited(limit, most, retry_after)

    def _take(self, usage: _Usage, kind: str) -> float:
        """Seconds until there is a token; 0: one was taken."""
        rate = self._rates[kind]
        if not rate:
            return 0.0
        now = self._clock()
        bucket = usage.buckets.get(kind)
        if bucket is None:
            bucket = usage.buckets[kind] = _Bucket(rate, now)
        bucket.tokens = min(rate, bucket.tokens + (now - bucket.filled_at) * rate)
        bucket.filled_at = now
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / rate
        bucket.tokens -= 1
        return 0.0

    def _forget_idle(self) -> None:
        if len(self._callers) >= MAX_KNOWN:
            since = self._clock() - 1  # a bucket is full again after a second
            self._callers = {
                name: usage
                for name, usage in self._callers.items()
                if usage.calls or any(bucket.filled_at > since for bucket in usage.buckets.values())
            }
