"""Our processes as tests run them: started with free ports, known by their ready line, stopped or killed.

They end with the run of the tests, however that ends: a test that hangs takes the run down, and must leave nothing.
"""

import json
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any
from unittest.mock import patch

from client.local.stack import Stack
from client.local.stack import stack as any_stack
from client.local.stack import unused_port as free_port
from tests.support.forked import ORDERSTREAM, ROOT, Forked, completed, launched

__all__ = ["ORDERSTREAM", "ROOT", "Running", "Stack", "completed", "free_port", "running", "stack"]
READY_WITHIN = 60.0  # seconds


@asynccontextmanager
async def stack(data: Path, *, any_log: bool = False, **how: Any) -> AsyncIterator[Stack]:
    """`client.local.stack.stack`, quickly started.

    With `any_log` it runs on the event store that is tested against (`--eventstore-uri`), if there is one: the test
    neither counts what is in the log nor stops the store, and its names are fresh.
    """
    given = os.environ.get("TEST_EVENTSTORE_URI", "") if any_log else ""
    with patch.dict(os.environ, {"ORDERSTREAM_EVENTSTORE_URI": given} if given else {}):
        async with any_stack(data, launch=launched, **how) as running:
            yield running


class Running:
    """One process. `ready` is the JSON line it printed when it could be used."""

    def __init__(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self._arguments = list(arguments)
        self._environment = {**os.environ, **(environment or {})}
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed in `close`
        self.start()

    def start(self) -> None:
        read_end, self._pipe = os.pipe()
        reading, writing = os.pipe()
        errors = self._errors.fileno()
        self.process = Forked(self._arguments, self._environment, pipe=read_end, stdout=writing, stderr=errors)
        os.close(read_end)
        os.close(writing)
        self._stdout = os.fdopen(reading, "rb", buffering=0)
        deadline = time.monotonic() + READY_WITHIN
        os.set_blocking(reading, False)
        line = b""
        while not line.endswith(b"\n"):
            chunk = self._stdout.read()
            line += chunk or b""
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self._arguments} is not ready: {self.errors()}")
            if not chunk:
                time.sleep(0.01)
        self.ready: dict[str, Any] = json.loads(line)

    def keep_port(self) -> None:
        """Start on the same port again from now on."""
        self._arguments[self._arguments.index("--port") + 1] = self.ready["address"].rpartition(":")[2]

    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode()

    def kill(self) -> None:
        """As by `kill -9`."""
        self.process.kill()
        self.process.wait()
        self._let_go()

    def stop(self) -> int:
        """As an operator does; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        self._let_go()
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.stop()
        self._let_go()
        self._errors.close()

    def _let_go(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        self._stdout.close()


@contextmanager
def running(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Running]:
    process = Running(*arguments, environment=environment)
    try:
        yield process
    finally:
        process.close()


@contextmanager
def own_log(mongo_uri: str, database: str, **settings: str) -> Iterator[dict[str, str]]:
    """The environment of services on an event store of their own, and on the view store that all tests share."""
    with running("embedded", "eventstore", "--port", "0", "--memory") as node:
        yield {
            "ORDERSTREAM_EVENTSTORE_URI": node.ready["uri"],
            "ORDERSTREAM_MONGO_URI": mongo_uri,
            "ORDERSTREAM_MONGO_DATABASE": database,
            **settings,
        }
