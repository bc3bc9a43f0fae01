"""What only the owner of a view can do: it is asked for it, and the call waits a while."""

from typing import Any

from core.readmodel.checkpoints import now_micros
from core.readmodel.generations import ViewGenerations
from core.readmodel.view import View
from projections.engine.applier import Partition
from projections.lifecycle.owner_requests import OwnerRequests, Request
from projections.operations.plans import Outcome


class Owner:
    """Of each part of each generation."""

    def __init__(self, requests: OwnerRequests) -> None:
        self._requests = requests

    async def ask(
        self,
        view: View[Any],
        pointer: ViewGenerations,
        plan: str,
        *,
        streams: tuple[str, ...] = (),
        keys: tuple[str, ...] = (),
        within: float,
    ) -> Outcome:
        """Requests to the owner of the view: in every generation for streams, in the live one for keys."""
        generations = pointer.active() if streams else (pointer.generation,)
        requests = [
            Request(
                id=f"{plan}:{now_micros()}:{generation}:{part}",
                view=view.name,
                generation=generation,
                part=part,
                streams=streams,
                keys=tuple(key for key in keys if Partition(part, parts).owns(key)),
            )
            for generation in generations
            for parts in (pointer.info(generation).partitions,)
            for part in range(parts)
        ]
        requests = [one for one in requests if one.streams or one.keys]
        await self._requests.submit(requests)
        live = [one.id for one in requests if one.generation == pointer.generation]
        return await self._requests.wait(live, within)
