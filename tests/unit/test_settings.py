"""Settings: renamed variables are read by their former names too, for one release."""

from collections.abc import Iterator

import pytest
import structlog

from core.config import PREFIX, ProcessSettings, Settings, WrongSettingError, from_environment, renamed_variables
from core.process import start_up
from projections.config import Settings as ProjectionSettings

KINDS: list[type[ProcessSettings]] = [Settings, ProjectionSettings]
RENAMED = [(kind, former, name) for kind in KINDS for former, name in kind.former_names.items()]


def variable(field: str) -> str:
    return f"{PREFIX}{field.upper()}"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.parametrize(("kind", "former", "name"), RENAMED)
def test_a_former_name_sets_the_setting(
    monkeypatch: pytest.MonkeyPatch, kind: type[ProcessSettings], former: str, name: str
) -> None:
    monkeypatch.setenv(variable(former), "7")
    assert getattr(from_environment(kind), name) == 7
    assert renamed_variables(kind) == {variable(former): variable(name)}


@pytest.mark.parametrize("kind", KINDS)
def test_no_former_name_is_a_name_of_today(kind: type[ProcessSettings]) -> None:
    assert set(kind.former_names) & set(kind.model_fields) == set()
    assert set(kind.former_names.values()) <= set(kind.model_fields)


def test_a_former_name_in_small_letters_counts_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("orderstream_most_watches", "7")
    assert from_environment(Settings).max_watches == 7


def test_a_former_name_that_is_empty_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERSTREAM_MOST_WATCHES", "")
    monkeypatch.setenv("ORDERSTREAM_MAX_WATCHES", "3")
    assert from_environment(Settings).max_watches == 3


def test_both_names_with_one_value_are_fine_while_releases_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERSTREAM_MOST_WATCHES", "3")
    monkeypatch.setenv("ORDERSTREAM_MAX_WATCHES", "3")
    assert from_environment(Settings).max_watches == 3
    assert renamed_variables(Settings) == {}


def test_both_names_with_different_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERSTREAM_MOST_WATCHES", "3")
    monkeypatch.setenv("ORDERSTREAM_MAX_WATCHES", "4")
    with pytest.raises(WrongSettingError, match="leave ORDERSTREAM_MOST_WATCHES out"):
        from_environment(Settings)


def test_a_process_warns_once_of_all_former_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORDERSTREAM_PACE", "0.1")
    monkeypatch.setenv("ORDERSTREAM_LOOK_EVERY", "1")
    start_up(ProjectionSettings)
    [line] = capsys.readouterr().err.splitlines()
    assert '"ORDERSTREAM_PACE": "ORDERSTREAM_MAX_BATCH_REST"' in line
    assert '"ORDERSTREAM_LOOK_EVERY": "ORDERSTREAM_POLL_INTERVAL"' in line


def test_a_process_with_present_names_warns_of_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORDERSTREAM_MAX_BATCH_REST", "0.1")
    assert start_up(ProjectionSettings).max_batch_rest == 0.1
    assert capsys.readouterr().err == ""
