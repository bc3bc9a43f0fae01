"""The structure of the file, looked through at each start.

What a record says is checked whenever it is read. What is checked here is what leads to the records: were an index
damaged, a stream would look shorter than it is, or as if it had never been. A small file is done before the node
serves; a large one meanwhile: SQLite does it in one call, without the interpreter's lock.
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
