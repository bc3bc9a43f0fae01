"""The embedded view store: SecantusDB, which speaks MongoDB's wire protocol, as a process of its own.

It is GPL-2.0: started, never imported. Without --sync-on-commit it loses acknowledged writes when it is killed.
"""

import asyncio
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

READY_WITHIN = 30.0  # seconds
STOP_WITHIN = 10.0  # seconds
FREE_WITHIN = 2.0  # seconds; a store that was just killed may hold its port a moment longer

# it ends when we end, even if we are killed: on Linux the kernel sees to that (PR_SET_PDEATHSIG = 1, SIGKILL = 9)
_LAUNCH = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
os.execv(sys.argv[1], sys.argv[1:])
"""


class MongoError(Exception):
    """One line that says why it did not start, and what to do."""


def command(host: str, port: int, directory: Path) -> list[str]:
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
    ]  # fmt: skip


def uri_of(address: str) -> str:
    """Without retries by the driver: for these SecantusDB keeps an account that every write looks through twice.

    After ten thousand writes that took it five times as long as the write itself.
    """
    return f"mongodb://{address}/?directConnection=true&retryWrites=false"


@asynccontextmanager
async def mongo(directory: Path | None, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Run it on `directory` (None: one that goes with it); yields `host:port` once it answers."""
    async with AsyncExitStack() as stack:
        is_kept = directory is not None
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orderstream-")))
        yield await stack.enter_async_context(_process(directory, host, port, is_kept=is_kept))


@asynccontextmanager
async def _process(directory: Path, host: str, port: int, *, is_kept: bool) -> AsyncIterator[str]:
    port = port or _free_port(host)
    await _wait_until_free(host, port)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _LAUNCH, *command(host, port, directory), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await _wait_until_it_answers(process, host, port)
        yield f"{host}:{port}"
    finally:
        with suppress(ProcessLookupError):
            if is_kept:
                process.terminate()
            else:
                process.kill()  # to close its files takes it two seconds
        try:
            await asyncio.wait_for(process.wait(), STOP_WITHIN)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _wait_until_free(host: str, port: int) -> None:
    try:
        async with asyncio.timeout(FREE_WITHIN):
            while _answers(host, port):  # noqa: ASYNC110  # another process's port has no event
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise MongoError(f"port {port} on {host} is taken; choose another with --port") from None


async def _wait_until_it_answers(process: asyncio.subprocess.Process, host: str, port: int) -> None:
    async with asyncio.timeout(READY_WITHIN):
        while not _answers(host, port):
            if process.returncode is not None:
                raise MongoError(f"secantusd-py ended with exit code {process.returncode}; its words are above")
            await asyncio.sleep(0.05)


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
