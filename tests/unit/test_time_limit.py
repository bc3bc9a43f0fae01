"""What becomes of a test that does not come to its end."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.time_limit import stacks

SLOW = """
import asyncio
import time

import pytest


@pytest.mark.timeout(0.5)
async def test_that_waits_for_ever():
    async def where_it_hangs():
        await asyncio.Event().wait()

    await asyncio.create_task(where_it_hangs())


@pytest.mark.timeout(0.5)
def test_that_turns_for_ever():
    until = time.monotonic() + 30
    while time.monotonic() < until:
        pass


@pytest.mark.timeout(0.5)
async def test_whose_loop_swallows_the_first_failure():
    def turns():
        until = time.monotonic() + 1
        while time.monotonic() < until:
            pass

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, __: None)
    loop.call_soon(turns)
    await asyncio.Event().wait()


def test_that_comes_next():
    pass
"""


def test_a_test_past_its_limit_fails_with_its_stacks_and_its_worker_goes_on(tmp_path: Path) -> None:
    (tmp_path / "test_slow.py").write_text(SLOW)
    (tmp_path / "conftest.py").write_text("from tests.support import time_limit\n\ntime_limit.AGAIN = 0.7\n")
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "tests.support.time_limit", "-p", "no:randomly"),
        *("-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "-n", "1", "--rootdir", str(tmp_path)),
        str(tmp_path / "test_slow.py"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert "3 failed, 1 passed" in run.stdout, run.stdout + run.stderr
    assert "test_slow.py::test_that_waits_for_ever ran for more than 0.5 s" in run.stdout
    assert "in where_it_hangs" in run.stdout, "the stacks of tasks are shown"
    assert "in test_that_turns_for_ever" in run.stdout
    assert "node down" not in run.stdout


def test_all_threads_are_shown() -> None:
    assert "the main thread" in stacks(sys._getframe())
