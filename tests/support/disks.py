"""Disks that fail, as the process sees them: a system call of it returns an error for a while."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes import Running

NO_STRACE = "STRACE NOT INSTALLED: no disk fails here"
HAS_STRACE = shutil.which("strace") is not None
needs_strace = pytest.mark.skipif(not HAS_STRACE, reason=NO_STRACE)


@contextmanager
def failing(node: Running, call: str, error: str) -> Iterator[None]:
    """Meanwhile that system call of the node fails."""
    command = ["strace", "-f", "-qq", "-e", f"trace={call}", "-e", f"inject={call}:error={error}", "-o", "/dev/null"]
    tracer = subprocess.Popen([*command, "-p", str(node.process.pid)], stderr=subprocess.PIPE)
    try:
        while "TracerPid:\t0\n" in Path(f"/proc/{node.process.pid}/status").read_text():
            assert tracer.poll() is None, "strace cannot attach"
        yield
    finally:
        tracer.terminate()
        tracer.communicate(timeout=20)
