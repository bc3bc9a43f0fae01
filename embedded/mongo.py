"""The embedded view store: SecantusDB, which speaks MongoDB's wire protocol, as a process of its own.

It is GPL-2.0: started, never imported. Without --sync-on-commit it loses acknowledged writes when it is killed.
"""

import asyncio
import re
import shutil
import socket
import sys
import tempfile
import time
from asyncio import StreamReader, Task, TaskGroup
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from urllib.parse import quote

READY_WITHIN = 30.0  # seconds
STOP_WITHIN = 10.0  # seconds
FREE_WITHIN = 2.0  # seconds; a store that was just killed may hold its port a moment longer
LOOK_EVERY, READ_WITHIN = 5.0, 10.0  # seconds between two reads, and for one of them
MAX_UNANSWERED = 3  # reads in a row, of a store that is only slow
FIRST_PAUSE, MAX_PAUSE = 0.2, 5.0  # seconds between two starts
MAX_ATTEMPTS = 5  # to start it again, while the disk has space
SPACE_TO_START = 32 * 1024 * 1024  # bytes
SILENT = "no answer"
PANIC = b"WT_PANIC"
OF_THE_DISK = re.compile(rb"No space left on device|File too large|Disk quota exceeded")

# it ends when we end, even if we are killed: on Linux the kernel sees to that (PR_SET_PDEATHSIG = 1, SIGKILL = 9)
_LAUNCH = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
os.execv(sys.argv[1], sys.argv[1:])
"""


class MongoError(Exception):
    """One line that says why it did not start, and what to do."""


@dataclass(frozen=True, slots=True)
class MongoTls:
    """Files in PEM form. Every client needs a certificate of `ca`; `client` is ours, with its key in the same file."""

    certificate: Path
    key: Path
    ca: Path
    client: Path

    @property
    def options(self) -> list[str]:
        files = {"cert": self.certificate, "key": self.key, "ca": self.ca}
        options = [word for name, file in files.items() for word in (f"--tls-{name}-file", str(file))]
        return [*options, "--tls-require-client-cert"]

    @property
    def parameters(self) -> str:
        """Of the address."""
        return f"&tls=true&tlsCAFile={quote(str(self.ca))}&tlsCertificateKeyFile={quote(str(self.client))}"


def command(host: str, port: int, directory: Path, tls: MongoTls | None = None) -> list[str]:
    """How to start it. The empty configuration keeps it from finding one elsewhere on the machine."""
    program = shutil.which("secantusd-py", path=str(Path(sys.executable).parent)) or shutil.which("secantusd-py")
    if program is None:
        raise MongoError("secantusd-py is not installed; run: pip install 'orderstream[embedded]'")
    configuration = directory / "secantusd.toml"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        configuration.touch()
    except OSError as error:
        raise MongoError(f"cannot write to {directory}: {error.strerror}; choose another directory") from error
    return [
        program, "--config", str(configuration), "--host", host, "--port", str(port),
        "--storage-path", str(directory / "data"), "--sync-on-commit", "--standalone", "--log-level", "WARNING",
        *(tls.options if tls else ()),
    ]  # fmt: skip


def uri_of(address: str, tls: MongoTls | None = None) -> str:
    """Without retries by the driver: for these SecantusDB keeps an account that every write looks through twice.

    After ten thousand writes that took it five times as long as the write itself.
    """
    parameters = tls.parameters if tls else ""
    return f"mongodb://{address}/?directConnection=true&retryWrites=false{parameters}"


@asynccontextmanager
async def mongo(
    directory: Path | None, *, host: str = "127.0.0.1", port: int = 0, tls: MongoTls | None = None
) -> AsyncIterator[str]:
    """Run it on `directory` (None: one that goes with it); yields `host:port` once it answers."""
    async with AsyncExitStack() as stack:
        is_kept = directory is not None
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orderstream-")))
        yield await stack.enter_async_context(_process(directory, host, port, tls, is_kept=is_kept))


@asynccontextmanager
async def _process(directory: Path, host: str, port: int, tls: MongoTls | None, *, is_kept: bool) -> AsyncIterator[str]:
    port = port or _free_port(host)
    await _wait_until_free(host, port)
    store = Store(directory, host, port, tls)
    try:
        await store.start()
        async with TaskGroup() as group:
            watching = group.create_task(store.keep_answering())
            try:
                yield f"{host}:{port}"
            finally:
                watching.cancel()
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    finally:
        await store.end(at_once=not is_kept)  # to close its files takes it two seconds


class Store:
    """One process of SecantusDB at a time: another one is started when it does not answer reads any more.

    When its disk is full, it goes on running and answers every call with an error until it is started again.
    """

    def __init__(self, directory: Path, host: str, port: int, tls: MongoTls | None = None) -> None:
        self._directory = directory
        self._tls = tls
        self._host, self._port = host, port
        self._process: Process | None = None
        self._words: Task[None] | None = None
        self._disk = ""  # what its storage said of the disk
        self._panicked = asyncio.Event()

    async def start(self) -> None:
        """Returns when it takes connections. Raises `MongoError`."""
        self._disk = ""
        self._panicked.clear()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _LAUNCH, *command(self._host, self._port, self._directory, self._tls),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stderr is not None, "stderr is a pipe"
        self._words = asyncio.create_task(self._pass_on(self._process.stderr))
        deadline = time.monotonic() + READY_WITHIN
        while not _answers(self._host, self._port):
            if self._process.returncode is not None:
                await self._words
                raise MongoError(f"{_ended(self._process)}; its words are above")
            if time.monotonic() > deadline:
                raise MongoError(f"secantusd-py does not answer after {READY_WITHIN:g} s; its words are above")
            await asyncio.sleep(0.05)

    async def end(self, *, at_once: bool) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            if at_once:
                self._process.kill()
            else:
                self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_WITHIN)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        assert self._words is not None, "they are read from the start on"
        await self._words
        self._process = None

    async def keep_answering(self) -> None:
        """Look whether reads are answered; if not, start another one. Raises `MongoError` if that is of no use."""
        while True:
            fault = await self._fault()
            disk_is_full = self._disk_is_full()
            await self.end(at_once=True)
            remedy = f"free some space on the disk of {self._directory}" if disk_is_full else "it is started again"
            _say(f"the view store does not answer reads: {self._disk or fault}; {remedy}")
            await self._start_again(waits_for_space=disk_is_full)
            _say("the view store answers again")

    async def _start_again(self, *, waits_for_space: bool) -> None:
        attempt, pause = 0, FIRST_PAUSE
        while True:
            attempt += 1
            if not waits_for_space or disk_usage(self._directory).free > SPACE_TO_START:
                try:
                    await self.start()
                    if await self._read() is None:
                        return
                except MongoError:
                    pass
                if attempt >= MAX_ATTEMPTS and not self._disk_is_full():
                    raise MongoError(f"the view store on {self._directory} does not start again; its words are above")
                await self.end(at_once=True)
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE)

    async def _fault(self) -> str:
        """Wait until it does not answer reads any more; why not."""
        unanswered = 0
        while True:
            assert self._process is not None, "it was started"
            with suppress(TimeoutError):
                await asyncio.wait_for(self._panicked.wait(), LOOK_EVERY)
            if self._process.returncode is not None:
                return _ended(self._process)
            if self._panicked.is_set():
                return "its storage has failed"
            fault = await self._read()
            unanswered = unanswered + 1 if fault is not None else 0
            if fault is not None and (fault != SILENT or unanswered >= MAX_UNANSWERED):
                return fault

    async def _read(self) -> str | None:
        """Read a document through its wire; what is wrong, None if it answered."""
        # here, since it costs the other stores a third of their start
        from pymongo import AsyncMongoClient  # noqa: PLC0415
        from pymongo.errors import OperationFailure, PyMongoError  # noqa: PLC0415

        within = round(READ_WITHIN * 1_000)
        client = AsyncMongoClient[dict[str, object]](
            uri_of(f"{self._host}:{self._port}", self._tls), serverSelectionTimeoutMS=within, timeoutMS=within
        )
        try:
            await client["admin"]["probe"].find_one({}, {"_id": 1})
        except OperationFailure as error:
            return str(error.details["errmsg"] if error.details else error)
        except PyMongoError:
            return SILENT
        finally:
            await client.close()
        return None

    def _disk_is_full(self) -> bool:
        return bool(self._disk) or disk_usage(self._directory).free < SPACE_TO_START

    async def _pass_on(self, words: StreamReader) -> None:
        """What it says, to our stderr. After a panic it repeats itself with every call: that is left out."""
        while line := await _line_of(words):
            if not self._panicked.is_set():
                sys.stderr.buffer.write(line)
                sys.stderr.flush()
            found = OF_THE_DISK.search(line)
            if found is not None:
                self._disk = found.group().decode()
            if PANIC in line:
                self._panicked.set()


def _ended(process: Process) -> str:
    return f"secantusd-py ended with exit code {process.returncode}"


async def _line_of(words: StreamReader) -> bytes:
    try:
        return await words.readline()
    except ValueError:  # longer than the buffer, which is empty now
        return b"\n"


def _say(line: str) -> None:
    sys.stderr.write(f"orderstream: {line}\n")
    sys.stderr.flush()


async def _wait_until_free(host: str, port: int) -> None:
    try:
        async with asyncio.timeout(FREE_WITHIN):
            while _answers(host, port):  # noqa: ASYNC110  # another process's port has no event
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise MongoError(f"port {port} on {host} is taken; choose another with --port") from None


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
