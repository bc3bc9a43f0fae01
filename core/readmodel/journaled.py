"""Writes to the view store are journaled: an acknowledged write is on disk, on a majority of the members.

Documents too, not only the checkpoint that covers them. If the store were killed between the two writes, or changed its
leader, the documents could be lost; the checkpoint, which the driver sends again, would hide it.
"""

from typing import Any

from pymongo import WriteConcern
from pymongo.asynchronous.database import AsyncDatabase

JOURNALED = WriteConcern(w="majority", j=True)


def journaled(database: AsyncDatabase[dict[str, Any]]) -> AsyncDatabase[dict[str, Any]]:
    """The same database; every write through it is journaled by a majority before it is answered."""
    return database.with_options(write_concern=JOURNALED)
