"""Work of one view beside its runners: each kind of it once at a time."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog
from pymongo.errors import PyMongoError

from core.error_text import error_text
from core.failures import ServiceFailure
from core.readmodel.checkpoints import Fenced
from projections.lifecycle.rebuild import Superseded

log = structlog.get_logger()


class BackgroundWork:
    """After a failure, the work is not begun again for `pause` seconds."""

    def __init__(self, view: str, pause: float) -> None:
        self._view = view
        self._pause = pause
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Begin it, unless it is running. A failure is logged; the caller spawns it again when it next looks."""
        if name in self._tasks and not self._tasks[name].done():
            work.close()
            return
        self._tasks[name] = asyncio.create_task(self._tried(name, work), name=f"{self._view}.{name}")

    async def _tried(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (PyMongoError, ServiceFailure) as error:
            log.warning("restarts", work=name, view=self._view, error=error_text(error))
            await asyncio.sleep(self._pause)
        except (Superseded, Fenced) as lost:
            log.warning("given up", work=name, view=self._view, reason=str(lost))
        except Exception:  # a defect: logged, and not the end of the view
            log.exception("defect", view=self._view, work=name)
            await asyncio.sleep(self._pause)

    def cancel(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    async def ended(self) -> None:
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
