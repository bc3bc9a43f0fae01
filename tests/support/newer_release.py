"""A build of this code that has one event type more: `python -m tests.support.newer_release server commands --port 0`.

It writes notes as `NoteAddedV2`, as the next release may, and reads those of today. Everything else is this code.
"""

import runpy
import sys
from dataclasses import replace
from typing import Any

from core.domain.order.events import NoteAdded
from core.eventstore import registry

TODAY, NEWER = "NoteAdded", "NoteAddedV2"


def note_added(old: NoteAdded) -> NoteAdded:
    return old


def add_event_type() -> None:
    """Before any other module has taken over what the registry says."""
    later: Any = registry
    later.ROWS = tuple(
        replace(row, name=NEWER, version=row.version + 1) if row.name == TODAY else row for row in registry.ROWS
    )
    later.BY_NAME = {row.name: row for row in later.ROWS}
    later.BY_EVENT = {row.event: row for row in later.ROWS}
    from core.eventstore import upcasters  # noqa: PLC0415  # it reads the registry when it is imported

    upcasters.UPCASTERS += (upcasters.Upcaster(TODAY, NEWER, note_added),)  # type: ignore[assignment]  # one more
    upcasters.CHAINS = upcasters.chains(later.ROWS, upcasters.UPCASTERS)


if __name__ == "__main__":
    add_event_type()
    module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
