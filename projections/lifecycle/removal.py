"""Removes the documents of a generation nobody may come back to, a few at a time: dropping them at once can keep
readers of other collections waiting for as long as it takes.
"""

from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from projections.engine.throttle import Pace


async def remove(documents: AsyncCollection[dict[str, Any]], pace: Pace) -> None:
    """Repeatable, from wherever it was left."""
    keys = [document["_id"] async for document in documents.find({})]
    while keys:
        some, keys = keys[: pace.chunk], keys[pace.chunk :]
        await documents.delete_many({"_id": {"$in": some}})
        await pace.pause()
    await documents.drop()
