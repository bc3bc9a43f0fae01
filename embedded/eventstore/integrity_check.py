"""The integrity check: the structure of the file is checked at each start.

The content of a record is checked whenever it is read. This checks the indexes that lead to the records: with a damaged
index, a stream would look shorter than it is, or as if it had never existed. A small file is checked before the node
serves; a large one in the background: SQLite does it in one call, without the interpreter's lock.
"""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from embedded.eventstore.files import connect

PATIENCE = 0.5  # seconds that a start may wait for it


class IntegrityCheck:
    """`damaged` is called, on a thread of its own, with what was found; never if all is well."""

    def __init__(self, path: Path, damaged: Callable[[str], None]) -> None:
        self._damaged = damaged
        self._closing = False
        self._connection = connect(path)
        self._thread = threading.Thread(target=self._run, name="checker", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """For the end, or for so long; then it goes on in the background."""
        self._thread.join(seconds)

    def close(self) -> None:
        self._closing = True
        self._connection.interrupt()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        try:
            found = str(self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
        except sqlite3.DatabaseError as error:
            if self._closing:
                return
            found = str(error)
        if found != "ok":
            self._damaged(" ".join(found.split()))
