"""A role of the server."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime

import grpc

from core.config import Settings
from core.rpc.health import Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """The services of a role by name, and their registration.

    `needs` has, by name for health, the probes of what the name needs: each raises if that does not answer. `drain`
    ends the calls that would not end by themselves.
    """

    services: tuple[str, ...]
    register: Callable[[grpc.aio.Server], None]
    needs: Mapping[str, Sequence[Probe]]
    drain: Callable[[], None] = lambda: None


Clock = Callable[[], datetime]  # the time in UTC
Opened = Callable[[Settings, Clock], AbstractAsyncContextManager[Role]]  # constructs a role, and closes it at the end
