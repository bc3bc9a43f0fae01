"""A call that is given up while the driver connects leaves no socket behind."""

import asyncio
import gc

from pymongo import pool_shared
from pymongo.pool_options import PoolOptions

import core.readmodel.mongo  # noqa: F401  # it patches the driver


async def test_an_attempt_to_connect_that_is_cancelled_at_any_moment_closes_its_socket() -> None:
    async def accepts(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(accepts, "127.0.0.1", 0) as listener:
        address = listener.sockets[0].getsockname()
        for moments in range(40):
            connecting = asyncio.create_task(pool_shared._async_create_connection(address, PoolOptions()))
            for _ in range(moments % 10):
                await asyncio.sleep(0)
            connecting.cancel()
            for outcome in await asyncio.gather(connecting, return_exceptions=True):
                if not isinstance(outcome, BaseException):
                    outcome.close()  # it was there before it was cancelled
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=20.0)  # what was given up ends
    gc.collect()  # it would warn of a socket that nobody has closed
