"""The client of MongoDB, from the settings; and MongoDB's failures as ours."""

import asyncio
import socket
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

import pymongo.lock
import pymongo.pool_shared
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError

from core.config import StoreSettings, WrongSettingError
from core.failures import StoreFailure, StorePermissionDenied, StoreTlsFailed, StoreUnauthenticated, StoreUnavailable

# Milliseconds. After a cut, a connection attempt that hangs and the pause before the next one delay the recovery. A
# silent connection is found by the heartbeat, and what waits on it fails then.
TIMEOUTS = {"serverSelectionTimeoutMS": 3_000, "connectTimeoutMS": 2_000, "heartbeatFrequencyMS": 1_000}
AUTHENTICATION_FAILED, UNAUTHORIZED = (18, 8000), 13  # codes of the server, and of Atlas
# a handshake that only broke off may be an outage
PROOFS = ("[SSL: CERTIFICATE_VERIFY_FAILED]", "[SSL: WRONG_VERSION_NUMBER]")
T = TypeVar("T")
SHARED_WITHIN = 3.0  # seconds
HANDSHAKE = "SSL handshake failed: "  # pymongo's text, which it omits if a certificate is not accepted


async def _wait_for(work: Awaitable[T], timeout: float | None) -> T:
    """In the task of the caller, as from Python 3.12 on."""
    async with asyncio.timeout(timeout):
        return await work


if sys.version_info < (3, 12):
    # The driver waits for a server by a condition and a time limit. The older `wait_for` waits in a task of its own.
    # When the caller is cancelled at the wrong moment, it leaves before that task has taken the lock of the condition
    # back. Then the lock is held for ever, and every later operation of the client hangs.
    pymongo.lock.wait_for = _wait_for  # type: ignore[attr-defined,assignment]  # not part of its API


_connect = pymongo.pool_shared._async_create_connection  # noqa: SLF001  # no part of its API


async def _connected(address: Any, options: Any) -> socket.socket:
    """As the driver connects. It does not close the socket of an attempt that is cancelled.

    Such an attempt goes on, at most for `connectTimeoutMS`, and is closed then. Else each call that a deadline ends
    during an outage would keep a file open until the next garbage collection.
    """
    connecting = asyncio.create_task(_connect(address, options))
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        connecting.add_done_callback(_close)
        raise


def _close(connecting: asyncio.Task[socket.socket]) -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().close()


pymongo.pool_shared._async_create_connection = _connected  # noqa: SLF001


def mongo_client(settings: StoreSettings, **how: Any) -> AsyncMongoClient[dict[str, object]]:
    """Credentials and authorities in the settings win over those in the address. Raises `WrongSettingError`.

    `how` has options of pymongo; `socketTimeoutMS` is how long one operation may take.
    """
    given: dict[str, Any] = TIMEOUTS | how
    username, password = settings.credentials("mongo")
    if username:
        given |= {"username": username, "password": password}
    authorities = settings.authorities("mongo")
    if authorities is not None:
        given |= {"tls": True, "tlsCAFile": str(authorities)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of an option that it does not know
            return AsyncMongoClient(settings.mongo_uri, **given)
    except (PyMongoError, ValueError, TypeError, OSError, Warning) as error:
        # pymongo takes a piece of a badly encoded password for a port or an option, and prints it
        rule = (
            "is no connection string: in it, user and password are percent-encoded; those in ORDERSTREAM_MONGO_USERNAME"
            " and ORDERSTREAM_MONGO_PASSWORD are taken as they are"
            if "@" in settings.mongo_uri
            else str(error)
        )
        raise WrongSettingError(f"ORDERSTREAM_MONGO_URI: {rule}") from None


@asynccontextmanager
async def shared_read() -> AsyncIterator[None]:
    """For a read that many calls wait for: a hanging one must not outlast the outage and delay later calls.

    Raises `StoreUnavailable`.
    """
    try:
        async with asyncio.timeout(SHARED_WITHIN):
            yield
    except TimeoutError:
        raise StoreUnavailable("view") from None


async def may_read(database: AsyncDatabase[dict[str, object]]) -> None:
    """Raises a `StoreRefusal`. A store that does not answer yet may say so later."""
    with suppress(StoreUnavailable), mongo_errors():
        await database["generations"].find_one({}, {"_id": 1})


@contextmanager
def mongo_errors() -> Iterator[None]:
    """Raise MongoDB's failures as a `StoreFailure`, each as its own class."""
    try:
        yield
    except PyMongoError as error:
        raise failure_of(error) from error


def failure_of(error: PyMongoError) -> StoreFailure:
    code = error.code if isinstance(error, OperationFailure) else None
    if code in AUTHENTICATION_FAILED:
        return StoreUnauthenticated(
            "view", "ORDERSTREAM_MONGO_USERNAME and ORDERSTREAM_MONGO_PASSWORD_FILE say who we are to it"
        )
    if code == UNAUTHORIZED:
        return StorePermissionDenied(
            "view", "", "", "the role readWrite on the database ORDERSTREAM_MONGO_DATABASE is enough"
        )
    cause = str(error).partition(" (configured timeouts")[0].removeprefix(HANDSHAKE)
    if any(proof in cause for proof in PROOFS):
        return StoreTlsFailed("view", cause, "ORDERSTREAM_MONGO_CA_FILE names whom to trust")
    return StoreUnavailable("view")
