"""Our processes, forked from one that has imported our modules already.

A start costs a tenth of the processor time that `python -m` takes, and the suite starts some two hundred. All else is
as there: arguments, environment, streams, signals, exit code, and the end with its parent. What `python -m`
itself does is shown by a test of `orderstream up`, and in the long form by one of `orderstream demo`.
"""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Any

from client.cli import main
from client.local import child

ROOT = Path(__file__).parents[2]
ORDERSTREAM = "orderstream"  # the console script
MODULES = ("server", "projections", "embedded")
ROLES = ("commands", "queries", "processes")
PRELOADED = (*(f"{module}.__main__" for module in MODULES), *(f"server.{role}.app" for role in ROLES), __name__)
ENDS_WITHIN = 90.0  # seconds

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(PRELOADED))


class _Passed:
    """A file descriptor on its way into the new process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        return _taken, (DupFd(self._descriptor),)


def _taken(passed: Any) -> int:
    return int(passed.detach())


def _run(arguments: Sequence[str], environment: Mapping[str, str], pipe: int, stdout: int, stderr: int) -> None:
    os.setsid()
    os.chdir(ROOT)
    os.dup2(stdout, sys.__stdout__.fileno() if sys.__stdout__ else 1)
    os.dup2(stderr, sys.__stderr__.fileno() if sys.__stderr__ else 2)
    if arguments[0] not in (*MODULES, ORDERSTREAM):  # it has changes to make before ours are imported
        os.set_inheritable(pipe, True)
        command = [sys.executable, "-m", "client.local.child", str(pipe), *arguments]
        os.execve(command[0], command, dict(environment))
    os.environ.clear()
    os.environ.update(environment)
    if arguments[0] == ORDERSTREAM:
        child.end_with(pipe)
        sys.argv = list(arguments)
        main()
        return
    sys.argv = ["supervised", str(pipe), *arguments]
    del sys.modules[f"{arguments[0]}.__main__"]  # it is run as `__main__`
    child.main()


class Forked:
    """A module or `orderstream` with arguments and these streams, as a `subprocess.Popen` of it behaves.

    It ends when the pipe closes.
    """

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], *, pipe: int, stdout: int, stderr: int
    ) -> None:
        passed = [_Passed(descriptor) for descriptor in (pipe, stdout, stderr)]
        self._process = _context.Process(target=_run, args=(list(arguments), dict(environment), *passed), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None, "it was started"
        return self._process.pid

    @property
    def sentinel(self) -> int:
        """A descriptor that can be read when it has ended."""
        return self._process.sentinel

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code. Raises `TimeoutError`."""
        if not wait([self._process.sentinel], timeout):
            raise TimeoutError(f"process {self.pid} has not ended within {timeout} s")
        code = self._process.exitcode
        assert code is not None, "it has ended"
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkedChild:
    """The same for `client.local.stack`: as an `asyncio.subprocess.Process`."""

    def __init__(self, forked: Forked, stdout: asyncio.StreamReader, transport: asyncio.ReadTransport) -> None:
        self.stdout = stdout
        self._forked = forked
        self._transport = transport
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(forked.sentinel, self._end)

    def _end(self) -> None:
        self._loop.remove_reader(self._forked.sentinel)
        self._transport.close()
        self._ended.set()

    @property
    def pid(self) -> int:
        return self._forked.pid

    async def wait(self) -> int:
        await self._ended.wait()
        return self._forked.wait()

    def terminate(self) -> None:
        self._forked.terminate()

    def kill(self) -> None:
        self._forked.kill()


async def launched(arguments: Sequence[str], environment: Mapping[str, str], pipe: int, log: IO[bytes]) -> ForkedChild:
    """As `client.local.stack.Launch`."""
    reading, writing = os.pipe()
    forked = Forked(arguments, environment, pipe=pipe, stdout=writing, stderr=log.fileno())
    os.close(writing)
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", buffering=0)
    )
    return ForkedChild(forked, reader, transport)


def completed(*arguments: object, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The result of a module or of `orderstream`, run to its end, like that of `subprocess.run`."""
    pipe, held = os.pipe()
    command = [str(argument) for argument in arguments]
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        try:
            forked = Forked(
                command,
                {**os.environ, **(environment or {})},
                pipe=pipe,
                stdout=stdout.fileno(),
                stderr=stderr.fileno(),
            )
            code = forked.wait(ENDS_WITHIN)
        finally:
            os.close(pipe)
            os.close(held)
        said = [_all_of(stream) for stream in (stdout, stderr)]
    return subprocess.CompletedProcess(command, code, *said)


def _all_of(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode()
