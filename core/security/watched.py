"""A file whose content is in force as soon as it is there, and the last good one while it is broken."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from core.config import WrongSettingError

log = structlog.get_logger()

T = TypeVar("T")
LOOK_EVERY = 1.0  # seconds; a call costs no look at the disk


def stamp_of(file: Path) -> tuple[int, ...]:
    """Another file, or other content: Kubernetes replaces a link to a directory, other tools write the file."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_ino, found.st_size


class WatchedFile(Generic[T]):
    """`parse` raises `WrongSettingError`; so does this, at first. `clock` gives monotonic seconds."""

    def __init__(
        self,
        file: Path,
        parse: Callable[[bytes], T],
        variable: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file, self._parse, self._variable, self._clock = file, parse, variable, clock
        self._stamp, self._looked_at = stamp_of(file), clock()
        self._content = self._read()

    def current(self) -> T:
        now = self._clock()
        if now - self._looked_at >= LOOK_EVERY:
            self._looked_at = now
            stamp = stamp_of(self._file)
            if stamp != self._stamp:
                self._stamp = stamp
                self._reload()
        return self._content

    def _reload(self) -> None:
        try:
            self._content = self._read()
        except WrongSettingError as error:
            log.error("the former content stays in force", error=str(error))
        else:
            log.info("read again", file=str(self._file))

    def _read(self) -> T:
        try:
            raw = self._file.read_bytes()
        except OSError as error:
            raise WrongSettingError(f"{self._variable}: cannot read {self._file}: {error.strerror}") from None
        try:
            return self._parse(raw)
        except WrongSettingError:
            raise
        except Exception as error:  # whatever it is: a broken file stops no call
            raise WrongSettingError(f"{self._variable}: {self._file} cannot be used: {type(error).__name__}") from error
