"""The public keys of the issuer of tokens (JWKS), from a file or an address, read again within bounds.

An address is asked every `REFRESH_EVERY` seconds, and for a key that is not known at most once in `UNKNOWN_EVERY`: a
caller who makes up key ids cannot make us ask more often. While it does not answer, the keys that are known go on.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.request import HTTPRedirectHandler, Request, build_opener

import structlog
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from core.config import WrongSettingError
from core.security.watched import WatchedFile

log = structlog.get_logger()

REFRESH_EVERY, UNKNOWN_EVERY = 300.0, 10.0  # seconds
ANSWER_WITHIN, COMPLETE_WITHIN = 5.0, 10.0  # seconds without a byte, and for all of them
MAX_SIZE = 1024 * 1024  # bytes

Keys = Mapping[str, PyJWK]


class KeySource(Protocol):
    async def key(self, key_id: str) -> PyJWK | None: ...


def keys_in(raw: bytes) -> Keys:
    """By key id. A key of a kind that is not known, or without an id, is left out. Raises `ValueError`."""
    found = json.loads(raw)
    entries = found.get("keys") if isinstance(found, dict) else None
    keys: dict[str, PyJWK] = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("kid"), str) and entry.get("kty") != "oct":
            try:
                keys[entry["kid"]] = PyJWK(entry)
            except (PyJWTError, NotImplementedError):  # the latter for the algorithm "none"
                log.warning("a key of the issuer is of no known kind", kid=entry["kid"])
    if not keys:
        raise ValueError("it has no key with an id")
    return keys


class KeysInFile:
    """Raises `WrongSettingError` for a file that is none."""

    def __init__(self, variable: str, file: Path) -> None:
        def parse(raw: bytes) -> Keys:
            try:
                return keys_in(raw)
            except ValueError as error:
                raise WrongSettingError(f"{variable}: {file} is no set of keys: {error}") from None

        self._file = WatchedFile(file, parse, variable)

    async def key(self, key_id: str) -> PyJWK | None:
        return self._file.current().get(key_id)


class _NoRedirects(HTTPRedirectHandler):
    """The setting says where the keys are: another address may be plain text, or inside of our network."""

    def redirect_request(self, *_: Any) -> None:
        """The redirect itself is the answer, an error."""


OPENER = build_opener(_NoRedirects)


def fetched(url: str) -> bytes:
    """Blocks. Raises `OSError`, `ValueError`."""
    request = Request(url, headers={"accept": "application/json"})  # noqa: S310  # the setting allows https only
    with OPENER.open(request, timeout=ANSWER_WITHIN) as reply:
        raw: bytes = reply.read(MAX_SIZE + 1)
    if len(raw) > MAX_SIZE:
        raise ValueError(f"it has more than {MAX_SIZE} bytes")
    return raw


class KeysAtUrl:
    """`fetch` gives what the address answers; `clock` gives monotonic seconds."""

    def __init__(
        self,
        url: str,
        *,
        fetch: Callable[[str], Awaitable[bytes]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._clock = url, clock
        self._fetch = fetch or (lambda url: asyncio.to_thread(fetched, url))
        self._keys: Keys = {}
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def key(self, key_id: str) -> PyJWK | None:
        found = self._keys.get(key_id)
        age = self._clock() - self._asked_at
        if found is None and age >= UNKNOWN_EVERY:
            self._ask()
        elif age >= REFRESH_EVERY:
            self._ask()  # beside this call, which has a key
        if found is None and self._asking is not None:
            await asyncio.shield(self._asking)
            found = self._keys.get(key_id)
        return found

    def _ask(self) -> None:
        if self._asking is None or self._asking.done():
            self._asked_at = self._clock()
            self._asking = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(COMPLETE_WITHIN):
                self._keys = keys_in(await self._fetch(self._url))
        except Exception as error:  # noqa: BLE001  # whatever it answers: the calls that wait go on
            said = f"{type(error).__name__}: {error}"
            log.warning("no keys from the issuer; those that are known stay", url=self._url, error=said)
