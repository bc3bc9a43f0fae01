"""Two checkouts side by side."""

from pathlib import Path

import pytest

from bench import compare


def test_a_checkout_without_an_environment_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["compare", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        compare.main()
    assert ended.value.code == 2
    assert f"{tmp_path} has no .venv/bin/orderstream; run make .venv/.installed there" in capsys.readouterr().err


def test_a_row_has_the_median_and_the_range_of_both() -> None:
    [*_, row] = compare.table({"ready, s": {"this": [3.0, 5.0, 4.0], "other": [8.0, 9.0, 8.5]}}).splitlines()
    assert row == "| ready, s | 8.5 (8.0 to 9.0) | 4.0 (3.0 to 5.0) |"
