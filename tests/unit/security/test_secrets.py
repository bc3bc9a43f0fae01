"""Secrets come from files, and are never printed."""

from pathlib import Path

import pytest

from core.config import Settings, WrongSettingError, from_environment

SECRET = "s3cr3t-0f-ours"
URI = f"mongodb://user:{SECRET}@127.0.0.1/"


def test_an_address_may_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uri").write_text(f"{URI}\n")
    monkeypatch.setenv("ORDERSTREAM_MONGO_URI_FILE", str(tmp_path / "uri"))
    settings = from_environment(Settings)
    assert settings.mongo_uri == URI
    assert SECRET not in repr(settings)


def test_it_stands_in_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uri").write_text(URI)
    monkeypatch.setenv("ORDERSTREAM_MONGO_URI_FILE", str(tmp_path / "uri"))
    monkeypatch.setenv("ORDERSTREAM_MONGO_URI", URI)
    with pytest.raises(WrongSettingError, match="give one of them") as refused:
        from_environment(Settings)
    assert SECRET not in str(refused.value)


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERSTREAM_EVENTSTORE_URI_FILE", "/not/there")
    with pytest.raises(WrongSettingError, match="ORDERSTREAM_EVENTSTORE_URI_FILE: cannot read /not/there"):
        from_environment(Settings)


def test_a_directory_of_secrets_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "orderstream_mongo_password").write_text(SECRET)
    (tmp_path / "orderstream_mongo_username").write_text("views")
    monkeypatch.setenv("ORDERSTREAM_SECRETS_DIR", str(tmp_path))
    settings = from_environment(Settings)
    assert settings.credentials("mongo") == ("views", SECRET)
    assert SECRET not in repr(settings)
    monkeypatch.setenv("ORDERSTREAM_MONGO_USERNAME", "others")
    assert from_environment(Settings).credentials("mongo") == ("others", SECRET)


def test_a_directory_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERSTREAM_SECRETS_DIR", "/not/there")
    with pytest.raises(WrongSettingError, match="ORDERSTREAM_SECRETS_DIR: /not/there is not a directory"):
        from_environment(Settings)
