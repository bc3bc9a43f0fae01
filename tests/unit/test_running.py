"""What ends a process is one line, and no log shows the values of variables."""

import pytest
import structlog

from core.failures import StoreUnavailable
from core.process import NO_STORE, configure_logging, ended_well


def test_an_outage_without_a_word_is_one_line_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise StoreUnavailable("event") from ConnectionAbortedError()

    assert ended_well(work) == NO_STORE
    [line] = capsys.readouterr().err.splitlines()
    assert "(ConnectionAbortedError)" in line


def fail(secret: str) -> None:
    raise ValueError(len(secret))


@pytest.mark.parametrize("shape", ["json", "console"])
def test_a_traceback_in_the_log_has_no_values(shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = structlog.get_config()
    try:
        configure_logging("INFO", shape)
        try:
            fail("hunter2")
        except ValueError:
            structlog.get_logger().exception("a defect")
    finally:
        structlog.configure(**before)
    printed = capsys.readouterr()
    assert "a defect" in printed.err
    assert "secret = " not in printed.err + printed.out
