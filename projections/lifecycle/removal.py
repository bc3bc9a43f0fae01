"""Removes the documents of a retired generation, a few at a time: dropping them at once can block
readers of other collections for as long as it takes.
"""

from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from projections.engine.throttle import ReaderAwareThrottle


async def drop_gradually(documents: AsyncCollection[dict[str, Any]], throttle: ReaderAwareThrottle) -> None:
    """Repeatable, from any state."""
    keys = [document["_id"] async for document in documents.find({})]
    while keys:
        some, keys = keys[: throttle.chunk], keys[throttle.chunk :]
        with throttle.writing(len(some)):
            await documents.delete_many({"_id": {"$in": some}})
        await throttle.yield_to_readers()
    await documents.drop()
