"""A system projection of the node that is stopped before it began."""

import gc
from typing import Any, cast

from embedded.eventstore.projections.running import Place, Running


async def test_a_projection_that_is_stopped_before_its_first_step_leaves_nothing_behind() -> None:
    """A coroutine that was made and never awaited is a warning, and here an error, at some later moment."""
    nowhere = cast(Any, None)  # it is stopped before it reads or writes
    projection = Running(nowhere, nowhere, "$by_category", Place(enabled=True))
    projection.start()
    await projection.stop()
    gc.collect()
    assert not projection.is_running
