"""How the view store is written to: what it has answered is on disk, on a majority of its members.

Documents too, not only the checkpoint that vouches for them. A store that is killed between the two writes, or whose
leader changes, could otherwise take the documents back; the checkpoint, which the driver sends again, would hide it.
"""

from typing import Any

from pymongo import WriteConcern
from pymongo.asynchronous.database import AsyncDatabase

JOURNALED = WriteConcern(w="majority", j=True)


def journaled(database: AsyncDatabase[dict[str, Any]]) -> AsyncDatabase[dict[str, Any]]:
    """The same database; every write through it is journaled by a majority before it is answered."""
    return database.with_options(write_concern=JOURNALED)
