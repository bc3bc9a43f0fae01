"""Work of one view beside its runners: each kind of it once at a time."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ParamSpec

import structlog
from pymongo.errors import PyMongoError

from core.error_text import error_text
from core.failures import ServiceFailure
from core.readmodel.checkpoints import Fenced
from projections.lifecycle.rebuild import Superseded

log = structlog.get_logger()
P = ParamSpec("P")


class BackgroundWork:
    """After a failure, the work is not begun again for `pause` seconds."""

    def __init__(self, view: str, pause: float) -> None:
        self._view = view
        self._pause = pause
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def spawn(self, name: str, work: Callable[P, Coroutine[Any, Any, None]], *args: P.args, **kwargs: P.kwargs) -> None:
        """Begin it, unless it is running. A failure is logged; the caller spawns it again when it next looks.

        The coroutine is made by the task itself: one that is cancelled before its first step has made none.
        """
        if name in self._tasks and not self._tasks[name].done():
            return
        tried = self._tried(name, partial(work, *args, **kwargs))
        self._tasks[name] = asyncio.create_task(tried, name=f"{self._view}.{name}")

    async def _tried(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
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
