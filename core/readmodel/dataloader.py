"""A data loader: documents by key, read in batches. While one read is under way, the next callers share another one.

A single caller does not wait. With concurrent callers, a read of many keys costs the store little more than one key.
"""

import asyncio
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from core.readmodel.mongo import shared_read

Document = dict[str, Any]
MAX_KEYS = 100  # of one read


class DocumentLoader:
    """Reads of one collection. A read begins after all callers that it answers have asked."""

    def __init__(self, documents: AsyncCollection[Document]) -> None:
        self._documents = documents
        self._asked: dict[str, asyncio.Future[Document | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def one(self, key: str) -> Document | None:
        """The document, None if there is none. Callers share it, and must not change it."""
        answer = self._asked.get(key)
        if answer is None:
            answer = self._asked[key] = asyncio.get_running_loop().create_future()
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_while_asked())
        return await asyncio.shield(answer)  # one caller may be cancelled, the others still need it

    async def _read_while_asked(self) -> None:
        while self._asked:
            keys = list(self._asked)[:MAX_KEYS]
            answers = {key: self._asked.pop(key) for key in keys}
            try:
                async with shared_read():
                    found = await self._read(keys)
            except BaseException as error:
                for answer in answers.values():
                    _settle(answer, error)
                if not isinstance(error, Exception):
                    raise
            else:
                for key, answer in answers.items():
                    answer.set_result(found.get(key))

    async def _read(self, keys: list[str]) -> dict[str, Document]:
        if len(keys) == 1:
            found = await self._documents.find_one({"_id": keys[0]})
            return {} if found is None else {keys[0]: found}
        query = self._documents.find({"_id": {"$in": keys}})
        return {document["_id"]: document async for document in query}


def _settle(answer: "asyncio.Future[Document | None]", error: BaseException) -> None:
    answer.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
    answer.exception()  # all callers may have been cancelled
